//! The live stream: an account's events in order, read from the store, so that nothing is kept in memory for slow readers and
//! whoever comes back goes on where he was. It ends with the access token it was opened with, with the session, and with the
//! server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::watch;
use uuid::Uuid;

use super::{FEED, FEED_REMOVED, Services};
use crate::services::fault::{Fault, Why};
use crate::services::principal::{Principal, Who};
use crate::services::tokens::ACCESS_MICROS;
use crate::store::feed::{self, FeedEvent};
use crate::store::views;

/// Streams that one person may have open.
pub const STREAMS_MAX: usize = 5;

const ROWS_MAX: i64 = 32;
const QUIET: Duration = Duration::from_secs(1);

/// Who listens.
#[derive(Debug, Default)]
pub struct Streams {
    open: DashMap<Uuid, watch::Sender<u64>>,
}

/// One stream. Dropped, it is closed.
pub struct Reader {
    services: Arc<Services>,
    account: Uuid,
    session: Uuid,
    /// The last event that was told.
    after: i64,
    until: i64,
    has_gap: bool,
    rows: VecDeque<FeedEvent>,
    news: Option<watch::Receiver<u64>>,
    stopping: watch::Receiver<bool>,
}

/// What a stream says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Event {
        number: i64,
        kind: String,
        body: String,
    },
    /// Events that the reader has not seen are no longer kept.
    Gap {
        number: i64,
    },
    /// Nothing for a second.
    Quiet,
}

impl Streams {
    /// Somebody has something new.
    pub fn wake(&self, account: Uuid) {
        if let Some(sender) = self.open.get(&account) {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// How many somebody has open.
    pub fn count(&self, account: Uuid) -> usize {
        self.open.get(&account).map_or(0, |sender| sender.receiver_count())
    }

    fn join(&self, account: Uuid) -> Option<watch::Receiver<u64>> {
        let sender = self.open.entry(account).or_default();
        (sender.receiver_count() < STREAMS_MAX).then(|| sender.subscribe())
    }

    fn leave(&self, account: Uuid) {
        self.open.remove_if(&account, |_, sender| sender.receiver_count() == 0);
    }
}

/// Opens a stream of the caller's events after `last`, or of those from now on.
pub async fn open(services: &Arc<Services>, principal: &Principal, last: Option<i64>) -> Result<Reader, Fault> {
    let Who::Person { session } = principal.who else {
        return Err(Fault::no(Why::Forbidden, "The stream of events is for a person in a session."));
    };
    let mut c = services.store.read().await?;
    let end = views::position(&mut c, FEED).await?.unwrap_or_default();
    let removed = views::position(&mut c, FEED_REMOVED).await?.unwrap_or_default();
    drop(c);
    let after = last.unwrap_or(end);
    if !(0..=end).contains(&after) {
        return Err(Fault::no(Why::InvalidRequest, "Last-Event-ID is not the id of an event of this stream."));
    }
    let account = principal.account;
    let news = services.notifier.streams.join(account);
    let news = news.ok_or_else(|| {
        Fault::no(Why::TooManyStreams, format!("There are {STREAMS_MAX} streams open already; close one first."))
    })?;
    metrics::gauge!("florin_event_streams").increment(1.0);
    Ok(Reader {
        services: Arc::clone(services),
        account,
        session,
        after: after.max(removed),
        until: services.now() + ACCESS_MICROS,
        has_gap: after < removed,
        rows: VecDeque::new(),
        news: Some(news),
        stopping: services.notifier.stopping.subscribe(),
    })
}

impl Reader {
    /// What comes next; none when the stream is over.
    pub async fn next(&mut self) -> Result<Option<Told>, Fault> {
        if self.is_over() {
            return Ok(None);
        }
        if std::mem::take(&mut self.has_gap) {
            return Ok(Some(Told::Gap { number: self.after }));
        }
        if self.rows.is_empty() {
            // Before the store is read, so that what comes while it is read is not slept over.
            if let Some(news) = &mut self.news {
                news.borrow_and_update();
            }
            let mut c = self.services.store.read().await?;
            self.rows = feed::after(&mut c, self.account, self.after, ROWS_MAX).await?.into();
        }
        if let Some(row) = self.rows.pop_front() {
            self.after = row.number;
            let body = self.services.seal.open("feed.body", &row.body_sealed)?;
            return Ok(Some(Told::Event { number: row.number, kind: row.kind, body }));
        }
        let Some(news) = &mut self.news else { return Ok(None) };
        tokio::select! {
            _ = news.changed() => {}
            _ = self.stopping.wait_for(|stopping| *stopping) => return Ok(None),
            () = tokio::time::sleep(QUIET) => {}
        }
        Ok(Some(Told::Quiet))
    }

    fn is_over(&self) -> bool {
        self.services.now() >= self.until || self.services.doors.has_ended(self.session) || *self.stopping.borrow()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.news = None;
        self.services.notifier.streams.leave(self.account);
        metrics::gauge!("florin_event_streams").decrement(1.0);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("account", &self.account).field("after", &self.after).finish_non_exhaustive()
    }
}
