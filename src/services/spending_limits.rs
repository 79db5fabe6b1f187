//! A person's own spending limits, below those of the operator. Lowering is in force at once; raising waits, so that a thief
//! gains nothing by it before its owner has heard of it. The wallet itself keeps the lesser of both; the row comes first, the
//! ledger is told afterwards, and a sweep finishes what a crash left.

use serde_json::json;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::accounts::accepted;
use super::clock::DAY;
use super::fault::{Fault, Why};
use super::{Principal, Services, audit, crash, sessions, standing};
use crate::engine::{Refusal, WalletView};
use crate::ledger::{Amount, Reject, SpendingLimits, Status, UtcOffset, WalletId};
use crate::store::spending_limits::{self, Raise, Raises, WalletLimits};
use crate::store::{Account, accounts};

pub const JOB: &str = "limits";
/// How long a raise waits.
pub const RAISE_WAITS_MICROS: i64 = DAY;

/// What a person asks for; what is `None` stays as it is. Of an amount, `Some(None)` takes the limit away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    pub per_payment: Option<Option<Amount>>,
    pub per_day: Option<Option<Amount>>,
    pub per_month: Option<Option<Amount>>,
    pub utc_offset: Option<UtcOffset>,
}

/// What is set, and what the wallet keeps and has spent.
#[derive(Debug)]
pub struct Seen {
    pub limits: WalletLimits,
    pub view: WalletView,
}

/// What came of a change; each is told in other words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Came {
    TakenBack,
    Lowered,
    RaiseWaits,
}

pub async fn show(services: &Services, wallet: WalletId) -> Result<Seen, Fault> {
    let view = existing(services, wallet).await?;
    let mut c = services.store.read().await?;
    let known = spending_limits::by_wallet(&mut c, Uuid::from_u128(wallet.0)).await?;
    Ok(Seen { limits: known.unwrap_or_else(|| first(&view, None)), view })
}

/// Changes the owner's own limits. The caller has looked whether the wallet is his.
pub async fn change(
    services: &Services,
    principal: &Principal,
    wallet: WalletId,
    change: Change,
) -> Result<Seen, Fault> {
    principal.session()?;
    let view = open(services, wallet).await?;
    let mut tx = services.store.begin().await?;
    let account = standing::locked(&mut tx, principal.account).await?;
    standing::must_be_open(&account)?;
    let mut limits = spending_limits::lock(&mut tx, &first(&view, Some(account.id))).await?;
    must_be_allowed(&change, &limits.operators)?;
    let now = services.now();
    if let Some(came) = ask(&mut limits, change, now) {
        spending_limits::save(&mut tx, &limits).await?;
        sessions::tell_change(services, &mut tx, &account, came.told()).await?;
        tx.commit().await?;
        crash::point("limits.after_row");
    } else {
        drop(tx);
    }
    finish(services, limits.wallet).await?;
    show(services, wallet).await
}

/// Sets what the operator allows at most.
pub async fn set_operators(
    services: &Services,
    principal: &Principal,
    wallet: WalletId,
    operators: SpendingLimits,
) -> Result<(), Fault> {
    let view = open(services, wallet).await?;
    let mut tx = services.store.begin().await?;
    let owner = accounts::by_id(&mut tx, Uuid::from_u128(view.owner.0)).await?;
    let mut limits = spending_limits::lock(&mut tx, &first(&view, owner.map(|owner| owner.id))).await?;
    let id = limits.wallet;
    if limits.operators == operators {
        drop(tx);
        return finish(services, id).await;
    }
    limits.operators = operators;
    to_apply(&mut limits, services.now());
    spending_limits::save(&mut tx, &limits).await?;
    tell(services, &mut tx, &limits, "limits_set_by_operator").await?;
    let minor = |amount: Option<Amount>| amount.map(Amount::minor);
    let detail = json!({
        "currency": view.wallet.currency().code(),
        "per_payment_minor": minor(operators.per_payment),
        "per_day_minor": minor(operators.per_day),
        "per_month_minor": minor(operators.per_month),
        "utc_offset_minutes": operators.utc_offset.minutes(),
    });
    let actor = principal.actor();
    audit::record(services, &mut tx, &actor, "wallet.limits", &format!("wallet {id}"), &detail).await?;
    tx.commit().await?;
    crash::point("limits.after_row");
    finish(services, id).await
}

/// Puts those raises in force that have waited long enough, and brings wallets to what their rows say. One that cannot be
/// brought there does not keep the others from it.
pub async fn sweep(services: &Services) -> Result<(), Fault> {
    const ROWS_MAX: i64 = 500;
    let mut failed = None;
    for is_raising in [true, false] {
        let mut after = Uuid::nil();
        loop {
            let mut c = services.store.read().await?;
            let wallets = match is_raising {
                true => spending_limits::due(&mut c, services.now(), after, ROWS_MAX).await?,
                false => spending_limits::unapplied(&mut c, after, ROWS_MAX).await?,
            };
            drop(c);
            let is_last = i64::try_from(wallets.len()).unwrap_or(i64::MAX) < ROWS_MAX;
            for wallet in wallets {
                let done = if is_raising { raise(services, wallet).await } else { finish(services, wallet).await };
                failed = done.err().or(failed);
                after = wallet;
            }
            if is_last {
                break;
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// What the wallet keeps. Days begin where the operator says, as soon as he limits anything.
pub fn in_force(limits: &WalletLimits) -> SpendingLimits {
    let (own, operators) = (limits.own, limits.operators);
    let lesser = |one: Option<Amount>, other: Option<Amount>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    SpendingLimits {
        per_payment: lesser(own.per_payment, operators.per_payment),
        per_day: lesser(own.per_day, operators.per_day),
        per_month: lesser(own.per_month, operators.per_month),
        utc_offset: if operators.is_none() { own.utc_offset } else { operators.utc_offset },
    }
}

impl Came {
    fn told(self) -> &'static str {
        match self {
            Came::TakenBack => "limits_raise_taken_back",
            Came::Lowered => "limits_lowered",
            Came::RaiseWaits => "limits_raise_waits",
        }
    }
}

/// Changes the row as far as it may be now, and notes the rest; none if it is all as it was.
fn ask(limits: &mut WalletLimits, change: Change, now: i64) -> Option<Came> {
    let before = limits.clone();
    let at = now + RAISE_WAITS_MICROS;
    let (own, raises) = (&mut limits.own, &mut limits.raises);
    let was_without = own.is_none();
    let came = [
        lower_or_wait(&mut own.per_payment, &mut raises.per_payment, change.per_payment, at),
        lower_or_wait(&mut own.per_day, &mut raises.per_day, change.per_day, at),
        lower_or_wait(&mut own.per_month, &mut raises.per_month, change.per_month, at),
        change.utc_offset.and_then(|to| {
            // Whoever moves the day's beginning to this minute again and again has many days in a day.
            if was_without {
                (own.utc_offset, raises.utc_offset) = (to, None);
                None
            } else {
                wait(own.utc_offset, &mut raises.utc_offset, to, at)
            }
        }),
    ];
    if before.own != limits.own {
        to_apply(limits, now);
    }
    let told = came.into_iter().flatten().max();
    (before != *limits).then_some(told.unwrap_or(Came::Lowered))
}

fn lower_or_wait(
    own: &mut Option<Amount>,
    raise: &mut Option<Raise<Option<Amount>>>,
    wanted: Option<Option<Amount>>,
    at: i64,
) -> Option<Came> {
    let wanted = wanted?;
    if is_above(wanted, *own) || wanted == *own {
        return wait(*own, raise, wanted, at);
    }
    (*own, *raise) = (wanted, None);
    Some(Came::Lowered)
}

/// The same raise asked for again keeps its time; what is in force asked for again takes the raise back.
fn wait<T: Copy + PartialEq>(own: T, raise: &mut Option<Raise<T>>, wanted: T, at: i64) -> Option<Came> {
    if wanted == own {
        return raise.take().map(|_| Came::TakenBack);
    }
    if raise.is_some_and(|raise| raise.to == wanted) {
        return None;
    }
    *raise = Some(Raise { to: wanted, at });
    Some(Came::RaiseWaits)
}

fn is_above(wanted: Option<Amount>, than: Option<Amount>) -> bool {
    than.is_some_and(|than| wanted.is_none_or(|wanted| wanted > than))
}

/// Puts what has waited long enough in force; false if nothing has.
fn raise_due(limits: &mut WalletLimits, now: i64) -> bool {
    fn take<T>(own: &mut T, raise: &mut Option<Raise<T>>, now: i64) -> bool {
        let due = raise.take_if(|raise| raise.at <= now);
        due.map(|raise| *own = raise.to).is_some()
    }
    let (own, raises) = (&mut limits.own, &mut limits.raises);
    let Raises { per_payment, per_day, per_month, utc_offset } = raises;
    let is_any = [
        take(&mut own.per_payment, per_payment, now),
        take(&mut own.per_day, per_day, now),
        take(&mut own.per_month, per_month, now),
        take(&mut own.utc_offset, utc_offset, now),
    ]
    .contains(&true);
    if is_any {
        to_apply(limits, now);
    }
    is_any
}

fn to_apply(limits: &mut WalletLimits, now: i64) {
    limits.revision += 1;
    limits.unapplied_since.get_or_insert(now);
}

/// What is asked for by name and never comes into force would only mislead; no limit of one's own is the operator's.
fn must_be_allowed(change: &Change, operators: &SpendingLimits) -> Result<(), Fault> {
    let checks = [
        ("per_payment", change.per_payment, operators.per_payment),
        ("per_day", change.per_day, operators.per_day),
        ("per_month", change.per_month, operators.per_month),
    ];
    for (name, wanted, ceiling) in checks {
        if wanted.flatten().is_some_and(|wanted| is_above(Some(wanted), ceiling)) {
            let detail =
                format!("`{name}` is above what the operator allows; GET /v1/me/limits says how much that is.");
            return Err(Fault::no(Why::LimitAboveCeiling, detail));
        }
    }
    Ok(())
}

async fn raise(services: &Services, wallet: Uuid) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    // Somebody may have taken it back meanwhile.
    let first = WalletLimits::first(wallet, None, SpendingLimits::default());
    let mut limits = spending_limits::lock(&mut tx, &first).await?;
    if !raise_due(&mut limits, services.now()) {
        return Ok(());
    }
    spending_limits::save(&mut tx, &limits).await?;
    tell(services, &mut tx, &limits, "limits_raised").await?;
    tx.commit().await?;
    crash::point("limits.after_raise");
    finish(services, wallet).await
}

/// Has the wallet keep what its row says, if it does not yet.
async fn finish(services: &Services, wallet: Uuid) -> Result<(), Fault> {
    let _turn = services.turns.of(wallet).await;
    let mut c = services.store.read().await?;
    let limits = spending_limits::by_wallet(&mut c, wallet).await?;
    drop(c);
    let Some(limits) = limits.filter(|limits| limits.unapplied_since.is_some()) else { return Ok(()) };
    match accepted(services.engine.limit_spending(WalletId(wallet.as_u128()), in_force(&limits)).await) {
        // Nothing leaves it any more.
        Err(fault) if fault.reject() == Some(Reject::WalletClosed) => {}
        other => drop(other?),
    }
    crash::point("limits.after_ledger");
    let mut tx = services.store.begin().await?;
    spending_limits::applied(&mut tx, wallet, limits.revision).await?;
    Ok(tx.commit().await?)
}

async fn tell(services: &Services, c: &mut AnyConnection, limits: &WalletLimits, what: &str) -> Result<(), Fault> {
    let Some(account) = limits.account else { return Ok(()) };
    let account: Option<Account> = accounts::by_id(c, account).await?;
    match account {
        Some(account) => sessions::tell_change(services, c, &account, what).await,
        None => Ok(()),
    }
}

/// What the ledger knew before there was a row is the operator's.
fn first(view: &WalletView, account: Option<Uuid>) -> WalletLimits {
    let operators = view.spending.map(|spending| spending.limits()).unwrap_or_default();
    WalletLimits::first(Uuid::from_u128(view.wallet.id().0), account, operators)
}

async fn existing(services: &Services, wallet: WalletId) -> Result<WalletView, Fault> {
    services.engine.wallet(wallet).await?.ok_or_else(|| refused(Reject::WalletNotFound))
}

async fn open(services: &Services, wallet: WalletId) -> Result<WalletView, Fault> {
    let view = existing(services, wallet).await?;
    if view.wallet.status() == Status::Closed {
        return Err(refused(Reject::WalletClosed));
    }
    Ok(view)
}

fn refused(reject: Reject) -> Fault {
    Fault::Refused(Refusal { reject, replayed: false })
}

#[cfg(test)]
#[path = "spending_limits_tests.rs"]
mod tests;
