//! Writes the log of a ledger whose wallets are those of `loadtest run` with a seed, funded: what `loadtest` would do
//! through HTTP in an hour for 100 million wallets takes a minute here. The server makes indexes and a snapshot of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use florin::ledger::{Event, Leg, Legs, Opening, OwnerId, Transfer, TransferId, TransferKind, WalletId};
use florin::services::clock::Clock;
use florin::services::new_id;
use florin::services::sessions::{self, SESSION_MICROS};
use florin::store::seal::Seal;
use florin::store::sessions::{By, Session};
use florin::store::{self, Account, AccountState, Role, Store, accounts};
use loadtest::ids::Wallets;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::error::Error;
use crate::figures::{figures, say};
use crate::load;
use crate::rig_ledger::Writer;

#[derive(clap::Args, Debug)]
pub struct LedgerArgs {
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    wallets: u32,
    /// The --seed of loadtest
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A data folder that is not there yet, or empty
    #[arg(long)]
    dir: PathBuf,
    /// All wallets are of one merchant, who has an account and a session; whose refresh token lies beside them
    #[arg(long)]
    merchant: bool,
}

/// Where the token is left for whoever measures.
pub const REFRESH_TOKEN: &str = "refresh-token";
const MERCHANT: Uuid = Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0001);
/// The same as `--funds` has by default.
const FUNDS_MINOR: i64 = 100_000_000;
/// With the system wallet, as many legs as a transfer may have.
const PAYEES: u32 = 15;

pub fn run(args: &LedgerArgs) -> Result<ExitCode, Error> {
    let wallets = Wallets { seed: args.seed, count: args.wallets };
    let mut writer = Writer::create(&args.dir);
    writer.push(&Event::WalletOpened(load::system_opening()));
    for number in 0..args.wallets {
        let wallet = WalletId(wallets.id(number).as_u128());
        let owner = OwnerId(if args.merchant { MERCHANT } else { wallets.owner(number) }.as_u128());
        writer.push(&Event::WalletOpened(Opening { wallet, owner, ..load::opening(0) }));
    }
    for first in (0..args.wallets).step_by(PAYEES as usize) {
        writer.push(&Event::Transferred(deposit(&wallets, first)));
    }
    let last_lsn = writer.finish();
    if args.merchant {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("start a runtime"))?;
        let wallet = wallets.id(0);
        let token = runtime.block_on(merchant(&args.dir, wallet)).map_err(|error| Error::Failed(error.to_string()))?;
        std::fs::write(args.dir.join(REFRESH_TOKEN), token).map_err(Error::io("write the merchant's refresh token"))?;
    }
    say(&figures([("last_lsn", last_lsn as f64)]))
}

/// Opens the account to which the wallets belong already, and a session of it; gives the session's refresh token.
async fn merchant(dir: &Path, wallet: Uuid) -> Result<String, Box<dyn std::error::Error>> {
    let (seal, store) = (Seal::load_or_create(dir)?, Store::open(dir, None).await?);
    let now = Clock::default().now();
    let account = Account {
        id: MERCHANT,
        role: Role::Merchant,
        state: AccountState::Active,
        name_sealed: seal.seal("accounts.name", "Merchant"),
        locale: "en".to_owned(),
        currency: "INR".to_owned(),
        wallet,
        wallet_opened_at: Some(now),
        promotion: None,
        promotion_paid_at: None,
        promotion_refused: None,
        created_at: now,
        active_from: None,
        state_changed_at: now,
        wallet_status_wanted: None,
    };
    let session = Session {
        id: new_id(),
        account: MERCHANT,
        device: "bench".to_owned(),
        network_address: "127.0.0.1".to_owned(),
        created_at: now,
        last_used_at: now,
        expires_at: now + SESSION_MICROS,
        ended_at: None,
        ended_because: None,
        signed_in_by: By::Code,
    };
    let token = sessions::secret(sessions::REFRESH_PREFIX)?;
    let mut tx = store.begin().await?;
    accounts::insert(&mut tx, &account).await?;
    store::sessions::insert(&mut tx, &session).await?;
    store::sessions::add_token(&mut tx, &sessions::hash(&token), session.id, now).await?;
    tx.commit().await?;
    store.close().await;
    Ok(token.expose_secret().to_owned())
}

fn deposit(wallets: &Wallets, first: u32) -> Transfer {
    let payees = first..wallets.count.min(first + PAYEES);
    let system = load::system_opening().wallet;
    let mut legs: Legs =
        payees.map(|number| Leg { wallet: WalletId(wallets.id(number).as_u128()), amount: FUNDS_MINOR }).collect();
    let total = legs.iter().map(|leg| leg.amount).sum::<i64>();
    legs.push(Leg { wallet: system, amount: -total });
    let id = TransferId(wallets.funding(first, FUNDS_MINOR.unsigned_abs()).as_u128());
    Transfer::new(id, TransferKind::Deposit, load::inr(), legs, None).expect("it adds up")
}
