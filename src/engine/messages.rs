//! The messages between the engine's parts. A message is a batch wherever it can be: a mailbox costs
//! per message, not per transfer.

use std::sync::Arc;

use crossbeam::channel::Sender;
use tokio::sync::oneshot;

use crate::ledger::{Authorization, Hold, HoldId, Limits, OwnerId, Spending, Wallet, WalletId};

use super::batch::Batch;
use super::conversation::{Answer, Conversations};
use super::runs::Row;
use super::shard::EntriesPart;

/// What a shard's mailbox takes.
#[derive(Debug)]
pub enum ShardMessage {
    /// Conversations whose next stop is a wallet of this shard.
    Prepare {
        batch: Arc<Batch>,
        conversations: Conversations,
    },
    /// A later wallet refused: what was put aside here is given back.
    Undo(Vec<Undo>),
    /// A group is durable. Groups come in the order of their LSNs.
    Settle(Arc<Group>),
    /// Every shard has this group in its mailbox, and its ids are noted: those who wait for it are told. A shard does it
    /// and not the journal, because whoever is woken goes on on the thread that woke him.
    Answer(Arc<Group>),
    /// All groups up to `lsn` have been settled before this message, and none after it.
    Mark {
        lsn: u64,
        cut: Option<Sender<Chunk>>,
    },
    /// The snapshotter is ready for more of the cut.
    CopyMore,
    ReadWallet {
        wallet: WalletId,
        reply: oneshot::Sender<Option<WalletRead>>,
    },
    ReadEntries {
        wallet: WalletId,
        before_lsn: u64,
        limit: usize,
        reply: oneshot::Sender<RecentEntries>,
    },
    ReadHold {
        hold: HoldId,
        reply: oneshot::Sender<Option<Hold>>,
    },
    /// Time goes on: holds may have expired.
    Tick {
        now_micros: u64,
    },
}

/// What one earlier stop of a refused conversation has to give back.
#[derive(Clone, Copy, Debug)]
pub enum Undo {
    Reserved { wallet: WalletId, delta: i64 },
    Begun { wallet: WalletId },
    Capturing { wallet: WalletId, hold: HoldId, minor: i64 },
}

/// Conversations of one batch that all wallets have said yes to, or that were refused.
#[derive(Debug)]
pub struct JournalBatch {
    pub batch: Arc<Batch>,
    pub conversations: Conversations,
}

/// What one write to the log made durable.
#[derive(Debug)]
pub struct Group {
    pub first_lsn: u64,
    pub last_lsn: u64,
    pub time_micros: u64,
    pub batches: Vec<JournalBatch>,
}

/// What the journal takes.
#[derive(Debug)]
pub enum JournalMessage {
    Batch(JournalBatch),
    /// Mark the present end of the log; with `cut`, the shards copy their wallets there.
    Mark {
        cut: Option<Sender<Chunk>>,
        reply: oneshot::Sender<Result<Marked, ReadOnly>>,
    },
    /// The shards copy their wallets at the present durable end. Nothing is marked and nothing is written, so this is done
    /// when the log has failed, too.
    Cut {
        cut: Sender<Chunk>,
        reply: oneshot::Sender<Marked>,
    },
    /// Segments wholly below this position are no longer needed for recovery.
    Archive {
        before_lsn: u64,
    },
    Stop,
}

/// Where the journal set a mark, or a cut.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    pub lsn: u64,
    pub time_micros: u64,
    pub chain: [u8; 32],
}

/// The log has failed; nothing more is written.
#[derive(Clone, Copy, Debug)]
pub struct ReadOnly;

/// A part of a shard's wallets and holds as they were at a mark.
#[derive(Debug)]
pub struct Chunk {
    pub shard: usize,
    pub wallets: Vec<(Wallet, OwnerId, Limits)>,
    /// Of those wallets that have spending limits.
    pub spendings: Vec<(WalletId, Spending)>,
    pub holds: Vec<(Hold, Authorization)>,
    /// Wallets of this shard that are still to be copied.
    pub left: u32,
    /// Nothing more comes from this shard.
    pub is_last: bool,
}

/// What the indexer takes.
#[derive(Debug)]
pub enum IndexerMessage {
    /// The ids of everything up to `lsn` that it has not been given before, in pieces.
    Ids {
        lsn: u64,
        rows: Vec<Arc<Vec<Row>>>,
    },
    /// The entries of one shard's wallets up to `lsn` that it has not been given before, in the order of their LSNs.
    Entries {
        lsn: u64,
        part: EntriesPart,
    },
    Stop,
}

/// A wallet as its shard has it.
#[derive(Clone, Copy, Debug)]
pub struct WalletRead {
    pub wallet: Wallet,
    pub owner: OwnerId,
    pub limits: Limits,
    pub spending: Option<Spending>,
    pub settled_lsn: u64,
}

/// Entries that are still in the shard's memory, newest first.
#[derive(Debug)]
pub struct RecentEntries {
    pub rows: Vec<Row>,
    /// Older ones, up to this position, are in the index.
    pub marked_lsn: u64,
}

impl Group {
    /// Which shard tells them: a different one each time.
    pub fn answering_shard(&self, shards: usize) -> usize {
        (self.last_lsn % shards as u64) as usize
    }

    /// Tells everyone who waits for a part of this group that it is durable.
    pub fn answer(&self) {
        let mut lsn = self.first_lsn;
        for JournalBatch { batch, conversations } in &self.batches {
            batch.answer(conversations.iter().map(|conversation| {
                let act = batch.act(conversation.ticket);
                let answer = conversation.answer(act, lsn, self.time_micros);
                lsn += act.record_count();
                (conversation.ticket, answer)
            }));
        }
    }
}

impl JournalBatch {
    /// Nothing of it is known to be durable.
    pub fn fail(&self, answer: Answer) {
        self.batch.answer(self.conversations.iter().map(|conversation| (conversation.ticket, answer)));
    }
}
