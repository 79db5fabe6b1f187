//! Question: how many transfers a second does the engine take in process, to fdatasync, with the claims on ids on?
//! Workload: `batches`: random pairs of 10 k, 100 k and 1 M wallets in batches of 8,190 from 1, 2 and 4 callers at once;
//! `one_merchant`: the same with everybody paying one wallet; `single`: one transfer a call, 64 and 1,024 in flight.
//! A shard per core. What a caller sends is made before the clock runs.
//! Command: cargo bench --bench engine

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use florin::engine::{Engine, EngineConfig, Outcome};
use florin::ledger::Transfer;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use rig::load::{Load, Pairs};

mod rig;

const CALLERS: [usize; 3] = [1, 2, 4];
const CALLERS_OF_ONE_MERCHANT: usize = 4;
const SINGLE_IN_FLIGHT: [usize; 2] = [64, 1_024];
/// Transfers that each of them sends in a round, one after another.
const SINGLES_PER_ROUND: usize = 16;

fn ten_thousand(criterion: &mut Criterion) {
    measure(criterion, 10_000);
}

fn hundred_thousand(criterion: &mut Criterion) {
    measure(criterion, 100_000);
}

fn million(criterion: &mut Criterion) {
    measure(criterion, 1_000_000);
}

/// One ledger for all measurements of one number of wallets, made when the first of them runs.
fn measure(criterion: &mut Criterion, wallets: u64) {
    let runtime = rig::runtime();
    let mut running = None;
    let mut group = rig::group(criterion, &format!("engine/{wallets}_wallets"), 3);
    let rows = CALLERS.map(|callers| ("batches", callers, Pairs::Random));
    for (name, callers, pairs) in
        rows.into_iter().chain([("one_merchant", CALLERS_OF_ONE_MERCHANT, Pairs::OneMerchant)])
    {
        group.throughput(Throughput::Elements((callers * rig::BATCH) as u64));
        group.bench_function(BenchmarkId::new(name, callers), |bencher| {
            let ledger = running.get_or_insert_with(|| Ledger::start(&runtime, wallets));
            bencher.iter_custom(|rounds| ledger.batches(&runtime, callers, rounds, pairs));
        });
    }
    for in_flight in SINGLE_IN_FLIGHT {
        group.throughput(Throughput::Elements((in_flight * SINGLES_PER_ROUND) as u64));
        group.bench_function(BenchmarkId::new("single", in_flight), |bencher| {
            let ledger = running.get_or_insert_with(|| Ledger::start(&runtime, wallets));
            bencher.iter_custom(|rounds| ledger.singles(&runtime, in_flight, rounds));
        });
    }
    group.finish();
    if let Some(ledger) = running {
        runtime.block_on(ledger.engine.stop());
    }
}

struct Ledger {
    engine: Engine,
    load: Load,
    _folder: TempDir,
}

impl Ledger {
    fn start(runtime: &Runtime, wallets: u64) -> Ledger {
        let folder = rig::folder();
        rig::ledger::write(folder.path(), wallets, 0);
        let config = rig::ledger::config(folder.path(), EngineConfig::new(folder.path()).shards);
        let engine = runtime.block_on(Engine::start(config, |_| {})).expect("the ledger starts");
        Ledger { engine, load: Load::new(8, wallets), _folder: folder }
    }

    fn batches(&mut self, runtime: &Runtime, callers: usize, rounds: u64, pairs: Pairs) -> Duration {
        let mut batches = || (0..rounds).map(|_| self.load.batch(rig::BATCH, pairs)).collect();
        let work: Vec<Vec<Vec<Transfer>>> = (0..callers).map(|_| batches()).collect();
        let engine = &self.engine;
        runtime.block_on(at_once(work, |batches| {
            let engine = engine.clone();
            async move {
                for batch in batches {
                    engine.transfer_each(batch).await.iter().for_each(check);
                }
            }
        }))
    }

    fn singles(&mut self, runtime: &Runtime, in_flight: usize, rounds: u64) -> Duration {
        let count = SINGLES_PER_ROUND * usize::try_from(rounds).expect("few rounds");
        let work: Vec<Vec<Transfer>> = (0..in_flight).map(|_| self.load.batch(count, Pairs::Random)).collect();
        let engine = &self.engine;
        runtime.block_on(at_once(work, |transfers| {
            let engine = engine.clone();
            async move {
                for transfer in transfers {
                    check(&engine.transfer(transfer).await);
                }
            }
        }))
    }
}

/// Every caller in a task of its own.
async fn at_once<W, F>(work: Vec<W>, caller: impl Fn(W) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let callers: Vec<_> = work.into_iter().map(|work| tokio::spawn(caller(work))).collect();
    for caller in callers {
        caller.await.expect("a caller ends well");
    }
    began.elapsed()
}

fn check(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Accepted(receipt) if !receipt.replayed), "{outcome:?}");
}

criterion_group!(benches, ten_thousand, hundred_thousand, million);
criterion_main!(benches);
