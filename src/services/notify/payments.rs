//! Reads along with the log and tells people of their payments: each once, since the position is kept in the transaction of what
//! was told. Records of wallets that are nobody's are passed over, and nothing is read while there are no people at all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::gather::{NewEvent, tell, time_text, write_events};
use super::recipients::{self, Matter, Recipients};
use super::{Notifier, Services};
use crate::engine::{Found, Seen, Tail};
use crate::ledger::money::format_minor;
use crate::ledger::{Event, Kind as WalletKind, WalletId};
use crate::services::clock::SECOND;
use crate::services::fault::Fault;
use crate::services::notices::Kind;
use crate::store::views;
use crate::views::payments::{Change, Owners, changes};

/// How far the log has been read.
pub(super) struct Place {
    tail: Tail,
    kept_lsn: u64,
    kept_at: i64,
}

const VIEW: &str = "payments";
/// Of one look at the log, and of one transaction.
const RECORDS_MAX: usize = 16 * 1024;
const EVENTS_MAX: usize = 100;
/// Whoever is behind rests four times as long as he reads: payments under way come first.
const RESTS_PER_WORK: u32 = 4;
const REST_MAX: Duration = Duration::from_millis(200);
/// A position behind which nothing was told need not be kept at once.
const KEEP_MICROS: i64 = 10 * SECOND;

/// People who come into an old ledger are not told of what was before. A database of another ledger, or one that knows more than
/// the log has, is refused: its rows lead to money that is not there.
pub(super) async fn begin(services: &Services) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    let durable = services.engine.durable_lsn();
    let log = Uuid::from_bytes(services.engine.log_id());
    if let Some(other) = views::claim_log(&mut tx, &log.to_string()).await? {
        let what =
            format!("the database of the people belongs to {other}, and this is log {log}: name the right database");
        return Err(Fault::Broken { what });
    }
    match views::position(&mut tx, VIEW).await? {
        None => views::set_position(&mut tx, VIEW, signed(durable)).await?,
        Some(told) if told > signed(durable) => {
            let what = format!(
                "the database of the people knows the log up to position {told}, and the log ends at {durable}: restore both \
                 from one backup"
            );
            return Err(Fault::Broken { what });
        }
        Some(_) => {}
    }
    let wallets = [views::first_wallets(&mut tx).await?, views::further_wallets(&mut tx).await?].concat();
    tx.commit().await?;
    services.notifier.wallets.add(wallets.into_iter().map(|wallet| wallet.as_u128()));
    Ok(())
}

/// Looks at a piece of the log; says whether there is more.
pub(super) async fn read_on(services: &Services) -> Result<bool, Fault> {
    let notifier = &services.notifier;
    // After a fault the place is gone, and is made again from what is kept.
    let mut slot = notifier.tail.lock().await;
    let place = match slot.take() {
        Some(place) => place,
        None => kept_place(services).await?,
    };
    let durable = services.engine.durable_lsn();
    metrics::gauge!("florin_notifications_lag").set(durable.saturating_sub(place.tail.lsn()) as f64);
    if durable <= place.tail.lsn() {
        *slot = Some(place);
        return Ok(false);
    }
    let Place { tail, mut kept_lsn, mut kept_at } = place;
    let (tail, is_at_end) = if notifier.wallets.is_empty() && !has_people(services).await? {
        // Whoever comes later has a wallet that is opened later.
        (services.engine.tail(durable), true)
    } else {
        let began = Instant::now();
        let wallets = notifier.wallets.clone();
        let Seen { tail, events, is_at_end } = tail.next(RECORDS_MAX, move |wallet| wallets.may_have(wallet)).await?;
        let took = began.elapsed();
        for chunk in events.chunks(EVENTS_MAX) {
            kept_lsn = tell_of(services, chunk).await?;
        }
        if !is_at_end {
            tokio::time::sleep((took * RESTS_PER_WORK).min(REST_MAX)).await;
        }
        (tail, is_at_end)
    };
    let now = services.now();
    if tail.lsn() > kept_lsn && now >= kept_at + KEEP_MICROS {
        let mut tx = services.store.begin().await?;
        views::set_position(&mut tx, VIEW, signed(tail.lsn())).await?;
        tx.commit().await?;
        (kept_lsn, kept_at) = (tail.lsn(), now);
    }
    *slot = Some(Place { tail, kept_lsn, kept_at });
    Ok(!is_at_end)
}

async fn kept_place(services: &Services) -> Result<Place, Fault> {
    let mut c = services.store.read().await?;
    let kept = views::position(&mut c, VIEW).await?.unwrap_or_default();
    let kept_lsn = u64::try_from(kept).unwrap_or_default();
    Ok(Place { tail: services.engine.tail(kept_lsn), kept_lsn, kept_at: services.now() })
}

async fn has_people(services: &Services) -> Result<bool, Fault> {
    let mut c = services.store.read().await?;
    Ok(views::has_accounts(&mut c).await?)
}

/// Tells of these events, and keeps the position of the last, in one step. Gives that position.
async fn tell_of(services: &Services, events: &[Found]) -> Result<u64, Fault> {
    let last_lsn = events.last().map_or(0, |found| found.lsn);
    let mut tx = services.store.begin().await?;
    let opened = new_wallets(&mut tx, events).await?;
    let owners = owners_of(services, &mut tx, events, &opened).await?;
    let mut recipients = Recipients::default();
    let mut told = Vec::new();
    for change in events.iter().flat_map(|found| changes(found, &owners)) {
        told.extend(tell_one(services, &mut tx, &mut recipients, &owners, &change).await?);
    }
    let accounts = write_events(services, &mut tx, told).await?;
    views::set_position(&mut tx, VIEW, signed(last_lsn)).await?;
    tx.commit().await?;
    services.notifier.wallets.add(opened.into_keys());
    if !accounts.is_empty() {
        tell(services, &accounts);
    }
    Ok(last_lsn)
}

/// Wallets that were opened for somebody.
async fn new_wallets(c: &mut AnyConnection, events: &[Found]) -> Result<Owners, Fault> {
    let opening = |found: &Found| match &found.event {
        Event::WalletOpened(opening) if opening.kind != WalletKind::System => Some((opening.wallet.0, opening.owner.0)),
        _ => None,
    };
    let openings: Vec<(u128, u128)> = events.iter().filter_map(opening).collect();
    let ids: Vec<Uuid> = openings.iter().map(|(_, owner)| Uuid::from_u128(*owner)).collect();
    let accounts: HashMap<Uuid, Uuid> = views::accounts_among(c, &ids).await?.into_iter().collect();
    let mut opened = Owners::new();
    for (wallet, owner) in openings {
        let Some(first) = accounts.get(&Uuid::from_u128(owner)) else { continue };
        if first.as_u128() != wallet {
            views::add_wallet(c, Uuid::from_u128(wallet), Uuid::from_u128(owner)).await?;
        }
        opened.insert(wallet, owner);
    }
    Ok(opened)
}

/// Whose the wallets of these events are.
async fn owners_of(
    services: &Services,
    c: &mut AnyConnection,
    events: &[Found],
    opened: &Owners,
) -> Result<Owners, Fault> {
    let mut owners = opened.clone();
    let may_have = |wallet: &WalletId| services.notifier.wallets.may_have(*wallet);
    for found in events {
        let wallets: Vec<WalletId> = match &found.event {
            Event::Transferred(transfer) => transfer.legs().iter().map(|leg| leg.wallet).collect(),
            Event::HoldCaptured(capture) => vec![capture.payer, capture.payee],
            _ => continue,
        };
        for wallet in wallets.iter().filter(|wallet| may_have(wallet)) {
            if owners.contains_key(&wallet.0) {
                continue;
            }
            if let Some(account) = views::owner_of(c, Uuid::from_u128(wallet.0)).await? {
                owners.insert(wallet.0, account.as_u128());
            }
        }
    }
    Ok(owners)
}

async fn tell_one(
    services: &Services,
    c: &mut AnyConnection,
    recipients: &mut Recipients,
    owners: &Owners,
    change: &Change,
) -> Result<Option<NewEvent>, Fault> {
    let account = Uuid::from_u128(change.account);
    let across = change.counterparty.and_then(|wallet| owners.get(&wallet.0));
    let counterparty = match across {
        Some(other) => recipients.get(services, c, Uuid::from_u128(*other)).await?.map(|r| r.display_name.clone()),
        None => None,
    };
    let Some(recipient) = recipients.get(services, c, account).await? else { return Ok(None) };
    let kind = if change.amount > 0 { Kind::MoneyIn } else { Kind::MoneyOut };
    // The ledger refuses an amount without an opposite.
    let minor = change.amount.checked_abs().unwrap_or(i64::MAX);
    let amount = json!({ "amount": format_minor(minor, change.currency), "currency": change.currency.code() });
    let created_at = signed(change.time_micros);
    let params = json!({
        "amount": amount, "time": time_text(created_at), "counterparty": counterparty, "reference": change.reference,
    });
    let mut source = change.lsn.to_le_bytes().to_vec();
    source.extend_from_slice(&change.account.to_le_bytes());
    let matter = Matter { source: &source, kind, params: &params, created_at, expires_at: None };
    for way in recipient.addresses(services, kind) {
        recipients::put(services, c, Some(account), &recipient.account.locale, way, &matter).await?;
    }
    let data = json!({
        "transfer": Uuid::from_u128(change.transfer.0), "kind": change.kind.name(), "lsn": change.lsn,
        "wallet": Uuid::from_u128(change.wallet.0), "amount": amount, "counterparty": wallet_json(change.counterparty),
        "counterparty_name": counterparty, "reference": change.reference,
    });
    Ok(Some(NewEvent { account, kind: kind.name(), data, created_at }))
}

fn wallet_json(wallet: Option<WalletId>) -> Value {
    wallet.map_or(Value::Null, |wallet| json!(Uuid::from_u128(wallet.0)))
}

/// Positions and microseconds are far below 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("messengers", &self.messengers).finish_non_exhaustive()
    }
}
