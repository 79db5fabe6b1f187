//! Writes the log of a ledger whose wallets are those of `loadtest run` with a seed, funded: what `loadtest` would do
//! through HTTP in an hour for 100 million wallets takes a minute here. The server makes indexes and a snapshot of it.

use std::path::PathBuf;
use std::process::ExitCode;

use florin::ledger::{Event, Leg, Legs, Opening, OwnerId, Transfer, TransferId, TransferKind, WalletId};
use loadtest::ids::Wallets;

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
}

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
        let owner = OwnerId(wallets.owner(number).as_u128());
        writer.push(&Event::WalletOpened(Opening { wallet, owner, ..load::opening(0) }));
    }
    for first in (0..args.wallets).step_by(PAYEES as usize) {
        writer.push(&Event::Transferred(deposit(&wallets, first)));
    }
    say(&figures([("last_lsn", writer.finish() as f64)]))
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
