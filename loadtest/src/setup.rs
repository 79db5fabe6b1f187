//! Before the load: opens the wallets and funds each with a deposit. Ids and keys follow from the seed, so
//! doing it again changes nothing.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::acknowledged::{FLUSH_MILLIS, Writer};
use crate::answers::{Meaning, accepted_lsn, meaning};
use crate::client::{After, Job, Next, Stop};
use crate::crew::Crew;
use crate::http::Answer;
use crate::progress;
use crate::wire::Wire;

/// Setup is over in a moment, so a few connections do.
const CONNECTIONS: u32 = 8;

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("setup was refused: {0}")]
    Refused(String),
    #[error("setup stopped: {0}")]
    Lost(String),
    #[error("setup was interrupted")]
    Interrupted,
    #[error("cannot run")]
    Runtime(#[from] io::Error),
    #[error(transparent)]
    List(#[from] crate::acknowledged::ListError),
}

/// Opens all wallets, then funds them.
pub fn set_up(crew: &Crew, wire: &Arc<Wire>, funds_minor: u64, list: Writer, quiet: bool) -> Result<(), SetupError> {
    let count = wire.wallets.count;
    let list = Rc::new(RefCell::new(list));
    for (step, what) in [(Step::Open, "opening wallets"), (Step::Fund, "funding wallets")] {
        if funds_minor == 0 && step == Step::Fund {
            break;
        }
        let bar = progress::bar(quiet, what, u64::from(count));
        let jobs = (0..CONNECTIONS.min(count))
            .map(|first| Setup {
                wire: Arc::clone(wire),
                crew: crew.clone(),
                step,
                next: first,
                funds_minor,
                bar: bar.clone(),
                list: Rc::clone(&list),
                failure: None,
            })
            .collect();
        let flushed = Rc::clone(&list);
        let period = Duration::from_millis(FLUSH_MILLIS);
        let ended = crew.work(jobs, period, move || flushed.borrow_mut().flush())?;
        bar.finish_and_clear();
        if let Some(why) = ended.jobs.into_iter().find_map(|job| job.failure) {
            return Err(SetupError::Refused(why));
        }
        if let Some(why) = ended.losses.into_iter().next() {
            return Err(SetupError::Lost(why));
        }
        if crew.halt.stopped() {
            return Err(SetupError::Interrupted);
        }
    }
    if let Some(list) = Rc::into_inner(list) {
        list.into_inner().close()?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Fund,
}

/// One connection's share: every so-many-th wallet.
#[derive(Debug)]
struct Setup {
    wire: Arc<Wire>,
    crew: Crew,
    step: Step,
    next: u32,
    funds_minor: u64,
    bar: ProgressBar,
    list: Rc<RefCell<Writer>>,
    failure: Option<String>,
}

impl Job for Setup {
    type Ticket = u32;

    fn next(&mut self) -> Next<u32> {
        let index = self.next;
        if index >= self.wire.wallets.count || self.crew.halt.stopped() {
            return Next::Done;
        }
        self.next += CONNECTIONS;
        Next::Send(index)
    }

    fn encode(&mut self, index: &u32, out: &mut Vec<u8>) {
        let (wallets, currency) = (&self.wire.wallets, &self.wire.currency);
        let id = wallets.id(*index);
        match self.step {
            Step::Open => {
                let (owner, code) = (wallets.owner(*index), currency.code);
                let body = format!("{{\"id\":\"{id}\",\"owner\":\"{owner}\",\"currency\":\"{code}\"}}");
                self.wire.endpoint.post("/v1/wallets", None, body.as_bytes(), out);
            }
            Step::Fund => {
                let amount = currency.text(i64::try_from(self.funds_minor).unwrap_or(i64::MAX));
                let key = wallets.funding(*index, self.funds_minor).to_string();
                let body = format!(
                    "{{\"wallet\":\"{id}\",\"amount\":{{\"amount\":\"{amount}\",\"currency\":\"{}\"}}}}",
                    currency.code
                );
                self.wire.endpoint.post("/v1/deposits", Some(&key), body.as_bytes(), out);
            }
        }
    }

    fn answered(&mut self, index: u32, answer: &Answer<'_>) -> After<u32> {
        match meaning(answer) {
            Meaning::Accepted => {
                self.bar.inc(1);
                if self.step == Step::Fund {
                    let wallets = &self.wire.wallets;
                    let key = wallets.funding(index, self.funds_minor);
                    match accepted_lsn(answer.body, &key) {
                        Some(lsn) => self.list.borrow_mut().accepted(
                            b'd',
                            &key,
                            lsn,
                            &[wallets.id(index)],
                            self.funds_minor,
                            &self.wire.currency,
                        ),
                        None => self.fail(format!("deposit {key} was answered without its id and lsn")),
                    }
                }
            }
            Meaning::Busy(_) if !self.crew.halt.stopped() => return After::Again(index),
            Meaning::Refused(code) if code == "WALLET_EXISTS" => {
                self.fail(format!("{code}: these wallets were opened otherwise before, choose another --seed"));
            }
            Meaning::Busy(code) | Meaning::Refused(code) => self.fail(code),
            Meaning::Unexpected(why) => self.fail(why),
        }
        After::Finished
    }

    fn unheard(&mut self, _: u32) {}
}

impl Setup {
    fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
        self.crew.halt.stop(Stop::Broken);
    }
}
