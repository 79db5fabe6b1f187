//! The engine under random requests from many tasks at once, against the book of its own log: everything that was
//! acknowledged is there once, what was refused changed nothing, and each repeat gets the first answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use florin::engine::{CaptureRequest, Engine, EntriesQuery, Outcome, Receipt};
use florin::ledger::fingerprint::Fingerprint;
use florin::ledger::{Authorization, Event, HoldId, Reject, Status, Transfer, TransferId, WalletId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::rig::{amount, book, config, events, inr, open_funded, start, transfer};

const WALLETS: u128 = 12;
const TASKS: u64 = 8;
const STEPS: u64 = 250;
/// Microseconds since 1970: long ago.
const EXPIRED: u64 = 1;

/// What the clients were told.
#[derive(Default)]
struct Told {
    accepted: HashMap<u128, (Receipt, Transfer)>,
    refused: HashMap<u128, (Reject, Transfer)>,
    captured: HashMap<u128, u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_requests_agree_with_the_book_over_restarts() {
    let seed: u64 =
        std::env::var("FLORIN_SEED").map_or_else(|_| rand::random(), |text| text.parse().expect("a number"));
    println!("FLORIN_SEED={seed}");
    let dir = TempDir::new().expect("a temporary folder");
    let told = Arc::new(Mutex::new(Told::default()));
    let mut ids = 1u128 << 64;
    for (round, shards) in [2usize, 1, 3].into_iter().enumerate() {
        let mut settings = config(&dir, shards);
        settings.recent_rows_max = 300;
        let engine = start(settings).await;
        if round == 0 {
            open_funded(&engine, WALLETS, 1_000).await;
        }
        let mut tasks = Vec::new();
        for task in 0..TASKS {
            ids += 1 << 32;
            let rng = StdRng::seed_from_u64(seed ^ (round as u64) << 8 ^ task);
            tasks.push(tokio::spawn(run_task(engine.clone(), rng, ids, Arc::clone(&told))));
        }
        let snapshots = {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..3 {
                    engine.snapshot().await.expect("a snapshot is taken");
                }
            })
        };
        for task in tasks {
            task.await.expect("the task ends well");
        }
        snapshots.await.expect("the task ends well");
        check_repeats(&engine, &told).await;
        wait_for_expiry(&dir).await;
        check_against_book(&engine, &dir).await;
        engine.stop().await;
    }
    check_log(&dir, &told.lock().expect("no task has panicked"));
}

async fn run_task(engine: Engine, mut rng: StdRng, first_id: u128, told: Arc<Mutex<Told>>) {
    let mut holds: Vec<HoldId> = Vec::new();
    for step in 0..STEPS {
        let id = first_id + u128::from(step) * 64;
        match rng.random_range(0..100) {
            0..50 => {
                let asked = random_transfer(&mut rng, id);
                let outcome = engine.transfer(asked.clone()).await;
                note(&told, asked, &outcome);
            }
            50..60 => {
                let asked: Vec<Transfer> = (0..20).map(|n| random_transfer(&mut rng, id + n)).collect();
                let outcomes = engine.transfer_each(asked.clone()).await;
                asked.into_iter().zip(&outcomes).for_each(|(asked, outcome)| note(&told, asked, outcome));
            }
            60..70 => {
                let asked: Vec<Transfer> = (0..5).map(|n| random_transfer(&mut rng, id + n)).collect();
                match engine.transfer_all(asked.clone()).await {
                    Ok(receipts) => {
                        for (asked, receipt) in asked.into_iter().zip(receipts) {
                            note(&told, asked, &Outcome::Accepted(receipt));
                        }
                    }
                    Err(refusal) => match refusal.outcome {
                        Outcome::Refused(cause) => {
                            for (index, asked) in asked.into_iter().enumerate() {
                                let is_cause = index == refusal.index;
                                let reject = if is_cause { cause.reject } else { Reject::AtomicRefused };
                                told.lock()
                                    .expect("no task has panicked")
                                    .refused
                                    .insert(asked.id().0, (reject, asked));
                            }
                        }
                        Outcome::Failed(_) => {}
                        Outcome::Accepted(_) => panic!("accepted is no refusal"),
                    },
                }
            }
            70..80 => {
                let (payer, payee) = two_wallets(&mut rng);
                let minor = rng.random_range(1..200);
                let hold = HoldId(id);
                let authorization = Authorization {
                    hold,
                    fingerprint: Fingerprint::of_hold((payer, payee), minor, inr(), 60, None),
                    payer,
                    payee,
                    currency: inr(),
                    amount: amount(minor),
                    expires_at_micros: if rng.random_bool(0.1) { EXPIRED } else { u64::MAX / 2 },
                    reference: None,
                };
                if let Outcome::Accepted(_) = engine.authorize(authorization).await {
                    holds.push(hold);
                }
            }
            80..90 if !holds.is_empty() => {
                let hold = holds[rng.random_range(0..holds.len())];
                let minor = rng.random_bool(0.7).then(|| amount(rng.random_range(1..120)));
                let request =
                    CaptureRequest { id: TransferId(id), hold, amount: minor, is_final: rng.random_bool(0.3) };
                if let Outcome::Accepted(receipt) = engine.capture(request).await {
                    told.lock().expect("no task has panicked").captured.insert(id, receipt.lsn);
                    let again = engine.capture(request).await;
                    assert_eq!(again, Outcome::Accepted(Receipt { replayed: true, ..receipt }));
                }
            }
            90..94 if !holds.is_empty() => {
                let hold = holds.swap_remove(rng.random_range(0..holds.len()));
                engine.void(hold).await;
            }
            94..98 => {
                let wallet = WalletId(rng.random_range(1..=WALLETS));
                engine.set_status(wallet, Status::Frozen).await;
                engine.set_status(wallet, Status::Active).await;
            }
            _ => {
                let wallet = WalletId(rng.random_range(1..=WALLETS));
                let view = engine.wallet(wallet).await.expect("readable").expect("open");
                assert!(view.wallet.available() >= 0, "no wallet below its limit");
            }
        }
    }
}

fn two_wallets(rng: &mut StdRng) -> (WalletId, WalletId) {
    let first = rng.random_range(1..=WALLETS);
    let second = (first + rng.random_range(0..WALLETS - 1)) % WALLETS + 1;
    (WalletId(first), WalletId(second))
}

fn random_transfer(rng: &mut StdRng, id: u128) -> Transfer {
    let (from, to) = two_wallets(rng);
    let minor = rng.random_range(1..300);
    if rng.random_bool(0.8) {
        return transfer(id, &[(from.0, -minor), (to.0, minor)]);
    }
    let third = (1..=WALLETS).find(|wallet| *wallet != from.0 && *wallet != to.0).expect("there are more than two");
    transfer(id, &[(from.0, -minor - 1), (to.0, minor), (third, 1)])
}

fn note(told: &Mutex<Told>, asked: Transfer, outcome: &Outcome) {
    let mut told = told.lock().expect("no task has panicked");
    match outcome {
        Outcome::Accepted(receipt) => {
            told.accepted.insert(asked.id().0, (*receipt, asked));
        }
        Outcome::Refused(refusal) => {
            told.refused.insert(asked.id().0, (refusal.reject, asked));
        }
        Outcome::Failed(_) => {}
    }
}

async fn check_repeats(engine: &Engine, told: &Mutex<Told>) {
    let (accepted, refused) = {
        let told = told.lock().expect("no task has panicked");
        (told.accepted.clone(), told.refused.clone())
    };
    for (receipt, asked) in accepted.into_values() {
        let first = Outcome::Accepted(Receipt { replayed: true, ..receipt });
        assert_eq!(engine.transfer(asked).await, first);
    }
    for (id, (reject, asked)) in refused {
        match engine.transfer(asked).await {
            Outcome::Refused(refusal) => assert!(refusal.replayed && refusal.reject == reject, "{id:x}"),
            other => panic!("{id:x} was refused with {reject:?} and is now {other:?}"),
        }
        let other = transfer(id, &[(1, -77_777), (2, 77_777)]);
        let reused = Outcome::Failed(florin::engine::Failure::KeyReused);
        assert_eq!(engine.transfer(other).await, reused, "another request under the same id");
    }
}

/// Some holds expire at once; the tick that releases them comes once a second.
async fn wait_for_expiry(dir: &TempDir) {
    while book(dir).holds.values().any(|hold| hold.authorization.expires_at_micros == EXPIRED) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn check_against_book(engine: &Engine, dir: &TempDir) {
    let summary = engine.summary().await.expect("readable");
    let book = book(dir);
    assert_eq!(summary.last_lsn, book.last_lsn);
    assert_eq!(summary.state_hash, book.state_hash());
    assert_eq!(summary.currencies, book.sums().into_iter().collect::<Vec<_>>());
    assert!(summary.currencies.iter().all(|(_, sum)| sum.posted == 0), "money is conserved");
    let mut entries: HashMap<WalletId, Vec<(u64, i64, i64)>> = HashMap::new();
    let mut replay = florin::ledger::Book::default();
    for (lsn, time_micros, event) in events(dir) {
        for entry in replay.apply(lsn, time_micros, &event).expect("the books make sense") {
            entries.entry(entry.wallet).or_default().push((lsn, entry.amount, entry.balance_after));
        }
    }
    for (id, wallet) in &book.wallets {
        let view = engine.wallet(*id).await.expect("readable").expect("open");
        assert_eq!((view.wallet.posted(), view.wallet.held()), (wallet.posted, wallet.held));
        assert_eq!((view.wallet.reserved(), view.wallet.in_flight()), (0, 0), "nothing is left put aside");
        let mut expected = entries.remove(id).unwrap_or_default();
        expected.reverse();
        assert_eq!(all_entries(engine, *id).await, expected, "wallet {id}");
        for (lsn, _, balance_after) in expected.iter().step_by(17) {
            let at = engine.balance_at(*id, florin::engine::At::Lsn(*lsn)).await.expect("readable");
            assert_eq!(at, Some((*balance_after, *lsn)));
        }
    }
}

async fn all_entries(engine: &Engine, wallet: WalletId) -> Vec<(u64, i64, i64)> {
    let mut all = Vec::new();
    let mut before_lsn = None;
    loop {
        let query = EntriesQuery {
            wallet,
            before_lsn,
            not_after: None,
            not_before: None,
            direction: None,
            kind: None,
            counterparty: None,
            limit: 37,
        };
        let page = engine.entries(query).await.expect("readable");
        all.extend(page.entries.iter().map(|entry| (entry.lsn, entry.amount, entry.balance_after)));
        before_lsn = page.next_before_lsn;
        if before_lsn.is_none() {
            return all;
        }
    }
}

fn check_log(dir: &TempDir, told: &Told) {
    let mut decided: HashMap<u128, u64> = HashMap::new();
    for (lsn, _, event) in events(dir) {
        if let Some((id, _)) = event.request() {
            assert_eq!(decided.insert(id.0, lsn), None, "an id is decided once: {id}");
            match &event {
                Event::Transferred(transfer) if told.refused.contains_key(&id.0) => panic!("refused: {transfer:?}"),
                Event::Refused { reject, .. } => {
                    assert!(told.refused.get(&id.0).is_none_or(|(told, _)| told == reject));
                    assert!(!told.accepted.contains_key(&id.0), "accepted: {id}");
                }
                _ => {}
            }
        }
    }
    for (id, (receipt, _)) in &told.accepted {
        assert_eq!(decided.get(id), Some(&receipt.lsn), "what was acknowledged is in the log");
    }
    for (id, lsn) in &told.captured {
        assert_eq!(decided.get(id), Some(lsn), "what was acknowledged is in the log");
    }
    println!("{} accepted, {} refused, {} captured", told.accepted.len(), told.refused.len(), told.captured.len());
    assert!(told.accepted.len() > 500 && told.refused.len() > 50 && told.captured.len() > 20, "the load did something");
}
