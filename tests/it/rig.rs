//! A ledger in a folder of its own, and the few calls that the tests of the engine need.

use florin::engine::{Engine, EngineConfig, Outcome};
use florin::ledger::{
    Amount, Book, Currency, Event, Kind, Leg, Legs, Limits, Opening, OwnerId, Transfer, TransferId, TransferKind,
    WalletId,
};
use tempfile::TempDir;

pub fn inr() -> Currency {
    Currency::by_code("INR").expect("in the list")
}

pub fn amount(minor: i64) -> Amount {
    Amount::new(minor).expect("above zero")
}

pub fn config(dir: &TempDir, shards: usize) -> EngineConfig {
    let mut config = EngineConfig::new(dir.path());
    config.shards = shards;
    config.segment_bytes = 1 << 20;
    config.snapshot_period = None;
    config
}

pub async fn start(config: EngineConfig) -> Engine {
    Engine::start(config, |_| {}).await.expect("the ledger starts")
}

pub fn opening(wallet: u128) -> Opening {
    Opening {
        wallet: WalletId(wallet),
        owner: OwnerId(wallet % 7 + 1_000_000),
        currency: inr(),
        kind: Kind::Personal,
        may_send: true,
        may_receive: true,
        limits: Limits::PLAIN,
    }
}

pub fn transfer(id: u128, legs: &[(u128, i64)]) -> Transfer {
    let legs: Legs = legs.iter().map(|&(wallet, amount)| Leg { wallet: WalletId(wallet), amount }).collect();
    Transfer::new(TransferId(id), TransferKind::Transfer, inr(), legs, None).expect("it adds up")
}

/// Opens wallets `1..=count`, each with `minor` from the system wallet.
pub async fn open_funded(engine: &Engine, count: u128, minor: i64) {
    let system = engine.system_wallet(inr()).await.expect("it opens");
    for wallet in 1..=count {
        assert!(matches!(engine.open_wallet(opening(wallet)).await, Outcome::Accepted(_)));
        let legs = [(system.0, -minor), (wallet, minor)];
        assert!(matches!(engine.transfer(transfer(u128::MAX - wallet, &legs)).await, Outcome::Accepted(_)));
    }
}

/// The events of a log, read by other means than the engine's.
pub fn events(dir: &TempDir) -> Vec<(u64, u64, Event)> {
    let disk = std::sync::Arc::new(wal::disk::RealDisk);
    let archive = dir.path().join("archive");
    let reader = wal::Reader::open(disk, &dir.path().join("log"), Some(&archive), &mut |_, _| {});
    let reader = reader.expect("the log is sound").expect("there is a log");
    let mut events = Vec::new();
    let mut scan = reader.scan(1);
    while let Some(group) = scan.next_group().expect("the log is sound") {
        for (lsn, body) in group.records() {
            events.push((lsn, group.time_micros, florin::engine::record::decode(body).expect("a known record")));
        }
    }
    events
}

/// The book of a log. Panics if the events do not make sense one after another.
pub fn book(dir: &TempDir) -> Book {
    let mut book = Book::default();
    for (lsn, time_micros, event) in events(dir) {
        book.apply(lsn, time_micros, &event).expect("the books make sense");
    }
    book
}

/// Waits, within bounds, until no midnight (UTC) comes within the next minute: what is counted here is one day's.
pub async fn clear_of_midnight() {
    const DAY_SECONDS: u64 = 86_400;
    let left = || DAY_SECONDS - std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() % DAY_SECONDS;
    while left() < 60 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
