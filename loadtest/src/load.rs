//! What one connection of a load run does: draws requests from the plan, judges the answers, counts them,
//! and lists what was acknowledged.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use uuid::Uuid;

use crate::acknowledged::Writer;
use crate::answers::{Meaning, Outcome, accepted_lsn, meaning, outcomes};
use crate::client::{After, Halt, Job, Next};
use crate::http::Answer;
use crate::ids::{Random, TransferIds};
use crate::mix::{Mix, Part};
use crate::pace::Slots;
use crate::pairs::Pairs;
use crate::stats::{Kind, Stats};
use crate::wire::{Order, Wire};

/// What to ask for, the same for all connections.
#[derive(Debug)]
pub struct Plan {
    pub wire: Wire,
    pub pairs: Pairs,
    pub mix: Mix,
    /// Items in a bulk request; `None` for one transfer a request.
    pub batch: Option<usize>,
    pub amount_max_minor: u64,
    /// Ask again what the server was too busy for, because its first asking may have been lost unheard.
    pub retry_busy: bool,
    /// Transfers still to be sent, where their number was given.
    pub remaining: Option<AtomicI64>,
}

/// What the connections of one thread share.
#[derive(Debug)]
pub struct Bench {
    pub plan: Arc<Plan>,
    pub stats: RefCell<Stats>,
    pub list: RefCell<Writer>,
    pub slots: Option<Slots>,
    pub halt: Arc<Halt>,
}

/// One request under way.
#[derive(Debug)]
pub struct Sent {
    intended: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Transfer(Order),
    Bulk(Vec<Order>),
    Authorize(Order),
    Capture(Uuid, Order),
    Void(Uuid, Order),
    Balance(u32),
    Entries(u32),
    Repeat(Box<First>),
}

/// A request that was answered, kept to be sent again.
#[derive(Debug)]
struct First {
    what: What,
    status: u16,
    body: Vec<u8>,
}

#[derive(Debug)]
pub struct Load {
    bench: Rc<Bench>,
    random: Random,
    ids: TransferIds,
    follow_ups: VecDeque<What>,
    last: Option<Box<First>>,
    granted: u32,
}

impl Load {
    pub fn new(bench: Rc<Bench>, seed: u64) -> Self {
        Self {
            bench,
            random: Random::new(seed),
            ids: TransferIds::default(),
            follow_ups: VecDeque::new(),
            last: None,
            granted: 0,
        }
    }

    fn send(&self, intended: Instant, what: What) -> Next<Sent> {
        self.bench.stats.borrow_mut().in_flight += 1;
        Next::Send(Sent { intended, what })
    }

    fn order(&mut self) -> Order {
        let (from, to) = self.bench.plan.pairs.draw(&mut self.random);
        Order { id: self.ids.make(), from, to, amount_minor: 1 + self.random.below(self.bench.plan.amount_max_minor) }
    }

    fn draw(&mut self) -> Option<What> {
        let plan = Arc::clone(&self.bench.plan);
        let part = plan.mix.draw(&mut self.random);
        match part {
            Part::Read => {
                let (wallet, _) = plan.pairs.draw(&mut self.random);
                return Some(if self.random.below(2) == 0 { What::Balance(wallet) } else { What::Entries(wallet) });
            }
            Part::Repeat => {
                if let Some(first) = self.last.take() {
                    return Some(What::Repeat(first));
                }
            }
            Part::Hold if claim(&plan, 1) == 1 => return Some(What::Authorize(self.order())),
            Part::Hold => return None,
            Part::Transfer => {}
        }
        match claim(&plan, plan.batch.unwrap_or(1)) {
            0 => None,
            count if plan.batch.is_some() => Some(What::Bulk((0..count).map(|_| self.order()).collect())),
            _ => Some(What::Transfer(self.order())),
        }
    }

    /// Judges an answer that says yes.
    fn accepted(&mut self, what: What, answer: &Answer<'_>) {
        let bench = Rc::clone(&self.bench);
        let plan = &bench.plan;
        let (mut stats, mut list) = (bench.stats.borrow_mut(), bench.list.borrow_mut());
        let (wallets, currency) = (&plan.wire.wallets, &plan.wire.currency);
        let no_lsn = |id: &Uuid| format!("{id} was accepted, but the answer has another id or no lsn");
        if answer.replayed && !matches!(what, What::Repeat(_)) {
            stats.counts().replayed += 1;
        }
        match &what {
            What::Transfer(order) => match accepted_lsn(answer.body, &order.id) {
                Some(lsn) => {
                    stats.counts().accepted += 1;
                    if list.is_on() {
                        let names = [wallets.id(order.from), wallets.id(order.to)];
                        list.accepted(b'a', &order.id, lsn, &names, order.amount_minor, currency);
                    }
                }
                None => stats.wrong(no_lsn(&order.id)),
            },
            What::Bulk(orders) => {
                let ids = orders.iter().map(|order| order.id);
                match outcomes(plan.wire.format, answer.body, ids) {
                    Ok(found) => {
                        for (order, outcome) in orders.iter().zip(&found) {
                            take_item(plan, order, outcome, &mut stats, &mut list);
                        }
                    }
                    Err(why) => stats.wrong(why),
                }
            }
            What::Authorize(order) => match accepted_lsn(answer.body, &order.id) {
                Some(lsn) => {
                    stats.counts().accepted += 1;
                    let names = [wallets.id(order.from), wallets.id(order.to)];
                    list.accepted(b'h', &order.id, lsn, &names, order.amount_minor, currency);
                    let key = self.ids.make();
                    self.follow_ups.push_back(match self.random.below(4) {
                        0 => What::Void(key, *order),
                        _ => What::Capture(key, *order),
                    });
                }
                None => stats.wrong(no_lsn(&order.id)),
            },
            What::Capture(key, order) => match accepted_lsn(answer.body, key) {
                Some(lsn) => {
                    stats.counts().accepted += 1;
                    let names = [order.id, wallets.id(order.from), wallets.id(order.to)];
                    list.accepted(b'c', key, lsn, &names, order.amount_minor, currency);
                }
                None => stats.wrong(no_lsn(key)),
            },
            What::Void(_, order) => match accepted_lsn(answer.body, &order.id) {
                Some(lsn) => {
                    stats.counts().accepted += 1;
                    list.voided(&order.id, lsn);
                }
                None => stats.wrong(no_lsn(&order.id)),
            },
            What::Balance(_) | What::Entries(_) => stats.counts().reads += 1,
            What::Repeat(_) => {}
        }
        drop((stats, list));
        if plan.mix.has_repeats() && matches!(what, What::Transfer(_) | What::Bulk(_)) {
            self.last = Some(Box::new(First { what, status: answer.status, body: answer.body.to_vec() }));
        }
    }

    fn refused(&mut self, what: &What, code: &str) {
        let mut stats = self.bench.stats.borrow_mut();
        let mut list = self.bench.list.borrow_mut();
        match what {
            What::Transfer(order) => list.refused(&order.id, code),
            // An atomic batch is refused as one, and holds are looked up elsewhere: the list of
            // refusals has transfers only.
            What::Bulk(_) | What::Authorize(_) | What::Capture(..) | What::Void(..) | What::Repeat(_) => {}
            What::Balance(_) | What::Entries(_) => {
                return stats.error(format!("a read was refused: {code}"));
            }
        }
        let items = match what {
            What::Bulk(orders) => orders.len(),
            _ => 1,
        };
        (0..items).for_each(|_| stats.refused(code));
    }

    /// The same key and body again must give the same answer, marked as given again.
    fn repeated(&self, first: &First, answer: &Answer<'_>) {
        let mut stats = self.bench.stats.borrow_mut();
        let format = self.bench.plan.wire.format;
        let same = match &first.what {
            What::Bulk(orders) => {
                let read = |body| outcomes(format, body, orders.iter().map(|order| order.id));
                same_outcomes(read(&first.body), read(answer.body))
            }
            _ => {
                answer.replayed
                    && answer.status == first.status
                    && (answer.body == first.body || same_json(answer.body, &first.body))
            }
        };
        if same {
            stats.counts().replayed += 1;
        } else {
            let was = String::from_utf8_lossy(&first.body[..first.body.len().min(400)]).into_owned();
            let is = String::from_utf8_lossy(&answer.body[..answer.body.len().min(400)]);
            stats.wrong(format!(
                "a repeat got another answer: first {} {was}, then {} (replayed: {}) {is}",
                first.status, answer.status, answer.replayed
            ));
        }
    }
}

impl Job for Load {
    type Ticket = Sent;

    fn next(&mut self) -> Next<Sent> {
        if let Some(what) = self.follow_ups.pop_front() {
            return self.send(Instant::now(), what);
        }
        if self.bench.halt.stopped() {
            return Next::Done;
        }
        let intended = match &self.bench.slots {
            None => Instant::now(),
            Some(slots) if self.granted > 0 => {
                self.granted -= 1;
                slots.claim()
            }
            Some(slots) => match slots.take() {
                Some(intended) => intended,
                None => return Next::Wait,
            },
        };
        match self.draw() {
            Some(what) => self.send(intended, what),
            None => Next::Done,
        }
    }

    fn encode(&mut self, ticket: &Sent, out: &mut Vec<u8>) {
        encode(&self.bench.plan.wire, &ticket.what, out);
    }

    fn answered(&mut self, sent: Sent, answer: &Answer<'_>) -> After<Sent> {
        let now = Instant::now();
        let verdict = meaning(answer);
        if let Meaning::Busy(code) = &verdict {
            let mut stats = self.bench.stats.borrow_mut();
            stats.busy(code);
            if self.bench.plan.retry_busy && !self.bench.halt.stopped() {
                return After::Again(sent);
            }
        }
        let latency = now.saturating_duration_since(sent.intended);
        self.bench.stats.borrow_mut().answered(kind(&sent.what), latency, now);
        match (verdict, sent.what) {
            (Meaning::Busy(_), _) => {}
            (Meaning::Unexpected(why), what) => {
                let why = format!("{:?}: {why}", kind(&what));
                self.bench.stats.borrow_mut().error(why);
            }
            (_, What::Repeat(first)) => self.repeated(&first, answer),
            (Meaning::Accepted, what) => self.accepted(what, answer),
            (Meaning::Refused(code), what) => self.refused(&what, &code),
        }
        After::Finished
    }

    fn unheard(&mut self, _: Sent) {
        let mut stats = self.bench.stats.borrow_mut();
        stats.in_flight = stats.in_flight.saturating_sub(1);
        stats.counts().unheard += 1;
    }

    async fn wake(&mut self) {
        match &self.bench.slots {
            Some(slots) => {
                slots.wait().await;
                self.granted += 1;
            }
            None => std::future::pending().await,
        }
    }
}

fn encode(wire: &Wire, what: &What, out: &mut Vec<u8>) {
    match what {
        What::Transfer(order) => wire.transfer(order, out),
        What::Bulk(orders) => wire.bulk(orders, out),
        What::Authorize(order) => wire.authorize(order, out),
        What::Capture(key, order) => wire.capture(&order.id, key, out),
        What::Void(key, order) => wire.void(&order.id, key, out),
        What::Balance(wallet) => wire.balance(*wallet, out),
        What::Entries(wallet) => wire.entries(*wallet, out),
        What::Repeat(first) => encode(wire, &first.what, out),
    }
}

fn kind(what: &What) -> Kind {
    match what {
        What::Transfer(_) => Kind::Transfer,
        What::Bulk(_) => Kind::Bulk,
        What::Authorize(_) => Kind::Authorize,
        What::Capture(..) => Kind::Capture,
        What::Void(..) => Kind::Void,
        What::Balance(_) => Kind::Balance,
        What::Entries(_) => Kind::Entries,
        What::Repeat(_) => Kind::Repeat,
    }
}

/// Takes up to `count` from what remains to be sent.
fn claim(plan: &Plan, count: usize) -> usize {
    let Some(remaining) = &plan.remaining else {
        return count;
    };
    let wanted = i64::try_from(count).unwrap_or(i64::MAX);
    let before = remaining.fetch_sub(wanted, Ordering::Relaxed);
    usize::try_from(before.min(wanted)).unwrap_or(0)
}

fn take_item(plan: &Plan, order: &Order, outcome: &Outcome, stats: &mut Stats, list: &mut Writer) {
    match outcome {
        Outcome::Accepted { lsn, replayed } => {
            stats.counts().accepted += 1;
            stats.counts().replayed += u64::from(*replayed);
            if list.is_on() {
                let wallets = &plan.wire.wallets;
                let names = [wallets.id(order.from), wallets.id(order.to)];
                let currency = &plan.wire.currency;
                list.accepted(b'a', &order.id, *lsn, &names, order.amount_minor, currency);
            }
        }
        Outcome::Refused { code } if outcome.is_undecided() => stats.busy(code),
        Outcome::Refused { code } => {
            stats.refused(code);
            list.refused(&order.id, code);
        }
    }
}

/// The same but for `replayed`, which the second answer must say of each accepted item.
fn same_outcomes(first: Result<Vec<Outcome>, String>, again: Result<Vec<Outcome>, String>) -> bool {
    let (Ok(first), Ok(again)) = (first, again) else {
        return false;
    };
    first.iter().zip(&again).all(|pair| match pair {
        (Outcome::Accepted { lsn, .. }, Outcome::Accepted { lsn: then, replayed }) => lsn == then && *replayed,
        (Outcome::Refused { code }, Outcome::Refused { code: then }) => code == then,
        _ => false,
    })
}

fn same_json(first: &[u8], again: &[u8]) -> bool {
    let read = |body| serde_json::from_slice::<serde_json::Value>(body).ok();
    read(first).is_some_and(|first| Some(first) == read(again))
}
