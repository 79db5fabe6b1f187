//! Compares each line of the list with what the server says of it now.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use indicatif::ProgressBar;
use rust_decimal::Decimal;
use serde::Deserialize;
use uuid::Uuid;

use super::Findings;
use crate::acknowledged::{Amount, Line, Reader};
use crate::answers::{Meaning, meaning};
use crate::client::{After, Job, Next, Stop};
use crate::crew::Crew;
use crate::http::Answer;
use crate::ids::Random;

/// The list, read as the connections ask for more, and what was found so far.
#[derive(Debug)]
pub struct Source {
    reader: Reader,
    findings: Findings,
    bar: ProgressBar,
    /// A sample of the wallets named: those whose hashed ids are the smallest, so each is as likely.
    sample: BTreeSet<(u64, Uuid)>,
    sample_max: usize,
}

impl Source {
    pub fn new(reader: Reader, sample_max: usize, bar: ProgressBar) -> Self {
        Self { reader, findings: Findings::default(), bar, sample: BTreeSet::new(), sample_max }
    }

    /// What was found, and the sample of wallets.
    pub fn finish(&mut self) -> (Findings, Vec<Uuid>) {
        let sample = std::mem::take(&mut self.sample);
        (std::mem::take(&mut self.findings), sample.into_iter().map(|(_, wallet)| wallet).collect())
    }

    fn next(&mut self) -> Option<Line> {
        match self.reader.next()? {
            Ok(line) => {
                let (first, second) = match &line {
                    Line::Transfer { from, to, .. } | Line::Capture { from, to, .. } | Line::Hold { from, to, .. } => {
                        (Some(*from), Some(*to))
                    }
                    Line::Deposit { wallet, .. } | Line::Withdrawal { wallet, .. } => (Some(*wallet), None),
                    Line::Void { .. } | Line::Refused { .. } => (None, None),
                };
                first.into_iter().chain(second).for_each(|wallet| self.consider(wallet));
                Some(line)
            }
            Err(why) => {
                self.findings.stuck = Some(why.to_string());
                None
            }
        }
    }

    fn consider(&mut self, wallet: Uuid) {
        let (high, low) = wallet.as_u64_pair();
        self.sample.insert((Random::new(high ^ low).bits(), wallet));
        if self.sample.len() > self.sample_max {
            self.sample.pop_last();
        }
    }
}

/// One connection's work on the list.
#[derive(Debug)]
pub struct Listed {
    crew: Crew,
    source: Rc<RefCell<Source>>,
}

impl Listed {
    pub fn new(crew: &Crew, source: Rc<RefCell<Source>>) -> Self {
        Self { crew: crew.clone(), source }
    }
}

impl Job for Listed {
    type Ticket = Line;

    fn next(&mut self) -> Next<Line> {
        if self.crew.halt.stopped() {
            return Next::Done;
        }
        self.source.borrow_mut().next().map_or(Next::Done, Next::Send)
    }

    fn encode(&mut self, line: &Line, out: &mut Vec<u8>) {
        let path = match line {
            Line::Hold { id, .. } | Line::Void { hold: id, .. } => format!("/v1/holds/{id}"),
            Line::Transfer { id, .. }
            | Line::Deposit { id, .. }
            | Line::Withdrawal { id, .. }
            | Line::Capture { id, .. }
            | Line::Refused { id, .. } => format!("/v1/transfers/{id}"),
        };
        self.crew.endpoint.get(&path, out);
    }

    fn answered(&mut self, line: Line, answer: &Answer<'_>) -> After<Line> {
        let mut source = self.source.borrow_mut();
        let source = &mut *source;
        match meaning(answer) {
            Meaning::Busy(_) if !self.crew.halt.stopped() => return After::Again(line),
            Meaning::Accepted => judge(&line, Some(answer.body), &mut source.findings),
            Meaning::Unexpected(_) if answer.status == 404 => judge(&line, None, &mut source.findings),
            Meaning::Unexpected(why) | Meaning::Refused(why) | Meaning::Busy(why) => {
                source.findings.stuck.get_or_insert(format!("the server answered {why}"));
                self.crew.halt.stop(Stop::Broken);
            }
        }
        source.bar.inc(1);
        After::Finished
    }

    fn unheard(&mut self, _: Line) {}
}

/// A transfer or hold as the server tells it; fields that the other has not are left out.
#[derive(Debug, Deserialize)]
struct Told {
    id: Uuid,
    status: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    lsn: u64,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    legs: Vec<Leg>,
    hold: Option<Uuid>,
    wallet: Option<Uuid>,
    to: Option<Uuid>,
    amount: Option<Money>,
}

#[derive(Debug, Deserialize)]
struct Leg {
    wallet: Uuid,
    amount: Money,
}

#[derive(Debug, Deserialize)]
struct Money {
    amount: String,
    currency: String,
}

/// Counts the line as found, missing or different; `None` is a 404.
fn judge(line: &Line, body: Option<&[u8]>, findings: &mut Findings) {
    let refusal = matches!(line, Line::Refused { .. });
    if refusal {
        findings.refusals += 1;
    } else {
        findings.acknowledged += 1;
    }
    let difference = match body.map(serde_json::from_slice::<Told>) {
        None if !refusal => {
            findings.missing += 1;
            return findings.problem(format!("missing: {line:?}"));
        }
        None => Some("the server does not know it".to_owned()),
        Some(Err(why)) => Some(format!("the answer cannot be read: {why}")),
        Some(Ok(told)) => compare(line, &told).err(),
    };
    match (difference, refusal) {
        (None, false) => findings.found += 1,
        (None, true) => {}
        (Some(why), _) => {
            if refusal {
                findings.refusals_different += 1;
            } else {
                findings.different += 1;
            }
            findings.problem(format!("different: {line:?}: {why}"));
        }
    }
}

fn compare(line: &Line, told: &Told) -> Result<(), String> {
    match line {
        Line::Refused { id, code } => {
            same("id", id, &told.id)?;
            same("status", &"refused", &told.status.as_str())?;
            // The binary format tells a number instead of the code's name.
            if code.starts_with('#') { Ok(()) } else { same("code", code, &told.code) }
        }
        Line::Transfer { id, lsn, from, to, amount } => {
            accepted(told, id, *lsn, "transfer")?;
            legs(told, amount, &[(*from, true), (*to, false)])
        }
        Line::Capture { id, lsn, hold, from, to, amount } => {
            accepted(told, id, *lsn, "capture")?;
            same("hold", &Some(*hold), &told.hold)?;
            legs(told, amount, &[(*from, true), (*to, false)])
        }
        Line::Deposit { id, lsn, wallet, amount } => {
            accepted(told, id, *lsn, "deposit")?;
            legs(told, amount, &[(*wallet, false)])
        }
        Line::Withdrawal { id, lsn, wallet, amount } => {
            accepted(told, id, *lsn, "withdrawal")?;
            legs(told, amount, &[(*wallet, true)])
        }
        Line::Hold { id, from, to, amount, .. } => {
            same("id", id, &told.id)?;
            same("wallet", &Some(*from), &told.wallet)?;
            same("to", &Some(*to), &told.to)?;
            match &told.amount {
                Some(money) if is(money, amount, false) => Ok(()),
                found => Err(format!("the amount is {found:?}")),
            }
        }
        Line::Void { hold, .. } => {
            same("id", hold, &told.id)?;
            same("status", &"voided", &told.status.as_str())
        }
    }
}

fn accepted(told: &Told, id: &Uuid, lsn: u64, kind: &str) -> Result<(), String> {
    same("id", id, &told.id)?;
    same("status", &"accepted", &told.status.as_str())?;
    same("kind", &kind, &told.kind.as_str())?;
    same("lsn", &lsn, &told.lsn)
}

/// Two legs: the named ones (paying or not) among them, each with the amount.
fn legs(told: &Told, amount: &Amount, named: &[(Uuid, bool)]) -> Result<(), String> {
    let there = |(wallet, pays): &(Uuid, bool)| {
        told.legs.iter().any(|leg| leg.wallet == *wallet && is(&leg.amount, amount, *pays))
    };
    if told.legs.len() == 2 && named.iter().all(there) { Ok(()) } else { Err(format!("the legs are {:?}", told.legs)) }
}

fn is(money: &Money, amount: &Amount, negative: bool) -> bool {
    let parse = |text: &str| Decimal::from_str_exact(text).ok();
    let expected = parse(&amount.amount).map(|value| if negative { -value } else { value });
    money.currency == amount.currency && expected.is_some() && parse(&money.amount) == expected
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, listed: &T, told: &T) -> Result<(), String> {
    if listed == told { Ok(()) } else { Err(format!("{what} is {told:?}, and {listed:?} was acknowledged")) }
}
