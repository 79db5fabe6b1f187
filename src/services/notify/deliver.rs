//! Sends what is due on one channel: claims it, so that a crash sends it at least once and normally once; tries again later, by
//! chance and ever later; gives up what is refused for good; and leaves a provider alone that fails again and again.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use super::templates::{self, Rendered};
use super::{Channel, Services};
use crate::gateways::messages::{Message, SendError};
use crate::services::clock::{HOUR, MINUTE, SECOND};
use crate::services::crash;
use crate::services::fault::Fault;
use crate::services::notices::Kind;
use crate::store::StoreError;
use crate::store::deliveries::{self, Delivery, DeliveryState};

/// Whether a provider is worth asking.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Health>);

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    paused_until: i64,
}

/// Messages of one channel that are being sent at once.
const PARALLEL: usize = 8;
/// A provider that has not answered by then is given up for this time.
const SEND_TIMEOUT: Duration = Duration::from_secs(45);
/// A claim outlives every send. What a crash left claimed is due at the next start, not only after this.
const LEASE: i64 = 3 * MINUTE;
/// The longest wait after each try; the real one is anything from nothing to this. About a day in all.
const WAITS_MAX: [i64; 7] = [30 * SECOND, 2 * MINUTE, 10 * MINUTE, 40 * MINUTE, 2 * HOUR, 6 * HOUR, 14 * HOUR];
const TRIES_MAX: i64 = WAITS_MAX.len() as i64 + 1;
/// What somebody waits for is tried every few seconds until it expires.
const URGENT_WAIT_MAX: i64 = 20 * SECOND;
const URGENT_TRIES_MAX: i64 = 60;
/// So many failures in a row, and the provider is left alone: for a second, then twice as long each time.
const FAILURES_MAX: u32 = 5;
const PAUSE_MAX: i64 = 5 * MINUTE;
/// How often it is looked whether there is more to send, while something is being sent.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

pub(super) async fn run(services: &Arc<Services>, channel: Channel) -> Result<(), Fault> {
    let notifier = &services.notifier;
    if notifier.messengers.get(channel).is_none() {
        return Ok(());
    }
    let mut stopping = notifier.stopping.subscribe();
    let mut sending: JoinSet<Result<(), Fault>> = JoinSet::new();
    loop {
        let room = notifier.breaker(channel).room(services.now()).saturating_sub(sending.len());
        if room > 0 {
            for delivery in claim(services, channel, room).await? {
                let services = Arc::clone(services);
                sending.spawn(async move { one(&services, channel, delivery).await });
            }
        }
        if sending.is_empty() {
            return Ok(());
        }
        tokio::select! {
            Some(done) = sending.join_next() => match done {
                Ok(outcome) => outcome?,
                // Its claim lapses, and it is tried again.
                Err(error) => tracing::warn!(channel = channel.name(), %error, "sending a message broke"),
            },
            () = tokio::time::sleep(LOOK_PERIOD) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
        }
    }
}

pub(super) fn count(channel: Channel, outcome: &'static str) {
    metrics::counter!("florin_notifications_total", "channel" => channel.name(), "outcome" => outcome).increment(1);
}

impl Breaker {
    /// How many may be under way: one, where it has to be found out whether the provider is back.
    fn room(&self, now: i64) -> usize {
        let health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match health.failures {
            _ if now < health.paused_until => 0,
            0..FAILURES_MAX => PARALLEL,
            _ => 1,
        }
    }

    fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Health::default();
    }

    fn failed(&self, now: i64) {
        let mut health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        health.failures = health.failures.saturating_add(1);
        if health.failures >= FAILURES_MAX {
            let doublings = (health.failures - FAILURES_MAX).min(20);
            health.paused_until = now + (SECOND << doublings).min(PAUSE_MAX);
        }
    }
}

async fn claim(services: &Services, channel: Channel, room: usize) -> Result<Vec<Delivery>, Fault> {
    let now = services.now();
    // Most looks find nothing, and need not wait to become the writer.
    let mut c = services.store.read().await?;
    let has_due = deliveries::has_due(&mut c, channel.name(), now).await?;
    drop(c);
    if !has_due {
        return Ok(Vec::new());
    }
    let mut tx = services.store.begin().await?;
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let claimed = deliveries::claim(&mut tx, channel.name(), now, now + LEASE, limit).await?;
    tx.commit().await?;
    if !claimed.is_empty() {
        crash::point("notification.claimed");
    }
    Ok(claimed)
}

/// Sends one, and writes down what came of it.
async fn one(services: &Services, channel: Channel, delivery: Delivery) -> Result<(), Fault> {
    let now = services.now();
    if delivery.expires_at.is_some_and(|expires_at| now >= expires_at) {
        return finish(services, channel, &delivery, DeliveryState::Expired, (None, None)).await;
    }
    let message = match message(services, channel, &delivery) {
        Ok(message) => message,
        Err(error) => return give_up(services, channel, &delivery, &error).await,
    };
    let Some(connector) = services.notifier.messengers.get(channel) else { return Ok(()) };
    let sent = tokio::time::timeout(SEND_TIMEOUT, connector.send(&message)).await;
    let sent = sent.unwrap_or_else(|_| Err(SendError::Failed("no answer in time".to_owned())));
    crash::point("notification.sent");
    let breaker = services.notifier.breaker(channel);
    match sent {
        Ok(provider_id) => {
            breaker.answered();
            finish(services, channel, &delivery, DeliveryState::Sent, (provider_id.as_deref(), None)).await
        }
        Err(error @ SendError::Refused(_)) => {
            breaker.answered();
            give_up(services, channel, &delivery, &error.to_string()).await
        }
        Err(error @ SendError::Failed(_)) => {
            breaker.failed(services.now());
            later(services, channel, &delivery, &error.to_string()).await
        }
    }
}

fn message(services: &Services, channel: Channel, delivery: &Delivery) -> Result<Message, String> {
    let seal = &services.seal;
    let unreadable = |error: StoreError| error.to_string();
    let to = seal.open("deliveries.address", &delivery.address_sealed).map_err(unreadable)?;
    let params = seal.open("deliveries.params", &delivery.params_sealed).map_err(unreadable)?;
    let params: Value = serde_json::from_str(&params).map_err(|_| "what it says is not JSON".to_owned())?;
    let kind = Kind::from_row(&delivery.kind).map_err(unreadable)?;
    let rendered = templates::render(kind, &delivery.locale, &params);
    // What the template engine says may repeat what is in the message.
    let Rendered { subject, short, text, html } =
        rendered.map_err(|error| format!("it cannot be written: {:?}", error.kind()))?;
    let is_email = channel == Channel::Email;
    Ok(Message {
        id: delivery.id,
        to,
        kind: kind.name(),
        subject,
        text: if is_email { text } else { short },
        html: is_email.then_some(html),
        locale: delivery.locale.clone(),
    })
}

async fn later(services: &Services, channel: Channel, delivery: &Delivery, error: &str) -> Result<(), Fault> {
    let is_urgent = delivery.urgency == 0;
    let tries_max = if is_urgent { URGENT_TRIES_MAX } else { TRIES_MAX };
    if delivery.attempts >= tries_max {
        return give_up(services, channel, delivery, error).await;
    }
    let wait_max = if is_urgent {
        URGENT_WAIT_MAX.min(SECOND << delivery.attempts.clamp(0, 10))
    } else {
        let index = usize::try_from(delivery.attempts - 1).unwrap_or(0);
        WAITS_MAX.get(index).copied().unwrap_or(14 * HOUR)
    };
    let at = services.now() + rand::random_range(0..=wait_max);
    if delivery.expires_at.is_some_and(|expires_at| at >= expires_at) {
        return finish(services, channel, delivery, DeliveryState::Expired, (None, Some(error))).await;
    }
    count(channel, "failed");
    let mut tx = services.store.begin().await?;
    deliveries::retry(&mut tx, delivery.id, at, error).await?;
    Ok(tx.commit().await?)
}

async fn give_up(services: &Services, channel: Channel, delivery: &Delivery, error: &str) -> Result<(), Fault> {
    tracing::warn!(delivery = %delivery.id, channel = channel.name(), kind = delivery.kind, error, "a message became a dead letter");
    finish(services, channel, delivery, DeliveryState::Dead, (None, Some(error))).await
}

async fn finish(
    services: &Services,
    channel: Channel,
    delivery: &Delivery,
    state: DeliveryState,
    said: (Option<&str>, Option<&str>),
) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    deliveries::finish(&mut tx, delivery.id, state, said, services.now()).await?;
    tx.commit().await.inspect_err(|error| {
        tracing::warn!(%error, cause = ?error.source(), "a message that was dealt with may be sent again");
    })?;
    count(channel, state.name());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_fails_is_left_alone_for_ever_longer() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            breaker.failed(0);
        }
        assert_eq!(breaker.room(0), PARALLEL);
        breaker.failed(0);
        assert_eq!((breaker.room(0), breaker.room(SECOND)), (0, 1));
        breaker.failed(SECOND);
        assert_eq!((breaker.room(2 * SECOND), breaker.room(3 * SECOND)), (0, 1));
        for _ in 0..100 {
            breaker.failed(0);
        }
        assert_eq!((breaker.room(PAUSE_MAX - 1), breaker.room(PAUSE_MAX)), (0, 1));
        breaker.answered();
        assert_eq!(breaker.room(0), PARALLEL);
    }

    #[test]
    fn all_tries_together_take_about_a_day_and_a_claim_outlives_each() {
        let all: i64 = WAITS_MAX.iter().sum();
        assert!((12 * HOUR..48 * HOUR).contains(&all));
        assert!(i64::try_from(SEND_TIMEOUT.as_micros()).unwrap() < LEASE);
    }
}
