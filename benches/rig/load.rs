//! Wallet ids, openings and random transfers, the same in each run. Ids look like UUIDv7s made one after
//! another, because placement, claims and the index of ids depend on what an id looks like.

use std::sync::LazyLock;

use florin::engine::system_wallet_id;
use florin::ledger::{
    Amount, Currency, Kind, Leg, Legs, Limits, Opening, OwnerId, Transfer, TransferId, TransferKind, WalletId,
};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// What each wallet begins with, in minor units: enough for any number of transfers that a bench makes, and so little that
/// one wallet can have paid it to a hundred million others.
pub const FUNDS_MINOR: i64 = 1 << 36;

const WALLET_MILLIS: u64 = 1_760_000_000_000;
const TRANSFER_MILLIS: u64 = 1_780_000_000_000;
/// Ids made in one millisecond.
const IDS_PER_MILLI: u64 = 1_000;

/// Which pairs of wallets pay each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pairs {
    Random,
    /// Everybody pays wallet 0.
    OneMerchant,
}

/// A source of transfers that never gives the same id twice.
pub struct Load {
    rng: StdRng,
    wallets: u64,
    made: u64,
}

impl Load {
    pub fn new(seed: u64, wallets: u64) -> Load {
        assert!(wallets >= 2, "a transfer needs two wallets");
        Load { rng: StdRng::seed_from_u64(seed), wallets, made: 0 }
    }

    pub fn batch(&mut self, count: usize, pairs: Pairs) -> Vec<Transfer> {
        (0..count).map(|_| self.transfer(pairs)).collect()
    }

    pub fn transfer(&mut self, pairs: Pairs) -> Transfer {
        let (id, (from, to)) = (self.id(), self.pair(pairs));
        let amount = Amount::new(self.rng.random_range(1..=1_000)).expect("above zero");
        let (from, to) = (wallet_id(from), wallet_id(to));
        let transfer = Transfer::between(TransferId(id), TransferKind::Transfer, inr(), from, to, amount, None);
        transfer.expect("two different wallets")
    }

    /// Payer and payee by number.
    pub fn pair(&mut self, pairs: Pairs) -> (u64, u64) {
        let to = match pairs {
            Pairs::Random => self.rng.random_range(0..self.wallets),
            Pairs::OneMerchant => 0,
        };
        let from = self.rng.random_range(0..self.wallets - 1);
        (if from >= to { from + 1 } else { from }, to)
    }

    pub fn id(&mut self) -> u128 {
        self.made += 1;
        let random = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        uuid_v7(TRANSFER_MILLIS + self.made / IDS_PER_MILLI, random)
    }
}

/// Looked up once: it stands in every transfer that is made while time is taken.
static INR: LazyLock<Currency> = LazyLock::new(|| Currency::by_code("INR").expect("in the list"));

pub fn inr() -> Currency {
    *INR
}

pub fn wallet_id(number: u64) -> WalletId {
    // The multiplier spreads neighbours far apart, as the random part of an id does.
    let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    WalletId(uuid_v7(WALLET_MILLIS + number / 8, spread))
}

pub fn opening(number: u64) -> Opening {
    let wallet = wallet_id(number);
    Opening {
        wallet,
        owner: OwnerId(wallet.0 ^ 1),
        currency: inr(),
        kind: Kind::Personal,
        may_send: true,
        may_receive: true,
        limits: Limits::PLAIN,
    }
}

pub fn system_opening() -> Opening {
    let wallet = system_wallet_id(inr());
    let limits = Limits { overdraft_limit: None, balance_ceiling: None };
    Opening { wallet, owner: OwnerId(wallet.0), kind: Kind::System, limits, ..opening(0) }
}

/// Deposits into all wallets, fifteen to a transfer.
pub fn deposits(wallets: u64) -> impl Iterator<Item = Transfer> {
    let system = system_wallet_id(inr());
    (0..wallets).step_by(15).map(move |first| {
        let payees = first..wallets.min(first + 15);
        let mut legs: Legs = payees.map(|number| Leg { wallet: wallet_id(number), amount: FUNDS_MINOR }).collect();
        let total = legs.iter().map(|leg| leg.amount).sum::<i64>();
        legs.push(Leg { wallet: system, amount: -total });
        // The wallets' time, turned around in its last bit, so that it is no wallet's id.
        let id = TransferId(wallet_id(first).0 ^ 1);
        Transfer::new(id, TransferKind::Deposit, inr(), legs, None).expect("it adds up")
    })
}

/// The layout of RFC 9562: 48 bits of time, and the rest random around version and variant.
fn uuid_v7(millis: u64, random: u128) -> u128 {
    let tail = random & ((0xfff << 64) | ((1 << 62) - 1));
    (u128::from(millis) << 80) | (0x7 << 76) | (0x2 << 62) | tail
}
