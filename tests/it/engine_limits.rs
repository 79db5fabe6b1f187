//! Spending limits through the engine: exact under many payments at once, over restarts, and in snapshots.

use std::collections::VecDeque;
use std::sync::Arc;

use florin::engine::batch::Batch;
use florin::engine::conversation::{Act, Acts, Conversation};
use florin::engine::journal::JournalOutput;
use florin::engine::messages::JournalBatch;
use florin::engine::placement::Placement;
use florin::engine::recovery::recover;
use florin::engine::{CaptureRequest, Engine, Outcome};
use florin::ledger::fingerprint::Fingerprint;
use florin::ledger::{
    Authorization, HoldId, Reject, SpendingLimits, SpentNow, Status, Transfer, TransferId, UtcOffset, WalletId,
};
use tempfile::TempDir;

use crate::rig::{amount, book, clear_of_midnight, config, events, inr, open_funded, opening, start, transfer};

/// Transfers and wallets share one space of ids.
const FIRST_ID: u128 = 1 << 64;

fn per_day(minor: i64) -> SpendingLimits {
    SpendingLimits { per_day: Some(amount(minor)), ..SpendingLimits::default() }
}

async fn limit(engine: &Engine, wallet: u128, limits: SpendingLimits) {
    let outcome = engine.limit_spending(WalletId(wallet), limits).await;
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
}

async fn spent(engine: &Engine, wallet: u128) -> Option<SpentNow> {
    engine.spending(WalletId(wallet)).await.expect("readable").map(|(_, spent)| spent)
}

fn refused_by(outcome: &Outcome) -> Option<Reject> {
    if let Outcome::Refused(refusal) = outcome { Some(refusal.reject) } else { None }
}

async fn authorize(engine: &Engine, id: u128, minor: i64) -> Outcome {
    let (payer, payee) = (WalletId(1), WalletId(2));
    let authorization = Authorization {
        hold: HoldId(id),
        fingerprint: Fingerprint::of_hold((payer, payee), minor, inr(), 60, None),
        payer,
        payee,
        currency: inr(),
        amount: amount(minor),
        expires_at_micros: u64::MAX / 2,
        reference: None,
    };
    engine.authorize(authorization).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_payments_at_once_spend_exactly_the_limit() {
    clear_of_midnight().await;
    for shards in [1, 2, 3] {
        let dir = TempDir::new().expect("a temporary folder");
        let engine = start(config(&dir, shards)).await;
        open_funded(&engine, 9, 1_000_000).await;
        limit(&engine, 1, per_day(1_000)).await;
        limit(&engine, 5, SpendingLimits { per_month: Some(amount(700)), ..SpendingLimits::default() }).await;
        let mut tasks = Vec::new();
        for task in 0..16u128 {
            let engine = engine.clone();
            tasks.push(tokio::spawn(async move {
                let mut accepted = [0, 0];
                for step in 0..40u128 {
                    let id = FIRST_ID + (task << 32) + step * 8;
                    let to = 2 + (task + step) % 3;
                    // Either alone or with others at once, as one of them or as all of them.
                    let payments: Vec<Transfer> = [(1, 3, 0), (5, 1, 1), (1, 4, 2)]
                        .into_iter()
                        .map(|(from, minor, n)| transfer(id + n, &[(from, -minor), (to, minor)]))
                        .collect();
                    let outcomes = match (task + step) % 3 {
                        0 => engine.transfer_each(payments.clone()).await,
                        1 => match engine.transfer_all(payments.clone()).await {
                            Ok(receipts) => receipts.into_iter().map(Outcome::Accepted).collect(),
                            Err(refusal) => vec![refusal.outcome],
                        },
                        _ => vec![engine.transfer(payments[0].clone()).await],
                    };
                    for (payment, outcome) in payments.iter().zip(&outcomes) {
                        let payer = payment.legs().iter().find(|leg| leg.amount < 0).expect("somebody pays");
                        match outcome {
                            Outcome::Accepted(_) => accepted[usize::from(payer.wallet.0 == 5)] -= payer.amount,
                            // An atomic bulk is turned away while another change is under way.
                            Outcome::Failed(_) => {}
                            Outcome::Refused(refusal) => assert!(
                                matches!(refusal.reject, Reject::DayLimitExceeded | Reject::MonthLimitExceeded),
                                "{refusal:?}"
                            ),
                        }
                    }
                }
                accepted
            }));
        }
        let mut accepted = [0, 0];
        for task in tasks {
            let [one, five] = task.await.expect("the task ends well");
            accepted = [accepted[0] + one, accepted[1] + five];
        }
        // What is left is less than a payment; single units use it up to the last one.
        for unit in 0..8u128 {
            let outcome = engine.transfer(transfer(FIRST_ID * 2 + unit, &[(1, -1), (2, 1)])).await;
            accepted[0] += i64::from(matches!(outcome, Outcome::Accepted(_)));
        }
        assert_eq!(accepted[0], 1_000, "exactly the limit went out");
        assert!(accepted[1] <= 700 && accepted[1] > 0, "{accepted:?}");
        assert_eq!(spent(&engine, 1).await, Some(SpentNow { day: 1_000, month: 1_000 }));
        assert_eq!(spent(&engine, 5).await.map(|spent| spent.month), Some(accepted[1]));
        assert_eq!(spent(&engine, 2).await, None);
        let outcome = engine.transfer(transfer(FIRST_ID * 3, &[(1, -1), (2, 1)])).await;
        assert_eq!(refused_by(&outcome), Some(Reject::DayLimitExceeded));
        assert_eq!(refused_by(&authorize(&engine, FIRST_ID * 3 + 1, 1).await), Some(Reject::DayLimitExceeded));
        let hash = engine.summary().await.expect("readable").state_hash;
        engine.stop().await;
        assert_eq!(book(&dir).state_hash(), hash, "the book, which checks the limits too, comes to the same");
    }
}

#[tokio::test]
async fn limits_and_what_was_spent_survive_restarts_with_and_without_a_snapshot() {
    clear_of_midnight().await;
    let dir = TempDir::new().expect("a temporary folder");
    let engine = start(config(&dir, 2)).await;
    open_funded(&engine, 3, 10_000).await;
    let limits = SpendingLimits {
        per_payment: Some(amount(400)),
        per_day: Some(amount(900)),
        per_month: Some(amount(5_000)),
        utc_offset: UtcOffset::default(),
    };
    limit(&engine, 1, limits).await;
    limit(&engine, 2, per_day(5)).await;
    limit(&engine, 2, SpendingLimits::default()).await;
    engine.transfer(transfer(FIRST_ID, &[(1, -300), (2, 300)])).await;
    assert!(matches!(authorize(&engine, FIRST_ID + 1, 250).await, Outcome::Accepted(_)));
    engine.stop().await;

    for (shards, takes_snapshot) in [(3, true), (1, false), (2, true), (2, false)] {
        let engine = start(config(&dir, shards)).await;
        let known = engine.spending(WalletId(1)).await.expect("readable");
        assert_eq!(known, Some((limits, SpentNow { day: 300, month: 300 })));
        assert_eq!(spent(&engine, 2).await, None, "its limits were taken away");
        let id = FIRST_ID + 100 + shards as u128 * 4 + u128::from(takes_snapshot);
        let outcome = engine.transfer(transfer(id, &[(1, -401), (2, 401)])).await;
        assert_eq!(refused_by(&outcome), Some(Reject::PaymentLimitExceeded));
        let outcome = engine.transfer(transfer(id + 1_000, &[(1, -351), (2, 351)])).await;
        assert_eq!(refused_by(&outcome), Some(Reject::DayLimitExceeded), "300 were spent and 250 are held");
        if takes_snapshot {
            engine.snapshot().await.expect("a snapshot is taken");
        }
        let hash = engine.summary().await.expect("readable").state_hash;
        engine.stop().await;
        assert_eq!(book(&dir).state_hash(), hash);
    }
}

#[tokio::test]
async fn a_hold_is_captured_whatever_the_limits_have_become() {
    clear_of_midnight().await;
    let dir = TempDir::new().expect("a temporary folder");
    let engine = start(config(&dir, 2)).await;
    open_funded(&engine, 2, 10_000).await;
    limit(&engine, 1, per_day(1_000)).await;
    let hold = HoldId(FIRST_ID);
    assert!(matches!(authorize(&engine, hold.0, 900).await, Outcome::Accepted(_)));
    let outcome = engine.transfer(transfer(FIRST_ID + 1, &[(1, -101), (2, 101)])).await;
    assert_eq!(refused_by(&outcome), Some(Reject::DayLimitExceeded), "the hold counts");
    limit(&engine, 1, per_day(10)).await;
    let request = CaptureRequest { id: TransferId(FIRST_ID + 2), hold, amount: Some(amount(800)), is_final: true };
    assert!(matches!(engine.capture(request).await, Outcome::Accepted(_)));
    assert_eq!(spent(&engine, 1).await, Some(SpentNow { day: 800, month: 800 }));
    limit(&engine, 1, per_day(900)).await;
    assert!(matches!(engine.transfer(transfer(FIRST_ID + 3, &[(1, -100), (2, 100)])).await, Outcome::Accepted(_)));
    let outcome = engine.transfer(transfer(FIRST_ID + 4, &[(1, -1), (2, 1)])).await;
    assert_eq!(refused_by(&outcome), Some(Reject::DayLimitExceeded));
    engine.stop().await;
    book(&dir);
}

#[tokio::test]
async fn setting_limits_is_idempotent_and_asks_the_wallet() {
    let dir = TempDir::new().expect("a temporary folder");
    let engine = start(config(&dir, 1)).await;
    open_funded(&engine, 1, 10).await;
    engine.open_wallet(crate::rig::opening(2)).await;
    for replayed in [false, true] {
        let outcome = engine.limit_spending(WalletId(1), per_day(5)).await;
        assert!(matches!(outcome, Outcome::Accepted(receipt) if receipt.replayed == replayed), "{outcome:?}");
    }
    let none = SpendingLimits { utc_offset: UtcOffset::from_minutes(60).expect("small"), ..SpendingLimits::default() };
    let outcome = engine.limit_spending(WalletId(2), none).await;
    assert!(matches!(outcome, Outcome::Accepted(receipt) if receipt.replayed), "it has none: {outcome:?}");
    assert_eq!(refused_by(&engine.limit_spending(WalletId(9), per_day(5)).await), Some(Reject::WalletNotFound));
    engine.set_status(WalletId(2), Status::Closed).await;
    assert_eq!(refused_by(&engine.limit_spending(WalletId(2), per_day(5)).await), Some(Reject::WalletClosed));
    engine.set_status(WalletId(1), Status::Frozen).await;
    limit(&engine, 1, per_day(4)).await;
    let records = events(&dir).len();
    limit(&engine, 1, per_day(4)).await;
    engine.stop().await;
    assert_eq!(events(&dir).len(), records, "what changes nothing is not recorded");
}

/// A clock may be set back while a payment is on its way to the log. If its record had that earlier time, it might count on
/// a day on which it was not let out, beside all that had been spent on that day before.
#[test]
fn no_record_is_of_a_time_before_it_was_asked_for() {
    let dir = TempDir::new().expect("a temporary folder");
    let config = config(&dir, 1);
    let disk: Arc<dyn wal::disk::Disk> = Arc::new(wal::disk::RealDisk);
    let mut recovered = recover(&disk, &config, &mut |_| {}).expect("an empty folder");
    let mut times = Vec::new();
    for (wallet, asked_micros, written_micros) in [(1, 5_000, 4_000), (2, 4_500, 4_600), (3, 6_000, 7_000)] {
        let (batch, _answers) = Batch::new(Acts::One(Act::Open(opening(wallet))), 1, asked_micros, None);
        let conversation = Conversation::new(0, batch.act(0), Placement::new(1));
        recovered.journal.put(JournalBatch { batch, conversations: std::iter::once(conversation).collect() });
        let mut out = VecDeque::new();
        recovered.journal.write(written_micros, &mut out).expect("the disk takes it");
        times.extend(out.into_iter().filter_map(|output| match output {
            JournalOutput::Settle(group) => Some(group.time_micros),
            JournalOutput::Mark { .. } | JournalOutput::Index(_) => None,
        }));
    }
    assert_eq!(times, [5_000, 5_000, 7_000]);
}
