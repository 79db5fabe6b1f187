//! Shards without a log: the journal is a stand-in that gives positions, settles, answers and sets a mark now and
//! then. Driven by hand as plain state machines, or hosted by the server's own ractor actors.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, unbounded};
use florin::engine::batch::Batch;
use florin::engine::claims::Claims;
use florin::engine::conversation::{ActRef, Acts, Answer, Answers, Conversation, Conversations};
use florin::engine::host::{ShardActor, Wires};
use florin::engine::messages::{Group, JournalBatch, JournalMessage, ShardMessage};
use florin::engine::placement::Placement;
use florin::engine::runs::Runs;
use florin::engine::shard::{Outbox, Shard};
use florin::ledger::{Status, Transfer};
use ractor::Actor;
use tokio::sync::oneshot;
use wal::disk::SimDisk;

use super::load::{self, FUNDS_MINOR};

/// Records between two marks, at which the shards let go of the entries that they have collected.
const RECORDS_PER_MARK: u64 = 1 << 20;

/// Shards with `wallets` funded wallets, restored as from a snapshot.
pub fn populated(shards: usize, wallets: u64) -> Vec<Shard> {
    let placement = Placement::new(shards);
    let index = Runs::open(Arc::new(SimDisk::new(1)), Path::new("/ids")).expect("an empty folder");
    let claims = Arc::new(Claims::new(Arc::new(index)));
    let mut shards: Vec<Shard> =
        (0..shards).map(|index| Shard::new(index, placement, Arc::clone(&claims), 0)).collect();
    for number in 0..wallets {
        let opening = load::opening(number);
        shards[placement.shard_of(opening.wallet)].restore_wallet(&opening, Status::Active, FUNDS_MINOR, 0);
    }
    shards
}

/// Shards in one thread, without actors.
pub struct ByHand {
    shards: Vec<Shard>,
    placement: Placement,
    positions: Positions,
    messages: VecDeque<(usize, ShardMessage)>,
    out: Outbox,
}

impl ByHand {
    pub fn new(shards: usize, wallets: u64) -> ByHand {
        ByHand {
            shards: populated(shards, wallets),
            placement: Placement::new(shards),
            positions: Positions::default(),
            messages: VecDeque::new(),
            out: Outbox::default(),
        }
    }

    /// Takes a batch through both phases. Panics unless all of it became durable.
    pub fn transfer(&mut self, transfers: Vec<Transfer>) {
        let (messages, mut answers) = prepares(transfers, self.placement);
        self.messages.extend(messages);
        let agreed = self.handle_all();
        let group = self.positions.group(agreed);
        self.send_all(|| ShardMessage::Settle(Arc::clone(&group)));
        self.handle_all();
        group.answer();
        if let Some(lsn) = self.positions.mark_due() {
            self.send_all(|| ShardMessage::Mark { lsn, cut: None });
            self.handle_all();
        }
        check(&answers.try_recv().expect("it was answered"));
    }

    fn send_all(&mut self, message: impl Fn() -> ShardMessage) {
        self.messages.extend((0..self.shards.len()).map(|shard| (shard, message())));
    }

    fn handle_all(&mut self) -> Vec<JournalBatch> {
        while let Some((shard, message)) = self.messages.pop_front() {
            self.shards[shard].handle(message, &mut self.out);
            self.messages.extend(self.out.shards.drain(..));
        }
        self.out.indexer.clear();
        std::mem::take(&mut self.out.journal)
    }
}

/// Shards hosted by ractor actors on tokio, the stand-in journal in its own thread.
pub struct Hosted {
    wires: Arc<Wires>,
    placement: Placement,
}

impl Hosted {
    pub async fn start(shards: usize, wallets: u64) -> Hosted {
        let (to_journal, journal) = unbounded();
        // Nobody listens to what would go to the index: marks only free the memory.
        let (to_indexer, _) = unbounded();
        let wires = Arc::new(Wires::new(to_journal, to_indexer));
        let mut actors = Vec::new();
        for shard in populated(shards, wallets) {
            let spawned = Actor::spawn(None, ShardActor, (shard, Arc::clone(&wires))).await;
            actors.push(spawned.expect("an actor starts").0);
        }
        wires.connect(actors);
        let journal_wires = Arc::clone(&wires);
        std::thread::spawn(move || run_journal(&journal, &journal_wires));
        Hosted { wires, placement: Placement::new(shards) }
    }

    pub async fn transfer(&self, transfers: Vec<Transfer>) {
        let (messages, answers) = prepares(transfers, self.placement);
        for (shard, message) in messages {
            self.wires.to_shard(shard, message);
        }
        check(&answers.await.expect("it is answered"));
    }

    pub async fn stop(self) {
        for shard in self.wires.shards() {
            shard.drain_and_wait(None).await.expect("a shard ends");
        }
        stop_journal(&self.wires.journal);
    }
}

fn run_journal(receiver: &Receiver<JournalMessage>, wires: &Wires) {
    let mut positions = Positions::default();
    let to_all = |message: &dyn Fn() -> ShardMessage| {
        for shard in 0..wires.shard_count() {
            wires.to_shard(shard, message());
        }
    };
    while let Ok(message) = receiver.recv() {
        let JournalMessage::Batch(batch) = message else { return };
        let group = positions.group(vec![batch]);
        to_all(&|| ShardMessage::Settle(Arc::clone(&group)));
        group.answer();
        if let Some(lsn) = positions.mark_due() {
            to_all(&|| ShardMessage::Mark { lsn, cut: None });
        }
    }
}

fn stop_journal(journal: &Sender<JournalMessage>) {
    drop(journal.send(JournalMessage::Stop));
}

/// Gives positions, like the journal, and writes nothing.
#[derive(Default)]
struct Positions {
    last_lsn: u64,
    marked_lsn: u64,
}

impl Positions {
    fn group(&mut self, batches: Vec<JournalBatch>) -> Arc<Group> {
        let first_lsn = self.last_lsn + 1;
        self.last_lsn += batches.iter().map(|batch| batch.conversations.len() as u64).sum::<u64>();
        Arc::new(Group { first_lsn, last_lsn: self.last_lsn, time_micros: 0, batches })
    }

    fn mark_due(&mut self) -> Option<u64> {
        let is_due = self.last_lsn - self.marked_lsn >= RECORDS_PER_MARK;
        is_due.then(|| {
            self.marked_lsn = self.last_lsn;
            self.last_lsn
        })
    }
}

/// The messages that begin the conversations of a batch, as the engine's face makes them.
fn prepares(
    transfers: Vec<Transfer>,
    placement: Placement,
) -> (Vec<(usize, ShardMessage)>, oneshot::Receiver<Answers>) {
    let shards = placement.shards();
    let mut lanes: Vec<Conversations> =
        (0..shards).map(|_| Conversations::with_capacity(transfers.len() / shards + 1)).collect();
    for (ticket, transfer) in (0u32..).zip(&transfers) {
        let conversation = Conversation::new(ticket, ActRef::Transfer(transfer), placement);
        lanes[usize::from(conversation.homes[0])].push(conversation);
    }
    let count = transfers.len();
    let (batch, answers) = Batch::new(Acts::Transfers(transfers.into()), count, 0, None);
    let filled = lanes.into_iter().enumerate().filter(|(_, conversations)| !conversations.is_empty());
    let message = |conversations| ShardMessage::Prepare { batch: Arc::clone(&batch), conversations };
    (filled.map(|(shard, conversations)| (shard, message(conversations))).collect(), answers)
}

fn check(answers: &[Answer]) {
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Durable { .. })), "every transfer goes through");
}
