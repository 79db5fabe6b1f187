//! Takes the outbox apart: a notice becomes a delivery for each address, and an event of the live stream; then it does the same
//! for what the log says of payments.

use serde_json::{Value, json};
use sqlx::AnyConnection;
use std::sync::atomic::Ordering;
use uuid::Uuid;

use super::recipients::{self, Matter, Recipients};
use super::{Channel, FEED, Services, payments};
use crate::services::clock;
use crate::services::fault::Fault;
use crate::services::notices::Kind;
use crate::store::feed::{self, FeedEvent};
use crate::store::outbox::{self, Waiting};
use crate::store::{StoreError, views};

const NOTICES_MAX: i64 = 100;

pub(super) async fn run(services: &Services) -> Result<(), Fault> {
    let mut stopping = services.notifier.stopping.subscribe();
    while !*stopping.borrow_and_update() {
        let notices = take_notices(services).await?;
        let is_behind = payments::read_on(services).await?;
        if notices < NOTICES_MAX && !is_behind {
            break;
        }
    }
    if services.notifier.has_gathered.swap(false, Ordering::AcqRel) {
        for job in ["email", "sms", "push"] {
            services.background.wake(job);
        }
    }
    Ok(())
}

/// An event of the live stream that has no number yet.
pub(super) struct NewEvent {
    pub account: Uuid,
    pub kind: &'static str,
    pub data: Value,
    pub created_at: i64,
}

/// Numbers them and writes them, in their order. Gives whose streams have something new when the transaction is committed.
pub(super) async fn write_events(
    services: &Services,
    c: &mut AnyConnection,
    events: Vec<NewEvent>,
) -> Result<Vec<Uuid>, Fault> {
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    if count == 0 {
        return Ok(Vec::new());
    }
    let first = views::take_numbers(c, FEED, count).await?;
    let mut accounts = Vec::with_capacity(events.len());
    for (number, event) in (first..).zip(events) {
        let body = json!({ "type": event.kind, "created_at": time_text(event.created_at), "data": event.data });
        let row = FeedEvent {
            account: event.account,
            number,
            kind: event.kind.to_owned(),
            body_sealed: services.seal.seal("feed.body", &body.to_string()),
            created_at: services.now(),
        };
        feed::insert(c, &row).await?;
        accounts.push(event.account);
    }
    Ok(accounts)
}

/// Somebody has something new.
pub(super) fn tell(services: &Services, accounts: &[Uuid]) {
    services.notifier.has_gathered.store(true, Ordering::Release);
    accounts.iter().for_each(|account| services.notifier.streams.wake(*account));
}

pub(super) fn time_text(micros: i64) -> String {
    let time = jiff::Timestamp::from_second(micros / clock::SECOND).unwrap_or(jiff::Timestamp::MAX);
    time.to_string()
}

async fn take_notices(services: &Services) -> Result<i64, Fault> {
    let mut c = services.store.read().await?;
    let waiting = outbox::waiting(&mut c, NOTICES_MAX).await?;
    drop(c);
    let count = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
    if waiting.is_empty() {
        return Ok(0);
    }
    let mut tx = services.store.begin().await?;
    let mut recipients = Recipients::default();
    let mut events = Vec::new();
    for entry in waiting {
        if outbox::taken(&mut tx, entry.id, services.now()).await? {
            take(services, &mut tx, &mut recipients, &entry, &mut events).await?;
        }
    }
    let accounts = write_events(services, &mut tx, events).await?;
    tx.commit().await?;
    tell(services, &accounts);
    Ok(count)
}

async fn take(
    services: &Services,
    c: &mut AnyConnection,
    recipients: &mut Recipients,
    entry: &Waiting,
    events: &mut Vec<NewEvent>,
) -> Result<(), Fault> {
    let kind = Kind::from_row(&entry.kind)?;
    // The log tells of these, and tells each once.
    if matches!(kind, Kind::MoneyIn | Kind::MoneyOut) {
        return Ok(());
    }
    let params = services.seal.open("outbox.params", &entry.params_sealed)?;
    let params: Value = serde_json::from_str(&params).map_err(|_| StoreError::content("outbox.params without JSON"))?;
    let matter = Matter {
        source: entry.id.as_bytes(),
        kind,
        params: &params,
        created_at: entry.created_at,
        expires_at: entry.expires_at,
    };
    if let (Some(channel), Some(sealed)) = (&entry.channel, &entry.address_sealed) {
        let channel = if channel == "phone" { Channel::Sms } else { Channel::Email };
        let address = services.seal.open("outbox.address", sealed)?;
        recipients::put(services, c, entry.account, &entry.locale, (channel, &address), &matter).await?;
    }
    let Some(account) = entry.account else { return Ok(()) };
    let Some(recipient) = recipients.get(services, c, account).await? else { return Ok(()) };
    for way in recipient.addresses(services, kind) {
        recipients::put(services, c, Some(account), &recipient.account.locale, way, &matter).await?;
    }
    if let Some(kind) = event_kind(kind) {
        events.push(NewEvent { account, kind, data: params, created_at: entry.created_at });
    }
    Ok(())
}

/// What of it the live stream tells. Codes are not for screens.
fn event_kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::MoneyRequested => Some("request"),
        Kind::PaymentFailed => Some("payment_failed"),
        Kind::SignedIn | Kind::SecurityChanged | Kind::AccountChanged => Some("security"),
        Kind::Code | Kind::Welcome | Kind::MoneyIn | Kind::MoneyOut => None,
    }
}
