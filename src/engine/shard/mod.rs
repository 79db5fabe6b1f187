//! A shard hosts wallet actors: it puts each message into its wallet's mailbox and runs the wallets
//! that have mail. This is the plain state machine: a message in, messages out. It knows no threads, clocks or
//! disks, so the server, recovery and the simulator run the same code.

mod copying;
mod entries;
mod holds;
mod mailbox;
mod prepare;
mod replay;
mod settle;
mod spendings;
mod table;

use std::cell::RefCell;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::ledger::{
    Authorization, Hold, Limits, LimitsTable, Opening, OwnerId, Spending, StateHash, Status, Wallet, WalletId,
};

use super::batch::Batch;
use super::claims::Claims;
use super::conversation::{Answer, Conversation, Conversations};
use super::messages::{IndexerMessage, JournalBatch, RecentEntries, ShardMessage, WalletRead};
use super::placement::Placement;

pub use entries::EntriesPart;

use copying::Copying;
use entries::Entries;
use holds::Holds;
use mailbox::Mailboxes;
use spendings::Spendings;
use table::Table;

pub use replay::{Part, Posting};

/// Conversations whose wallets are fetched from memory together: about as many lines as a core waits for at once.
const TOGETHER: usize = 32;

/// The wallets of one shard.
#[derive(Debug)]
pub struct Shard {
    index: usize,
    placement: Placement,
    claims: Arc<Claims>,
    wallets: Table,
    limits: LimitsTable,
    spendings: Spendings,
    holds: Holds,
    mailboxes: Mailboxes,
    entries: Entries,
    copying: Option<Copying>,
    settled_lsn: u64,
}

/// What a shard sends on when it has handled a message.
#[derive(Debug, Default)]
pub struct Outbox {
    pub shards: Vec<(usize, ShardMessage)>,
    pub journal: Vec<JournalBatch>,
    pub answers: Vec<(Arc<Batch>, u32, Answer)>,
    pub indexer: Vec<IndexerMessage>,
    /// How many conversations are in all that.
    pub conversations: usize,
}

impl Shard {
    /// An empty shard. Entries up to `indexed_lsn` are in the index and are not collected again.
    pub fn new(index: usize, placement: Placement, claims: Arc<Claims>, indexed_lsn: u64) -> Shard {
        assert!(index < placement.shards());
        Shard {
            index,
            placement,
            claims,
            wallets: Table::default(),
            limits: LimitsTable::default(),
            spendings: Spendings::default(),
            holds: Holds::default(),
            mailboxes: Mailboxes::default(),
            entries: Entries::after(indexed_lsn),
            copying: None,
            settled_lsn: 0,
        }
    }

    pub fn index(&self) -> usize {
        self.index
    }

    pub fn hosts(&self, wallet: WalletId) -> bool {
        self.placement.shard_of(wallet) == self.index
    }

    /// So many wallets are about to come from a snapshot.
    pub fn expect_wallets(&mut self, count: usize) {
        self.wallets.reserve(count);
    }

    /// Puts in a wallet from a snapshot.
    pub fn restore_wallet(&mut self, opening: &Opening, status: Status, posted: i64, held: i64) {
        let limits = self.limits.id(opening.limits);
        self.wallets.insert(Wallet::restore(opening, limits, status, posted, held), opening.owner);
    }

    /// Puts in the spending limits of a wallet from a snapshot. False if the wallet is not there.
    pub fn restore_spending(&mut self, wallet: WalletId, spending: Spending) -> bool {
        let Some(slot) = self.wallets.slot(wallet) else { return false };
        self.wallets.get_mut(slot).set_limited(true);
        self.spendings.insert(slot, spending);
        true
    }

    /// Puts in an open hold from a snapshot.
    pub fn restore_hold(&mut self, authorization: Authorization, captured: i64) {
        self.holds.insert(Hold::restore(&authorization, captured), authorization);
    }

    /// The position that the wallets and holds put in so far have.
    pub fn restore_position(&mut self, lsn: u64) {
        self.settled_lsn = lsn;
    }

    pub fn wallet_count(&self) -> u64 {
        self.wallets.count().into()
    }

    /// All wallets and holds, while nothing is under way (after a replay).
    pub fn for_each(
        &self,
        mut wallet: impl FnMut(&Wallet, OwnerId, Limits, Option<&Spending>),
        mut hold: impl FnMut(&Hold),
    ) {
        for slot in 0..self.wallets.count() {
            let state = self.wallets.get(slot);
            let spending = state.is_limited().then(|| self.spendings.get(slot));
            wallet(state, self.wallets.owner(slot), self.limits.get(state.limits()), spending);
        }
        self.holds.all().for_each(|(state, _)| hold(state));
    }

    /// The hash of all that, added to another's.
    pub fn add_to(&self, hash: &mut StateHash) {
        let wallets = RefCell::new(&mut *hash);
        self.for_each(
            |wallet, owner, limits, spending| {
                let mut hash = wallets.borrow_mut();
                hash.add_wallet(wallet, owner, limits);
                spending.into_iter().for_each(|spending| hash.add_spending(wallet.id(), spending));
            },
            |hold| wallets.borrow_mut().add_hold(hold),
        );
    }

    pub fn handle(&mut self, message: ShardMessage, out: &mut Outbox) {
        match message {
            ShardMessage::Prepare { batch, conversations } => self.prepare(&batch, conversations, out),
            ShardMessage::Undo(undos) => undos.into_iter().for_each(|undo| self.undo(undo, out)),
            ShardMessage::Settle(group) => self.settle(&group, out),
            ShardMessage::Answer(group) => group.answer(),
            ShardMessage::Mark { lsn, cut } => {
                // A cut may be asked for where a mark has been set already. A second part of that mark would be
                // taken for the part of a shard that has not sent its own yet.
                if lsn > self.entries.marked_lsn() {
                    out.indexer.push(IndexerMessage::Entries { lsn, part: self.entries.mark(lsn) });
                }
                if let Some(sink) = cut {
                    let holds = self.holds.all().cloned().collect();
                    self.copying = Some(Copying::begin(sink, &self.wallets, holds));
                }
            }
            ShardMessage::CopyMore => {
                if let Some(copying) = &mut self.copying
                    && copying.send_more(self.index, &self.wallets, &self.limits, &self.spendings)
                {
                    self.copying = None;
                }
            }
            // Whoever asked may have gone away; then nobody misses the answer.
            ShardMessage::ReadWallet { wallet, reply } => drop(reply.send(self.read_wallet(wallet))),
            ShardMessage::ReadEntries { wallet, before_lsn, limit, reply } => {
                drop(reply.send(self.read_entries(wallet, before_lsn, limit)));
            }
            ShardMessage::ReadHold { hold, reply } => drop(reply.send(self.holds.get(hold).copied())),
            ShardMessage::Tick { now_micros } => self.expire_holds(now_micros, out),
        }
    }

    fn read_wallet(&self, id: WalletId) -> Option<WalletRead> {
        let slot = self.wallets.slot(id)?;
        let (wallet, owner) = (*self.wallets.get(slot), self.wallets.owner(slot));
        let limits = self.limits.get(wallet.limits());
        let spending = wallet.is_limited().then(|| *self.spendings.get(slot));
        Some(WalletRead { wallet, owner, limits, spending, settled_lsn: self.settled_lsn })
    }

    fn read_entries(&self, id: WalletId, before_lsn: u64, limit: usize) -> RecentEntries {
        let slot = self.wallets.slot(id);
        let rows =
            slot.map_or_else(Vec::new, |slot| self.entries.newest(slot, self.wallets.get(slot), before_lsn, limit));
        RecentEntries { rows, marked_lsn: self.entries.marked_lsn() }
    }
}

/// What one message makes of the conversations of one batch, collected to be sent in one piece.
struct Lanes<'a> {
    batch: &'a Arc<Batch>,
    shards: SmallVec<[Conversations; 4]>,
    journal: Conversations,
    /// How many conversations came in: room for all of them is made at once in a lane that gets one.
    expected: usize,
}

impl<'a> Lanes<'a> {
    fn new(batch: &'a Arc<Batch>, placement: Placement, expected: usize) -> Lanes<'a> {
        let shards = (0..placement.shards()).map(|_| Conversations::new()).collect();
        Lanes { batch, shards, journal: Conversations::new(), expected }
    }

    fn push_to_shard(&mut self, shard: usize, conversation: Conversation) {
        push(&mut self.shards[shard], conversation, self.expected);
    }

    fn push_to_journal(&mut self, conversation: Conversation) {
        push(&mut self.journal, conversation, self.expected);
    }

    fn send(self, out: &mut Outbox) {
        for (shard, conversations) in self.shards.into_iter().enumerate() {
            if !conversations.is_empty() {
                out.conversations += conversations.len();
                let batch = Arc::clone(self.batch);
                out.shards.push((shard, ShardMessage::Prepare { batch, conversations }));
            }
        }
        if !self.journal.is_empty() {
            out.conversations += self.journal.len();
            out.journal.push(JournalBatch { batch: Arc::clone(self.batch), conversations: self.journal });
        }
    }
}

fn push(lane: &mut Conversations, conversation: Conversation, expected: usize) {
    if lane.is_empty() && expected > 1 {
        lane.reserve_exact(expected);
    }
    lane.push(conversation);
}
