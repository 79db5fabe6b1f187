//! Compares every account's balance, as the server tells it, with the sum of its rows.

use std::rc::Rc;

use indicatif::ProgressBar;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::rows::Book;
use crate::answers::{Meaning, meaning};
use crate::client::{After, Job, Next};
use crate::crew::Crew;
use crate::http::Answer;
use crate::money::exact;

const PROBLEMS_MAX: usize = 10;

/// One connection's accounts, and what it found.
#[derive(Debug)]
pub struct Check {
    crew: Crew,
    book: Rc<Book>,
    bar: ProgressBar,
    next: usize,
    stride: usize,
    pub checked: u64,
    pub different: u64,
    pub problems: Vec<String>,
}

impl Check {
    /// Takes every `share.1`-th account from `share.0` on.
    pub fn new(crew: &Crew, book: &Rc<Book>, bar: &ProgressBar, share: (usize, usize)) -> Self {
        Self {
            crew: crew.clone(),
            book: Rc::clone(book),
            bar: bar.clone(),
            next: share.0,
            stride: share.1,
            checked: 0,
            different: 0,
            problems: Vec::new(),
        }
    }

    fn compare(&self, account: usize, answer: &Answer<'_>) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Balance {
            posted: Money,
        }
        #[derive(Deserialize)]
        struct Money {
            #[serde(deserialize_with = "exact")]
            amount: Decimal,
        }
        match meaning(answer) {
            Meaning::Accepted => {}
            Meaning::Refused(why) | Meaning::Busy(why) | Meaning::Unexpected(why) => return Err(why),
        }
        let balance: Balance = serde_json::from_slice(answer.body).map_err(|why| why.to_string())?;
        let expected = Decimal::new(self.book.accounts[account].sum_minor, self.book.currency.digits);
        if balance.posted.amount == expected {
            Ok(())
        } else {
            Err(format!("the balance is {}, and the rows add up to {expected}", balance.posted.amount))
        }
    }
}

impl Job for Check {
    type Ticket = usize;

    fn next(&mut self) -> Next<usize> {
        if self.next >= self.book.accounts.len() || self.crew.halt.stopped() {
            return Next::Done;
        }
        let account = self.next;
        self.next += self.stride;
        Next::Send(account)
    }

    fn encode(&mut self, account: &usize, out: &mut Vec<u8>) {
        let id = self.book.accounts[*account].id;
        self.crew.endpoint.get(&format!("/v1/wallets/{id}/balance"), out);
    }

    fn answered(&mut self, account: usize, answer: &Answer<'_>) -> After<usize> {
        if matches!(meaning(answer), Meaning::Busy(_)) && !self.crew.halt.stopped() {
            return After::Again(account);
        }
        self.checked += 1;
        self.bar.inc(1);
        if let Err(why) = self.compare(account, answer) {
            self.different += 1;
            if self.problems.len() < PROBLEMS_MAX {
                self.problems.push(format!("account {}: {why}", self.book.accounts[account].name));
            }
        }
        After::Finished
    }

    fn unheard(&mut self, _: usize) {}
}
