//! Clients: each has one request under way, remembers what it was told, and repeats old requests, above all those whose
//! answer it never heard.

use florin::engine::desk::{Begun, BegunAll, BegunEach, first_outcome};
use florin::engine::{AtomicRefusal, CaptureRequest, Failure, Outcome, Receipt};
use florin::ledger::fingerprint::Fingerprint;
use florin::ledger::{
    Amount, Authorization, Currency, HoldId, Kind, Leg, Legs, Limits, Opening, OwnerId, Reject, SpendingLimits, Status,
    Transfer, TransferId, TransferKind, UtcOffset, WalletId,
};
use rand::RngExt;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::life::Life;
use super::oracle::Oracle;
use super::reads::{self, About, Reading};
use super::world::World;

pub const CLIENTS: usize = 6;
/// Wallets that clients use; number 0 is a system wallet.
pub const WALLETS: u128 = 7;

/// A request that a client may send, and send again.
#[derive(Clone, Debug)]
pub enum Ask {
    Open(Opening),
    Transfer(Transfer),
    Each(Vec<Transfer>),
    All(Vec<Transfer>),
    Authorize(Authorization),
    Capture(CaptureRequest),
    Void(HoldId),
    Status(WalletId, Status),
    Limit(WalletId, SpendingLimits),
}

#[derive(Default)]
pub struct Clients {
    waiting: [Option<Waiting>; CLIENTS],
    asked: Vec<Ask>,
    holds: Vec<HoldId>,
    next_id: u128,
}

type Answers = oneshot::Receiver<florin::engine::conversation::Answers>;

enum Waiting {
    One(Ask, Answers),
    Each(Vec<Transfer>, BegunEach, Answers),
    All(Vec<Transfer>, usize, Answers),
    Read(Reading),
}

impl Clients {
    pub fn is_idle(&self, client: usize) -> bool {
        self.waiting[client].is_none()
    }

    pub fn are_waiting(&self) -> bool {
        self.waiting.iter().any(Option::is_some)
    }

    /// The server is gone: what was under way is never heard of.
    pub fn forget_pending(&mut self) {
        self.waiting = Default::default();
    }

    pub fn poll(&mut self, client: usize, life: &mut Life, world: &mut World) {
        let Some(waiting) = self.waiting[client].take() else { return };
        let told = match waiting {
            Waiting::One(ask, mut answers) => match answers.try_recv() {
                Ok(answers) => {
                    told(&ask, first_outcome(&answers), world);
                    ask
                }
                Err(TryRecvError::Closed) => return,
                Err(_) => return self.waiting[client] = Some(Waiting::One(ask, answers)),
            },
            Waiting::Each(transfers, begun, mut answers) => match answers.try_recv() {
                Ok(answers) => {
                    told_each(&transfers, begun.finish(&answers), world);
                    Ask::Each(transfers)
                }
                Err(TryRecvError::Closed) => return,
                Err(_) => return self.waiting[client] = Some(Waiting::Each(transfers, begun, answers)),
            },
            Waiting::All(transfers, count, mut answers) => match answers.try_recv() {
                Ok(answers) => {
                    told_all(&transfers, BegunAll::finish_asked(count, &answers), world);
                    Ask::All(transfers)
                }
                Err(TryRecvError::Closed) => return,
                Err(_) => return self.waiting[client] = Some(Waiting::All(transfers, count, answers)),
            },
            Waiting::Read(reading) => {
                return self.waiting[client] = reads::poll(reading, life, world).map(Waiting::Read);
            }
        };
        self.look_after(client, &told, life, world);
    }

    /// Whoever was told something often looks at once whether it is so.
    fn look_after(&mut self, client: usize, told: &Ask, life: &mut Life, world: &mut World) {
        if world.rng.random_bool(0.3) {
            let about = About::told_of(told, world);
            self.waiting[client] = reads::ask(client, &about, life, world).map(Waiting::Read);
        }
    }

    pub fn ask(&mut self, client: usize, life: &mut Life, world: &mut World) {
        if world.rng.random_bool(0.1) {
            let about = About::anything(&self.asked, world);
            self.waiting[client] = reads::ask(client, &about, life, world).map(Waiting::Read);
            return;
        }
        let is_repeat = !self.asked.is_empty() && world.rng.random_bool(0.2);
        let ask = if is_repeat {
            world.figures.repeats += 1;
            self.asked[world.rng.random_range(0..self.asked.len())].clone()
        } else {
            let ask = self.new_ask(world);
            self.asked.push(ask.clone());
            ask
        };
        world.figures.requests += 1;
        world.say(|| format!("client {client} asks {ask:?}"));
        let now = world.clock_micros;
        let desk = &life.desk;
        let begun = match ask.clone() {
            Ask::Open(opening) => desk.open_wallet(opening, now),
            Ask::Transfer(transfer) => desk.transfer(transfer, now),
            Ask::Authorize(authorization) => desk.authorize(authorization, now),
            Ask::Capture(request) => desk.capture(request, now),
            Ask::Void(hold) => desk.void(hold, now),
            Ask::Status(wallet, status) => desk.set_status(wallet, status, now),
            Ask::Limit(wallet, limits) => desk.limit_spending(wallet, limits, now),
            Ask::Each(transfers) => {
                let mut begun = desk.transfer_each(transfers.clone(), now);
                match begun.asked.take() {
                    Some(asked) => {
                        life.send_from_client(client, asked.messages);
                        self.waiting[client] = Some(Waiting::Each(transfers, begun, asked.answers));
                    }
                    None => {
                        told_each(&transfers, begun.finish(&[]), world);
                        self.look_after(client, &Ask::Each(transfers), life, world);
                    }
                }
                return;
            }
            Ask::All(transfers) => {
                match desk.transfer_all(transfers.clone(), now) {
                    BegunAll::Asked { asked, count } => {
                        life.send_from_client(client, asked.messages);
                        self.waiting[client] = Some(Waiting::All(transfers, count, asked.answers));
                    }
                    BegunAll::Answered(answer) => {
                        told_all(&transfers, answer, world);
                        self.look_after(client, &Ask::All(transfers), life, world);
                    }
                }
                return;
            }
        };
        match begun {
            Begun::Asked(asked) => {
                life.send_from_client(client, asked.messages);
                self.waiting[client] = Some(Waiting::One(ask, asked.answers));
            }
            Begun::Answered(outcome) => {
                told(&ask, outcome, world);
                self.look_after(client, &ask, life, world);
            }
        }
    }

    fn new_ask(&mut self, world: &mut World) -> Ask {
        self.next_id += 1;
        let id = (1 << 64) + (self.next_id << 8);
        let rng = &mut world.rng;
        // At first there is nothing but wallets to open and money to put in.
        let drawn =
            if self.next_id <= 2 * WALLETS { [0, 99][rng.random_range(0..2)] } else { rng.random_range(0..100) };
        match drawn {
            0..8 => Ask::Open(opening(rng.random_range(0..WALLETS))),
            8..30 if world.is_bulky => Ask::Each((0..150).map(|n| bulky_deposit(world, id + n)).collect()),
            8..48 => Ask::Transfer(random_transfer(world, id)),
            48..56 => Ask::Each((0..6).map(|n| random_transfer(world, id + n)).collect()),
            56..66 => Ask::All((0..4).map(|n| random_transfer(world, id + n)).collect()),
            66..78 => {
                let (payer, payee) = two_wallets(world);
                let minor = world.rng.random_range(1..150);
                self.holds.push(HoldId(id));
                Ask::Authorize(Authorization {
                    hold: HoldId(id),
                    fingerprint: Fingerprint::of_hold((payer, payee), minor, currency(), 60, None),
                    payer,
                    payee,
                    currency: currency(),
                    amount: amount(minor),
                    expires_at_micros: world.clock_micros + world.rng.random_range(0..3_000_000),
                    reference: None,
                })
            }
            78..88 if !self.holds.is_empty() => Ask::Capture(CaptureRequest {
                id: TransferId(id),
                hold: self.holds[rng.random_range(0..self.holds.len())],
                amount: rng.random_bool(0.7).then(|| amount(rng.random_range(1..100))),
                is_final: rng.random_bool(0.3),
            }),
            88..92 if !self.holds.is_empty() => Ask::Void(self.holds[rng.random_range(0..self.holds.len())]),
            92..95 => {
                let status = [Status::Frozen, Status::Active, Status::Active][rng.random_range(0..3)];
                Ask::Status(WalletId(rng.random_range(1..WALLETS)), status)
            }
            95..98 => Ask::Limit(WalletId(rng.random_range(1..WALLETS)), spending_limits(world)),
            _ => Ask::Transfer(deposit(world, id)),
        }
    }
}

impl Ask {
    /// Whether a refusal of it is remembered under an id.
    fn id(&self) -> Option<u128> {
        match self {
            Ask::Transfer(transfer) => Some(transfer.id().0),
            Ask::Authorize(authorization) => Some(authorization.hold.0),
            Ask::Capture(request) => Some(request.id.0),
            Ask::Open(_) | Ask::Each(_) | Ask::All(_) | Ask::Void(_) | Ask::Status(..) | Ask::Limit(..) => None,
        }
    }

    /// Every id that it may take.
    pub fn ids(&self) -> Vec<u128> {
        match self {
            Ask::Open(opening) => vec![opening.wallet.0],
            Ask::Each(transfers) | Ask::All(transfers) => transfers.iter().map(|transfer| transfer.id().0).collect(),
            Ask::Void(hold) => vec![hold.0],
            _ => self.id().into_iter().collect(),
        }
    }

    /// The wallets that it names.
    pub fn wallets(&self) -> Vec<WalletId> {
        let of = |transfer: &Transfer| transfer.legs().iter().map(|leg| leg.wallet).collect::<Vec<_>>();
        match self {
            Ask::Open(opening) => vec![opening.wallet],
            Ask::Transfer(transfer) => of(transfer),
            Ask::Each(transfers) | Ask::All(transfers) => transfers.iter().flat_map(of).collect(),
            Ask::Authorize(hold) => vec![hold.payer, hold.payee],
            Ask::Status(wallet, _) | Ask::Limit(wallet, _) => vec![*wallet],
            Ask::Capture(_) | Ask::Void(_) => Vec::new(),
        }
    }

    pub fn hold(&self) -> Option<HoldId> {
        match self {
            Ask::Authorize(authorization) => Some(authorization.hold),
            Ask::Capture(request) => Some(request.hold),
            Ask::Void(hold) => Some(*hold),
            _ => None,
        }
    }
}

fn told(ask: &Ask, outcome: Outcome, world: &mut World) {
    world.say(|| format!("told {outcome:?} about {:?}", ask.id()));
    match (ask.id(), outcome) {
        (Some(id), outcome) => note(id, outcome, world),
        (None, Outcome::Accepted(receipt)) => world.oracle.acknowledged(receipt.lsn),
        (None, Outcome::Failed(Failure::Storage(what))) => world.explained("a request", &what),
        (None, Outcome::Refused(_) | Outcome::Failed(_)) => {}
    }
}

fn told_each(transfers: &[Transfer], outcomes: Vec<Outcome>, world: &mut World) {
    assert_eq!(transfers.len(), outcomes.len());
    transfers.iter().zip(outcomes).for_each(|(transfer, outcome)| note(transfer.id().0, outcome, world));
}

fn told_all(transfers: &[Transfer], answer: Result<Vec<Receipt>, AtomicRefusal>, world: &mut World) {
    match answer {
        Ok(receipts) => {
            assert_eq!(transfers.len(), receipts.len());
            for (transfer, receipt) in transfers.iter().zip(receipts) {
                note(transfer.id().0, Outcome::Accepted(receipt), world);
            }
        }
        Err(AtomicRefusal { index, outcome }) => note(transfers[index].id().0, outcome, world),
    }
}

fn note(id: u128, outcome: Outcome, world: &mut World) {
    let oracle: &mut Oracle = &mut world.oracle;
    match outcome {
        Outcome::Accepted(receipt) => {
            world.figures.accepted += 1;
            oracle.accepted(id, receipt.lsn);
        }
        Outcome::Refused(refusal) => {
            world.figures.refused += 1;
            let is_over = matches!(
                refusal.reject,
                Reject::PaymentLimitExceeded | Reject::DayLimitExceeded | Reject::MonthLimitExceeded
            );
            world.figures.over_limit += u64::from(is_over);
            oracle.refused(id, refusal.reject);
        }
        Outcome::Failed(Failure::KeyReused) => panic!("the same request under {id:x} is taken for another one"),
        Outcome::Failed(Failure::TooLarge) => panic!("nothing here is large"),
        // A read of the log or the index may fail with the disk.
        Outcome::Failed(Failure::Storage(what)) => world.explained("a request", &what),
        Outcome::Failed(_) => {}
    }
}

fn currency() -> Currency {
    Currency::by_code("INR").expect("in the list")
}

fn amount(minor: i64) -> Amount {
    Amount::new(minor).expect("above zero")
}

fn opening(wallet: u128) -> Opening {
    let is_system = wallet == 0;
    Opening {
        wallet: WalletId(wallet),
        owner: OwnerId(wallet % 3 + 100),
        currency: currency(),
        kind: if is_system { Kind::System } else { Kind::Personal },
        may_send: true,
        may_receive: wallet != 6,
        limits: Limits {
            overdraft_limit: if is_system { None } else { Some(i64::try_from(wallet % 2).expect("small") * 40) },
            balance_ceiling: (wallet == 5).then_some(300),
        },
    }
}

/// Often none; otherwise of the size of some payments, so that they are reached.
fn spending_limits(world: &mut World) -> SpendingLimits {
    let rng = &mut world.rng;
    let mut limit =
        |chance: f64, minor_max: i64| rng.random_bool(chance).then(|| amount(rng.random_range(1..minor_max)));
    let (per_payment, per_day, per_month) = (limit(0.2, 150), limit(0.6, 400), limit(0.4, 1_200));
    let minutes = [0, 0, 330, -480, 840][rng.random_range(0..5)];
    let utc_offset = UtcOffset::from_minutes(minutes).expect("not above 18 hours");
    SpendingLimits { per_payment, per_day, per_month, utc_offset }
}

fn two_wallets(world: &mut World) -> (WalletId, WalletId) {
    let first = world.rng.random_range(1..WALLETS);
    let second = (first + world.rng.random_range(0..WALLETS - 2)) % (WALLETS - 1) + 1;
    (WalletId(first), WalletId(second))
}

fn transfer(id: u128, kind: TransferKind, legs: &[(WalletId, i64)]) -> Transfer {
    let legs: Legs = legs.iter().map(|&(wallet, amount)| Leg { wallet, amount }).collect();
    Transfer::new(TransferId(id), kind, currency(), legs, None).expect("it adds up")
}

fn deposit(world: &mut World, id: u128) -> Transfer {
    let minor = world.rng.random_range(1..2_000);
    let to = WalletId(world.rng.random_range(1..WALLETS));
    transfer(id, TransferKind::Deposit, &[(WalletId(0), -minor), (to, minor)])
}

/// With the longest reference there is: what fills a segment.
fn bulky_deposit(world: &mut World, id: u128) -> Transfer {
    let to = WalletId(world.rng.random_range(1..WALLETS));
    let legs: Legs = [Leg { wallet: WalletId(0), amount: -1 }, Leg { wallet: to, amount: 1 }].into_iter().collect();
    let reference = "\u{1f4b0}".repeat(140);
    Transfer::new(TransferId(id), TransferKind::Deposit, currency(), legs, Some(reference.into())).expect("it adds up")
}

fn random_transfer(world: &mut World, id: u128) -> Transfer {
    if world.rng.random_bool(0.3) {
        return deposit(world, id);
    }
    let (from, to) = two_wallets(world);
    let minor = world.rng.random_range(1..120);
    if world.rng.random_bool(0.8) {
        return transfer(id, TransferKind::Transfer, &[(from, -minor), (to, minor)]);
    }
    let third = (1..WALLETS).map(WalletId).find(|wallet| *wallet != from && *wallet != to);
    let third = third.expect("there are more than two");
    transfer(id, TransferKind::Transfer, &[(from, -minor - 1), (to, minor), (third, 1)])
}
