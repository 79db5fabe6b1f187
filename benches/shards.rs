//! Question: how fast do two shards take two-phase transfers, with neither log nor claims on ids?
//! Workload: random pairs, batches of 8,190 one after another; `by_hand`: both shards in one thread, without
//! actors; `hosted`: a ractor actor each on tokio, four batches under way at once. The journal only gives positions.
//! Command: cargo bench --bench shards

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use florin::ledger::Transfer;

use rig::load::{Load, Pairs};
use rig::shards::{ByHand, Hosted};

mod rig;

const SHARDS: usize = 2;
const BATCHES_AT_ONCE: usize = 4;

fn by_hand(criterion: &mut Criterion) {
    let mut group = rig::group(criterion, "shards/by_hand_nosync", 4);
    group.throughput(Throughput::Elements(rig::BATCH as u64));
    for wallets in [10_000, 1_000_000] {
        let mut load = Load::new(3, wallets);
        let mut shards = None;
        group.bench_function(BenchmarkId::from_parameter(wallets), |bencher| {
            let shards = shards.get_or_insert_with(|| ByHand::new(SHARDS, wallets));
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let transfers = load.batch(rig::BATCH, Pairs::Random);
                    let began = Instant::now();
                    shards.transfer(transfers);
                    took += began.elapsed();
                }
                took
            });
        });
    }
    group.finish();
}

fn hosted(criterion: &mut Criterion) {
    let runtime = rig::runtime();
    let mut group = rig::group(criterion, "shards/hosted_nosync", 4);
    group.throughput(Throughput::Elements((BATCHES_AT_ONCE * rig::BATCH) as u64));
    for wallets in [10_000, 1_000_000] {
        let load = RefCell::new(Load::new(4, wallets));
        let mut shards = None;
        group.bench_function(BenchmarkId::from_parameter(wallets), |bencher| {
            let shards = shards.get_or_insert_with(|| Arc::new(runtime.block_on(Hosted::start(SHARDS, wallets))));
            bencher.iter_custom(|rounds| {
                let work = (0..BATCHES_AT_ONCE)
                    .map(|_| (0..rounds).map(|_| load.borrow_mut().batch(rig::BATCH, Pairs::Random)).collect());
                let work: Vec<Vec<Vec<Transfer>>> = work.collect();
                runtime.block_on(run(shards, work))
            });
        });
        if let Some(shards) = shards.and_then(Arc::into_inner) {
            runtime.block_on(shards.stop());
        }
    }
    group.finish();
}

/// Each caller's batches one after another, the callers at once.
async fn run(shards: &Arc<Hosted>, work: Vec<Vec<Vec<Transfer>>>) -> Duration {
    let began = Instant::now();
    let callers: Vec<_> = work
        .into_iter()
        .map(|batches| {
            let shards = Arc::clone(shards);
            tokio::spawn(async move {
                for batch in batches {
                    shards.transfer(batch).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller ends well");
    }
    began.elapsed()
}

criterion_group!(benches, by_hand, hosted);
criterion_main!(benches);
