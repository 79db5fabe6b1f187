//! The mailboxes of wallets that cannot take their next message yet: one whose status or spending limits are about
//! to change waits until every conversation that it said yes to has ended, and a hold that is about to close
//! waits for its captures. Mail is taken in the order of arrival. All other wallets take each message as it
//! comes and need no mailbox.
//!
//! Nothing can wait in a circle: a conversation that waits here has said yes only to wallets with smaller
//! ids, and waits for conversations that are on their way to greater ones or to the log.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::super::batch::Batch;
use super::super::conversation::Conversation;

/// Messages that may wait for one wallet; more are refused as overload.
pub const MAILBOX_MESSAGES_MAX: usize = 1024;

/// A conversation that waits for a wallet.
#[derive(Debug)]
pub struct Letter {
    pub batch: Arc<Batch>,
    pub conversation: Conversation,
}

/// One wallet's mailbox.
#[derive(Debug, Default)]
pub struct Mailbox {
    pub letters: VecDeque<Letter>,
    /// A change of status or of spending limits is on its way to the log: nothing is taken before it has settled.
    pub is_changing: bool,
}

/// The mailboxes in use, by the wallet's slot.
#[derive(Debug, Default)]
pub struct Mailboxes(HashMap<u32, Mailbox>);

impl Mailboxes {
    /// Whether a new message for this wallet has to wait behind others.
    #[inline]
    pub fn is_in_use(&self, slot: u32) -> bool {
        !self.0.is_empty() && self.0.contains_key(&slot)
    }

    pub fn is_full(&self, slot: u32) -> bool {
        self.0.get(&slot).is_some_and(|mailbox| mailbox.letters.len() >= MAILBOX_MESSAGES_MAX)
    }

    pub fn put(&mut self, slot: u32, letter: Letter) {
        self.0.entry(slot).or_default().letters.push_back(letter);
    }

    pub fn put_back(&mut self, slot: u32, letter: Letter) {
        self.0.entry(slot).or_default().letters.push_front(letter);
    }

    pub fn begin_change(&mut self, slot: u32) {
        self.0.entry(slot).or_default().is_changing = true;
    }

    pub fn end_change(&mut self, slot: u32) {
        self.0.get_mut(&slot).expect("it was begun").is_changing = false;
    }

    /// The next letter that may be tried. Puts the mailbox away when it is empty.
    pub fn next(&mut self, slot: u32) -> Option<Letter> {
        let mailbox = self.0.get_mut(&slot)?;
        if mailbox.is_changing {
            return None;
        }
        let letter = mailbox.letters.pop_front();
        if letter.is_none() {
            self.0.remove(&slot);
        }
        letter
    }
}
