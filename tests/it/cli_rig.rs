//! The real binary, and a ledger with something of everything in it for the binary to work on.

use std::path::Path;
use std::process::{Command, Output};

use florin::engine::{CaptureRequest, Engine, EngineConfig, Outcome};
use florin::ledger::fingerprint::Fingerprint;
use florin::ledger::{
    Authorization, Currency, HoldId, Kind, Leg, Legs, Limits, Opening, OwnerId, SpendingLimits, Status, Transfer,
    TransferId, TransferKind, WalletId,
};
use tempfile::TempDir;

use crate::rig::{amount, config, start};

/// Exit code and what was printed.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `florin` to its end.
pub fn florin(arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("FLORIN_API_KEY");
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what it prints is text");
    Said { code: status.code().expect("it ends by itself"), out: text(stdout), err: text(stderr) }
}

/// The same with `--data-dir`, which must have succeeded.
pub fn on(command: &str, dir: &Path, arguments: &[&str]) -> Said {
    let dir = dir.to_str().expect("a plain path");
    let mut all = vec![command, "--data-dir", dir];
    all.extend(arguments);
    florin(&all)
}

/// The one JSON object on a line that has this value at this key.
pub fn json_line(said: &Said, key: &str, value: &str) -> serde_json::Value {
    let lines = said.out.lines().map(|line| serde_json::from_str(line).expect("every line is JSON"));
    let mut found = lines.filter(|line: &serde_json::Value| line[key] == value);
    let line = found.next().unwrap_or_else(|| panic!("no line with {key} {value}: {said:?}"));
    assert!(found.next().is_none(), "several lines with {key} {value}");
    line
}

pub const HOLDS: u128 = 0xF0_0000;
const NASTY: &str = "a, b: \"c\" ; \\ 'd'\ndate:2020-01-01 ☂";

/// Three currencies, system wallets, transfers of two and four legs with references of every kind, holds in every
/// state, refusals, and wallets frozen and closed; snapshots on the way, the log in several segments.
pub struct Ledger {
    pub dir: TempDir,
    next_id: u128,
}

impl Ledger {
    pub async fn make(bulk: usize) -> Ledger {
        let dir = TempDir::new().expect("a temporary folder");
        let engine = start(Ledger::config(&dir)).await;
        let mut ledger = Ledger { dir, next_id: 0xA0_0000 };
        for (number, code) in (0u128..).zip(["CZK", "JPY", "KWD"]) {
            ledger.currency(&engine, Currency::by_code(code).expect("in the list"), number * 100).await;
        }
        engine.snapshot().await.expect("a snapshot is taken");
        ledger.holds(&engine, Currency::by_code("CZK").expect("in the list")).await;
        let czk = Currency::by_code("CZK").expect("in the list");
        for chunk in 0..bulk.div_ceil(4_000) {
            let count = (bulk - chunk * 4_000).min(4_000) as u128;
            let transfers = (0..count).map(|number| {
                let (from, to) = (1 + number % 5, 1 + (number + 1) % 5);
                ledger.transfer(czk, &[(from, -1), (to, 1)], None)
            });
            let transfers: Vec<Transfer> = transfers.collect();
            let outcomes = engine.transfer_each(transfers).await;
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
            engine.snapshot().await.expect("a snapshot is taken");
        }
        // After the last snapshot too, so that the indexes end before the log does.
        ledger.accept(&engine, czk, &[(1, -1), (2, 1)], None).await;
        engine.stop().await;
        ledger
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(dir: &TempDir) -> EngineConfig {
        let mut config = config(dir, 2);
        config.snapshots_kept = 3;
        config
    }

    async fn currency(&mut self, engine: &Engine, currency: Currency, base: u128) {
        let system = engine.system_wallet(currency).await.expect("it opens").0;
        for number in 1..=6 {
            let limits = if number == 2 {
                Limits { overdraft_limit: Some(5_000), balance_ceiling: Some(1_000_000_000) }
            } else {
                Limits::PLAIN
            };
            let opening = Opening {
                wallet: WalletId(base + number),
                owner: OwnerId(base + number % 3 + 1_000),
                currency,
                kind: if number == 3 { Kind::Merchant } else { Kind::Personal },
                may_send: true,
                may_receive: true,
                limits,
            };
            assert!(matches!(engine.open_wallet(opening).await, Outcome::Accepted(_)));
        }
        let wallet = |number: u128| base + number;
        for number in 1..=5 {
            self.accept(engine, currency, &[(system, -1_234_567), (wallet(number), 1_234_567)], Some("first")).await;
        }
        self.accept(engine, currency, &[(wallet(1), -10), (wallet(2), 10)], Some(NASTY)).await;
        let legs = [(wallet(1), -100), (wallet(2), 60), (wallet(3), 39), (system, 1)];
        self.accept(engine, currency, &legs, None).await;
        let poor = self.transfer(currency, &[(wallet(6), -1), (wallet(1), 1)], None);
        assert!(matches!(engine.transfer(poor).await, Outcome::Refused(_)));
        assert!(matches!(engine.set_status(WalletId(wallet(6)), Status::Closed).await, Outcome::Accepted(_)));
        assert!(matches!(engine.set_status(WalletId(wallet(4)), Status::Frozen).await, Outcome::Accepted(_)));
        if base == 0 {
            let limits = SpendingLimits {
                per_payment: Some(amount(1_000_000)),
                per_day: Some(amount(2_000_000)),
                ..SpendingLimits::default()
            };
            assert!(matches!(engine.limit_spending(WalletId(wallet(1)), limits).await, Outcome::Accepted(_)));
            assert!(matches!(engine.set_status(WalletId(wallet(4)), Status::Active).await, Outcome::Accepted(_)));
        }
    }

    /// Open, captured in part, captured to the end, voided.
    async fn holds(&mut self, engine: &Engine, currency: Currency) {
        for number in 0..4 {
            let hold = HoldId(HOLDS + number);
            let (payer, payee, minor) = (WalletId(1), WalletId(3), amount(500));
            let expires_at_micros = u64::MAX / 4;
            let mut authorization = Authorization {
                hold,
                fingerprint: 0,
                payer,
                payee,
                currency,
                amount: minor,
                expires_at_micros,
                reference: Some("a table for two".into()),
            };
            authorization.fingerprint =
                Fingerprint::of_hold((payer, payee), minor.minor(), currency, 604_800, Some("a table for two"));
            assert!(matches!(engine.authorize(authorization).await, Outcome::Accepted(_)));
            let capture =
                |amount, is_final| CaptureRequest { id: TransferId(HOLDS + 0x100 + number), hold, amount, is_final };
            let outcome = match number {
                0 => continue,
                1 => engine.capture(capture(Some(amount(200)), false)).await,
                2 => engine.capture(capture(Some(amount(450)), true)).await,
                _ => engine.void(hold).await,
            };
            assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        }
    }

    fn transfer(&mut self, currency: Currency, legs: &[(u128, i64)], reference: Option<&str>) -> Transfer {
        self.next_id += 1;
        let legs: Legs = legs.iter().map(|&(wallet, amount)| Leg { wallet: WalletId(wallet), amount }).collect();
        let id = TransferId(self.next_id);
        Transfer::new(id, TransferKind::Transfer, currency, legs, reference.map(Box::from)).expect("it adds up")
    }

    async fn accept(&mut self, engine: &Engine, currency: Currency, legs: &[(u128, i64)], reference: Option<&str>) {
        let outcome = engine.transfer(self.transfer(currency, legs, reference)).await;
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    }
}

/// A transfer of two legs that is not one of the ledger's own.
pub fn czk(id: u128, legs: &[(u128, i64)]) -> Transfer {
    let legs: Legs = legs.iter().map(|&(wallet, amount)| Leg { wallet: WalletId(wallet), amount }).collect();
    let currency = Currency::by_code("CZK").expect("in the list");
    Transfer::new(TransferId(id), TransferKind::Transfer, currency, legs, None).expect("it adds up")
}
