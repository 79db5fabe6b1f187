//! Question: what does it cost to make every wallet a ractor actor of its own, against wallets hosted by ractor shards?
//! Workload: 100,000 wallets, two-phase transfers between random pairs, batches of 8,190, four under way at once, the
//! same wallet rules, no log. Memory for a wallet at rest is the growth of the resident set by the number of wallets,
//! printed; for the hosted ones over 1,000,000 wallets, since 100,000 hardly show.
//! Command: cargo bench --bench hosting

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::channel::{Receiver, Sender, unbounded};
use florin::ledger::{Limits, LimitsTable, Status, Wallet};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;

use rig::load::{self, FUNDS_MINOR, Load, Pairs};
use rig::shards::{Hosted, populated};

mod rig;

const WALLETS: u64 = 100_000;
const WALLETS_FOR_MEMORY: u64 = 1_000_000;
const SHARDS: usize = 2;
const BATCHES_AT_ONCE: usize = 4;

/// One actor for one wallet.
struct WalletActor;

/// What all wallet actors know.
struct Town {
    wallets: OnceLock<Vec<ActorRef<Mail>>>,
    journal: Sender<Payment>,
}

struct Home {
    wallet: Wallet,
    town: Arc<Town>,
}

/// Two legs in the order of the wallets' ids, each a wallet's number and what it is paid.
struct Payment {
    legs: [(u64, i64); 2],
    round: Arc<Round>,
}

enum Mail {
    Prepare { payment: Payment, at: usize },
    Settle { delta: i64 },
}

/// A batch that is under way.
struct Round {
    left: AtomicUsize,
    done: Notify,
}

impl Actor for WalletActor {
    type Msg = Mail;
    type State = Home;
    type Arguments = Home;

    async fn pre_start(&self, _myself: ActorRef<Mail>, home: Home) -> Result<Home, ActorProcessingErr> {
        Ok(home)
    }

    async fn handle(&self, _myself: ActorRef<Mail>, mail: Mail, home: &mut Home) -> Result<(), ActorProcessingErr> {
        match mail {
            Mail::Prepare { payment, at } => {
                let said = home.wallet.reserve(payment.legs[at].1, load::inr(), Limits::PLAIN, None);
                said.expect("every wallet has enough");
                match payment.legs.get(at + 1) {
                    Some(&(next, _)) => home.town.send(next, Mail::Prepare { payment, at: at + 1 }),
                    None => home.town.journal.send(payment).expect("the journal outlives the wallets"),
                }
            }
            Mail::Settle { delta } => {
                home.wallet.release(delta);
                home.wallet.post(delta);
            }
        }
        Ok(())
    }
}

impl Town {
    async fn start() -> Arc<Town> {
        let (journal, payments) = unbounded();
        let town = Arc::new(Town { wallets: OnceLock::new(), journal });
        let limits = LimitsTable::default().id(Limits::PLAIN);
        let mut actors = Vec::new();
        for number in 0..WALLETS {
            let wallet = Wallet::restore(&load::opening(number), limits, Status::Active, FUNDS_MINOR, 0);
            let home = Home { wallet, town: Arc::clone(&town) };
            actors.push(Actor::spawn(None, WalletActor, home).await.expect("an actor starts").0);
        }
        assert!(town.wallets.set(actors).is_ok(), "it is set once");
        let settling = Arc::clone(&town);
        std::thread::spawn(move || settling.run_journal(&payments));
        town
    }

    fn send(&self, wallet: u64, mail: Mail) {
        let wallets = self.wallets.get().expect("set before anything is sent");
        let index = usize::try_from(wallet).expect("it is an index");
        wallets[index].send_message(mail).expect("the wallets live as long as the bench");
    }

    /// Settles in one order and answers; writes nothing.
    fn run_journal(&self, payments: &Receiver<Payment>) {
        for Payment { legs, round } in payments {
            for (wallet, delta) in legs {
                self.send(wallet, Mail::Settle { delta });
            }
            if round.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                round.done.notify_one();
            }
        }
    }

    async fn transfer(&self, pairs: Vec<[(u64, i64); 2]>) {
        let round = Arc::new(Round { left: AtomicUsize::new(pairs.len()), done: Notify::new() });
        for legs in pairs {
            self.send(legs[0].0, Mail::Prepare { payment: Payment { legs, round: Arc::clone(&round) }, at: 0 });
        }
        round.done.notified().await;
    }
}

fn hosting(criterion: &mut Criterion) {
    let runtime = rig::runtime();
    let before = resident_bytes();
    let town = runtime.block_on(Town::start());
    report("one ractor actor per wallet", resident_bytes() - before, WALLETS);
    let before = resident_bytes();
    let shards = populated(SHARDS, WALLETS_FOR_MEMORY);
    report("hosted by ractor shards", resident_bytes() - before, WALLETS_FOR_MEMORY);
    drop(shards);
    let hosted = Arc::new(runtime.block_on(Hosted::start(SHARDS, WALLETS)));

    let mut group = rig::group(criterion, "hosting_nosync", 5);
    group.throughput(Throughput::Elements((BATCHES_AT_ONCE * rig::BATCH) as u64));
    let mut load = Load::new(5, WALLETS);
    group.bench_function("actor_per_wallet", |bencher| {
        bencher.iter_custom(|rounds| {
            let work = work(rounds, || (0..rig::BATCH).map(|_| legs(load.pair(Pairs::Random))).collect());
            let town = Arc::clone(&town);
            runtime.block_on(run(work, move |pairs| {
                let town = Arc::clone(&town);
                async move { town.transfer(pairs).await }
            }))
        });
    });
    let mut load = Load::new(6, WALLETS);
    group.bench_function("hosted_by_shards", |bencher| {
        bencher.iter_custom(|rounds| {
            let work = work(rounds, || load.batch(rig::BATCH, Pairs::Random));
            let hosted = Arc::clone(&hosted);
            runtime.block_on(run(work, move |transfers| {
                let hosted = Arc::clone(&hosted);
                async move { hosted.transfer(transfers).await }
            }))
        });
    });
    group.finish();
}

/// For each caller its batches, made before the clock runs.
fn work<B>(rounds: u64, mut batch: impl FnMut() -> B) -> Vec<Vec<B>> {
    (0..BATCHES_AT_ONCE).map(|_| (0..rounds).map(|_| batch()).collect()).collect()
}

/// Each caller's batches one after another, the callers at once.
async fn run<B, F>(work: Vec<Vec<B>>, transfer: impl Fn(B) -> F + Clone + Send + 'static) -> Duration
where
    B: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let mut callers = Vec::new();
    for batches in work {
        let transfer = transfer.clone();
        callers.push(tokio::spawn(async move {
            for batch in batches {
                transfer(batch).await;
            }
        }));
    }
    for caller in callers {
        caller.await.expect("a caller ends well");
    }
    began.elapsed()
}

/// The wallets' numbers and ids have the same order.
fn legs((from, to): (u64, u64)) -> [(u64, i64); 2] {
    if from < to { [(from, -1), (to, 1)] } else { [(to, 1), (from, -1)] }
}

fn report(what: &str, bytes: u64, wallets: u64) {
    println!("memory for a wallet at rest, {what}: {} B ({wallets} wallets)", bytes / wallets);
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux system tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is in the status");
    let kibibytes = line.trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().expect("a number") * 1024
}

criterion_group!(benches, hosting);
criterion_main!(benches);
