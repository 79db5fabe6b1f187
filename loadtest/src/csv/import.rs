//! Sends the rows: one account's in order, one under way at a time; many accounts at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use jiff::civil::Date;
use serde::Deserialize;
use uuid::Uuid;

use super::rows::{Book, Row};
use crate::acknowledged::Writer;
use crate::answers::{Meaning, meaning};
use crate::client::{After, Job, Next, Stop};
use crate::crew::Crew;
use crate::http::Answer;
use crate::stats::histogram;

const PROBLEMS_MAX: usize = 10;

/// What was counted; connections share one.
#[derive(Debug)]
pub struct Tally {
    pub accepted: u64,
    /// Rows that an earlier run had put in: the server gave its first answer again.
    pub repeats: u64,
    pub refused: u64,
    pub errors: u64,
    pub unheard: u64,
    pub latency: Histogram<u64>,
    pub problems: Vec<String>,
    pub list: Writer,
    bar: ProgressBar,
}

impl Tally {
    pub fn new(bar: ProgressBar, list: Writer) -> Self {
        Self {
            accepted: 0,
            repeats: 0,
            refused: 0,
            errors: 0,
            unheard: 0,
            latency: histogram(),
            problems: Vec::new(),
            list,
            bar,
        }
    }

    fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }
}

/// One connection's accounts.
#[derive(Debug)]
pub struct Import {
    crew: Crew,
    book: Rc<Book>,
    tally: Rc<RefCell<Tally>>,
    /// Accounts with nothing under way, by the date of their next row: the oldest goes first, so that
    /// all accounts move through the calendar together.
    ready: BTreeSet<(Date, usize, Step)>,
}

/// What an account does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Open,
    Row(usize),
}

/// An account's step, sent.
#[derive(Debug)]
pub struct Sent {
    account: usize,
    step: Step,
    start: Instant,
}

impl Import {
    /// Takes every `share.1`-th account from `share.0` on.
    pub fn new(crew: &Crew, book: &Rc<Book>, tally: &Rc<RefCell<Tally>>, share: (usize, usize)) -> Self {
        let accounts = book.accounts.iter().enumerate().skip(share.0).step_by(share.1);
        let ready = accounts.filter_map(|(index, account)| Some((account.rows.first()?.date, index, Step::Open)));
        Self { crew: crew.clone(), ready: ready.collect(), book: Rc::clone(book), tally: Rc::clone(tally) }
    }

    fn accepted(&mut self, sent: &Sent, answer: &Answer<'_>) {
        #[derive(Deserialize)]
        struct Identified {
            id: Uuid,
            lsn: u64,
        }
        let Step::Row(index) = sent.step else { return };
        let account = &self.book.accounts[sent.account];
        let row = &account.rows[index];
        let mut tally = self.tally.borrow_mut();
        match serde_json::from_slice::<Identified>(answer.body) {
            Ok(Identified { id, lsn }) => {
                if answer.replayed {
                    tally.repeats += 1;
                } else {
                    tally.accepted += 1;
                }
                let (tag, amount) = (if row.money_in { b'd' } else { b'w' }, row.amount_minor.unsigned_abs());
                tally.list.accepted(tag, &id, lsn, &[account.id], amount, &self.book.currency);
            }
            Err(why) => {
                tally.errors += 1;
                tally.problem(format!("row {}: the answer cannot be read: {why}", row.trans_id));
            }
        }
    }

    fn name(&self, sent: &Sent) -> String {
        let account = &self.book.accounts[sent.account];
        match sent.step {
            Step::Open => format!("opening account {}", account.name),
            Step::Row(index) => format!("row {} of account {}", account.rows[index].trans_id, account.name),
        }
    }

    /// The account is free for its next row.
    fn go_on(&mut self, sent: &Sent) {
        let next = match sent.step {
            Step::Open => 0,
            Step::Row(index) => {
                self.tally.borrow().bar.inc(1);
                index + 1
            }
        };
        if let Some(row) = self.book.accounts[sent.account].rows.get(next) {
            self.ready.insert((row.date, sent.account, Step::Row(next)));
        }
    }
}

impl Job for Import {
    type Ticket = Sent;

    fn next(&mut self) -> Next<Sent> {
        if self.crew.halt.stopped() {
            return Next::Done;
        }
        match self.ready.pop_first() {
            Some((_, account, step)) => Next::Send(Sent { account, step, start: Instant::now() }),
            None => Next::Done,
        }
    }

    fn encode(&mut self, sent: &Sent, out: &mut Vec<u8>) {
        let account = &self.book.accounts[sent.account];
        let (id, currency) = (account.id, &self.book.currency);
        let post = |path: &str, key: Option<&str>, body: serde_json::Value, out: &mut Vec<u8>| {
            self.crew.endpoint.post(path, key, body.to_string().as_bytes(), out);
        };
        match sent.step {
            Step::Open => {
                let mut body = serde_json::json!({ "id": id, "owner": id, "currency": currency.code });
                if account.overdraft_minor > 0 {
                    body["overdraft_limit"] = currency.text(account.overdraft_minor).into();
                }
                post("/v1/wallets", None, body, out);
            }
            Step::Row(index) => {
                let Row { trans_id, money_in, operation, amount_minor, .. } = &account.rows[index];
                let path = if *money_in { "/v1/deposits" } else { "/v1/withdrawals" };
                let amount = serde_json::json!({ "amount": currency.text(*amount_minor), "currency": currency.code });
                let body = serde_json::json!({ "wallet": id, "amount": amount, "reference": operation });
                post(path, Some(&format!("csv-{trans_id}")), body, out);
            }
        }
    }

    fn answered(&mut self, sent: Sent, answer: &Answer<'_>) -> After<Sent> {
        let verdict = meaning(answer);
        if matches!(verdict, Meaning::Busy(_)) && !self.crew.halt.stopped() {
            return After::Again(sent);
        }
        let micros = u64::try_from(sent.start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        self.tally.borrow_mut().latency.saturating_record(micros);
        match verdict {
            Meaning::Accepted => self.accepted(&sent, answer),
            Meaning::Busy(_) => {
                self.tally.borrow_mut().unheard += 1;
                return After::Finished;
            }
            Meaning::Refused(code) if sent.step != Step::Open => {
                let what = format!("{} was refused: {code}", self.name(&sent));
                let mut tally = self.tally.borrow_mut();
                tally.refused += 1;
                tally.problem(what);
            }
            // Without its wallet an account cannot go on, and an unexpected answer will not be the last.
            Meaning::Refused(why) | Meaning::Unexpected(why) => {
                let what = format!("{}: {why}", self.name(&sent));
                let mut tally = self.tally.borrow_mut();
                tally.errors += 1;
                tally.problem(what);
                self.crew.halt.stop(Stop::Broken);
            }
        }
        self.go_on(&sent);
        After::Finished
    }

    fn unheard(&mut self, sent: Sent) {
        if sent.step != Step::Open {
            self.tally.borrow_mut().unheard += 1;
        }
    }
}
