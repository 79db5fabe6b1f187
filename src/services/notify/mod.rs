//! Telling people: what the log and the outbox say becomes deliveries, one for each address, and events of the live stream; the
//! deliveries are sent in the background. Nothing here is waited for by a payment.

pub mod dead_letters;
mod deliver;
pub mod devices;
mod gather;
mod payments;
pub mod preferences;
mod recipients;
pub mod streams;
mod templates;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Mutex, watch};

use super::Services;
use super::clock::{DAY, HOUR, SECOND};
use super::fault::Fault;
use crate::gateways::messages::Connector;
use crate::store::accounts::named;
use crate::store::{deliveries, feed, outbox, views};
use crate::views::payments::Filter;

use deliver::Breaker;
use streams::Streams;

named! {
    /// A way to reach somebody.
    Channel {
        Email = "email",
        Sms = "sms",
        Push = "push",
    }
}

/// Who carries messages; without a connector, what would go that way is suppressed.
#[derive(Clone, Default)]
pub struct Messengers {
    pub email: Option<Arc<dyn Connector>>,
    pub sms: Option<Arc<dyn Connector>>,
    pub push: Option<Arc<dyn Connector>>,
}

/// What the notifier keeps in memory; all else is in the store.
pub struct Notifier {
    pub streams: Streams,
    messengers: Messengers,
    breakers: [Breaker; Channel::ALL.len()],
    /// Wallets of people.
    wallets: Filter,
    tail: Mutex<Option<payments::Place>>,
    stopping: watch::Sender<bool>,
    has_gathered: AtomicBool,
}

/// How long what was sent, and what the live stream told, is kept.
const DELIVERIES_KEPT: i64 = 30 * DAY;
const FEED_KEPT: i64 = 30 * DAY;
const OUTBOX_KEPT: i64 = 7 * DAY;
pub(super) const FEED: &str = "feed";
pub(super) const FEED_REMOVED: &str = "feed removed";

impl Notifier {
    pub(super) fn new(messengers: Messengers) -> Notifier {
        describe();
        Notifier {
            streams: Streams::default(),
            messengers,
            breakers: Default::default(),
            wallets: Filter::default(),
            tail: Mutex::default(),
            stopping: watch::Sender::new(false),
            has_gathered: AtomicBool::new(false),
        }
    }

    /// Ends what is being sent and the live streams; what was claimed is sent after the next start.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    fn breaker(&self, channel: Channel) -> &Breaker {
        &self.breakers[channel as usize]
    }
}

/// Before anybody is served: from here on no payment goes untold.
pub(super) async fn begin(services: &Services) -> Result<(), Fault> {
    let now = services.now();
    payments::begin(services).await?;
    let mut tx = services.store.begin().await?;
    let released = deliveries::release_claims(&mut tx, now).await?;
    tx.commit().await?;
    if released > 0 {
        tracing::info!(released, "messages that were being sent when the server ended are sent again");
    }
    Ok(())
}

/// Turns what there is to tell into deliveries and events.
pub(super) async fn gather(services: Arc<Services>) -> Result<(), Fault> {
    gather::run(&services).await
}

pub(super) async fn deliver(services: Arc<Services>, channel: Channel) -> Result<(), Fault> {
    deliver::run(&services, channel).await
}

/// Forgets what is old, and says how long the queues are.
pub(super) async fn look_after(services: Arc<Services>) -> Result<(), Fault> {
    let now = services.now();
    let mut tx = services.store.begin().await?;
    deliveries::remove_done(&mut tx, now - DELIVERIES_KEPT).await?;
    outbox::empty_taken(&mut tx, now - HOUR).await?;
    outbox::remove_taken(&mut tx, now - OUTBOX_KEPT).await?;
    if let Some(number) = feed::remove_before(&mut tx, now - FEED_KEPT).await? {
        views::set_position(&mut tx, FEED_REMOVED, number).await?;
    }
    tx.commit().await?;
    let mut c = services.store.read().await?;
    for &channel in Channel::ALL {
        let (queued, oldest, dead) = deliveries::depth(&mut c, channel.name()).await?;
        let age_seconds = oldest.map_or(0, |oldest| (now - oldest) / SECOND);
        for (name, value) in [
            ("florin_notifications_queued", queued),
            ("florin_notifications_oldest_seconds", age_seconds),
            ("florin_notifications_dead", dead),
        ] {
            metrics::gauge!(name, "channel" => channel.name()).set(value as f64);
        }
    }
    Ok(())
}

fn describe() {
    metrics::describe_counter!("florin_notifications_total", "Messages by channel and by what became of them.");
    metrics::describe_gauge!("florin_notifications_queued", "Messages that are to be sent.");
    metrics::describe_gauge!("florin_notifications_oldest_seconds", "Since when the oldest of them has been waiting.");
    metrics::describe_gauge!("florin_notifications_dead", "Dead letters.");
    metrics::describe_gauge!(
        "florin_notifications_lag",
        "Records of the log that have not been looked at for payments."
    );
    metrics::describe_gauge!("florin_event_streams", "Live streams that are open.");
}

impl Messengers {
    pub fn get(&self, channel: Channel) -> Option<&Arc<dyn Connector>> {
        match channel {
            Channel::Email => self.email.as_ref(),
            Channel::Sms => self.sms.as_ref(),
            Channel::Push => self.push.as_ref(),
        }
    }
}

impl std::fmt::Debug for Messengers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has = |channel: &&Channel| self.get(**channel).is_some();
        f.debug_list().entries(Channel::ALL.iter().filter(has)).finish()
    }
}
