//! Question: how many transfers a second does the book apply, the plain map that replay and verify trust?
//! Workload: 10,000 wallets, transfers between random pairs, one thread, no log.
//! Command: cargo bench --bench book

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use florin::ledger::{Book, Event};

use rig::load::{self, Load, Pairs};

mod rig;

const WALLETS: u64 = 10_000;

fn book(criterion: &mut Criterion) {
    let mut group = rig::group(criterion, "book", 5);
    group.throughput(Throughput::Elements(rig::BATCH as u64));
    let mut book = Book::default();
    let openings = std::iter::once(load::system_opening()).chain((0..WALLETS).map(load::opening));
    let opened = openings.map(Event::WalletOpened);
    for event in opened.chain(load::deposits(WALLETS).map(Event::Transferred)) {
        book.apply(book.last_lsn + 1, 0, &event).expect("the books make sense");
    }
    let mut load = Load::new(2, WALLETS);
    group.bench_function("apply/10000_wallets", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                let transfers = load.batch(rig::BATCH, Pairs::Random);
                let events: Vec<Event> = transfers.into_iter().map(Event::Transferred).collect();
                let began = Instant::now();
                for event in &events {
                    book.apply(book.last_lsn + 1, 0, event).expect("the books make sense");
                }
                took += began.elapsed();
            }
            took
        });
    });
    group.finish();
}

criterion_group!(benches, book);
criterion_main!(benches);
