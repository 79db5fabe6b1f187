//! The books: a wallet's entries lead to its balance and add up to it, and all balances of a currency sum to
//! zero. Nothing is compared with the list here.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use indicatif::ProgressBar;
use rust_decimal::Decimal;
use serde::Deserialize;
use uuid::Uuid;

use super::Findings;
use crate::answers::{Meaning, meaning};
use crate::client::{After, Job, Next, Stop};
use crate::crew::Crew;
use crate::http::Answer;
use crate::money::exact;

/// The wallets still to be checked, and what was found.
#[derive(Debug)]
pub struct Books {
    pub waiting: VecDeque<WalletCheck>,
    pub findings: Findings,
    pub bar: ProgressBar,
    pub entries_max: u64,
}

/// How far the check of one wallet is: first its balance, then its entries, page by page.
#[derive(Debug)]
pub struct WalletCheck {
    wallet: Uuid,
    posted: Option<Decimal>,
    cursor: Option<String>,
    sum: Decimal,
    count: u64,
    /// What the next older entry's `balance_after` must be.
    before: Option<Decimal>,
    seen: HashSet<Uuid>,
}

impl WalletCheck {
    pub fn new(wallet: Uuid) -> Self {
        Self { wallet, posted: None, cursor: None, sum: Decimal::ZERO, count: 0, before: None, seen: HashSet::new() }
    }
}

/// One connection's work on the wallets.
#[derive(Debug)]
pub struct Check {
    crew: Crew,
    books: Rc<RefCell<Books>>,
    follow_ups: VecDeque<WalletCheck>,
}

impl Check {
    pub fn new(crew: &Crew, books: Rc<RefCell<Books>>) -> Self {
        Self { crew: crew.clone(), books, follow_ups: VecDeque::new() }
    }
}

impl Job for Check {
    type Ticket = WalletCheck;

    fn next(&mut self) -> Next<WalletCheck> {
        if self.crew.halt.stopped() {
            return Next::Done;
        }
        let next = self.follow_ups.pop_front();
        next.or_else(|| self.books.borrow_mut().waiting.pop_front()).map_or(Next::Done, Next::Send)
    }

    fn encode(&mut self, check: &WalletCheck, out: &mut Vec<u8>) {
        let wallet = check.wallet;
        let path = match (check.posted, &check.cursor) {
            (None, _) => format!("/v1/wallets/{wallet}/balance"),
            (Some(_), None) => format!("/v1/wallets/{wallet}/entries?limit=200"),
            (Some(_), Some(cursor)) => {
                format!("/v1/wallets/{wallet}/entries?limit=200&cursor={}", in_query(cursor))
            }
        };
        self.crew.endpoint.get(&path, out);
    }

    fn answered(&mut self, mut check: WalletCheck, answer: &Answer<'_>) -> After<WalletCheck> {
        let mut books = self.books.borrow_mut();
        let verdict = match meaning(answer) {
            Meaning::Busy(_) if !self.crew.halt.stopped() => return After::Again(check),
            Meaning::Accepted => step(&mut check, answer.body, books.entries_max),
            Meaning::Unexpected(_) if answer.status == 404 => Err("the server does not know it".to_owned()),
            Meaning::Unexpected(why) | Meaning::Refused(why) | Meaning::Busy(why) => {
                books.findings.stuck.get_or_insert(format!("the server answered {why}"));
                self.crew.halt.stop(Stop::Broken);
                return After::Finished;
            }
        };
        match verdict {
            Ok(Step::More) => {
                drop(books);
                self.follow_ups.push_back(check);
                return After::Finished;
            }
            Ok(Step::Done) => {}
            Ok(Step::TooLong) => books.findings.wallets_too_long += 1,
            Err(why) => {
                books.findings.wallets_different += 1;
                books.findings.problem(format!("wallet {}: {why}", check.wallet));
            }
        }
        books.findings.wallets_checked += 1;
        books.findings.entries_added += check.count;
        books.bar.inc(1);
        After::Finished
    }

    fn unheard(&mut self, _: WalletCheck) {}
}

enum Step {
    More,
    Done,
    TooLong,
}

#[derive(Deserialize)]
struct Balance {
    posted: Money,
}

#[derive(Debug, Deserialize)]
struct Money {
    #[serde(deserialize_with = "exact")]
    amount: Decimal,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Entry>,
    has_more: bool,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    transfer_id: Uuid,
    direction: String,
    amount: Money,
    balance_after: Money,
}

/// Takes one answer in; says what is wrong with the wallet, or whether there is more to ask.
fn step(check: &mut WalletCheck, body: &[u8], entries_max: u64) -> Result<Step, String> {
    let unreadable = |why: serde_json::Error| format!("the answer cannot be read: {why}");
    let Some(posted) = check.posted else {
        let balance: Balance = serde_json::from_slice(body).map_err(unreadable)?;
        check.posted = Some(balance.posted.amount);
        check.before = check.posted;
        return Ok(Step::More);
    };
    let page: Page = serde_json::from_slice(body).map_err(unreadable)?;
    for entry in &page.data {
        let amount = match entry.direction.as_str() {
            "in" => entry.amount.amount.abs(),
            _ => -entry.amount.amount.abs(),
        };
        let (after, expected) = (entry.balance_after.amount, check.before);
        if expected != Some(after) {
            return Err(format!(
                "balance_after of {} is {after}, where {} was due",
                entry.transfer_id,
                expected.unwrap_or_default()
            ));
        }
        if !check.seen.insert(entry.transfer_id) {
            return Err(format!("{} is there twice", entry.transfer_id));
        }
        check.before = Some(after - amount);
        check.sum += amount;
        check.count += 1;
    }
    match page.next_cursor {
        Some(_) if page.has_more && check.count >= entries_max => return Ok(Step::TooLong),
        Some(cursor) if page.has_more => {
            check.cursor = Some(cursor);
            return Ok(Step::More);
        }
        _ => {}
    }
    if check.sum == posted {
        Ok(Step::Done)
    } else {
        Err(format!("its {} entries add up to {}, and its balance is {posted}", check.count, check.sum))
    }
}

fn in_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What `/v1/ledger/summary` says, as far as it is checked.
#[derive(Debug, Deserialize)]
pub struct SummaryBody {
    last_lsn: u64,
    currencies: Vec<CurrencySum>,
}

#[derive(Debug, Deserialize)]
struct CurrencySum {
    currency: String,
    sum: Money,
}

/// Where the one answer of [`Summary`] is left.
pub type SummaryAnswer = Rc<RefCell<Option<Result<SummaryBody, String>>>>;

/// Asks for the summary, once.
#[derive(Debug)]
pub struct Summary {
    crew: Crew,
    asked: bool,
    answer: SummaryAnswer,
}

impl Summary {
    pub fn new(crew: &Crew, answer: SummaryAnswer) -> Self {
        Self { crew: crew.clone(), asked: false, answer }
    }
}

impl Job for Summary {
    type Ticket = ();

    fn next(&mut self) -> Next<()> {
        if std::mem::replace(&mut self.asked, true) { Next::Done } else { Next::Send(()) }
    }

    fn encode(&mut self, (): &(), out: &mut Vec<u8>) {
        self.crew.endpoint.get("/v1/ledger/summary", out);
    }

    fn answered(&mut self, (): (), answer: &Answer<'_>) -> After<()> {
        let found = match meaning(answer) {
            Meaning::Accepted => {
                serde_json::from_slice(answer.body).map_err(|why| format!("the ledger summary cannot be read: {why}"))
            }
            Meaning::Busy(_) => return After::Again(()),
            Meaning::Refused(why) | Meaning::Unexpected(why) => Err(format!("the server answered {why}")),
        };
        *self.answer.borrow_mut() = Some(found);
        After::Finished
    }

    fn unheard(&mut self, (): ()) {}
}

/// Puts the sums into the findings.
pub fn read_summary(summary: SummaryBody, findings: &mut Findings) {
    findings.last_lsn = summary.last_lsn;
    findings.sums_zero = summary.currencies.iter().all(|currency| currency.sum.amount.is_zero());
    findings.sums =
        summary.currencies.into_iter().map(|currency| (currency.currency, currency.sum.amount.to_string())).collect();
}
