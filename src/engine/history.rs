//! The history of a wallet: its entries, newest first, and its balance as of a position or a time. Entries of late come
//! from the wallet's shard, older ones from the index; the records that they point at tell the rest.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::ledger::{Event, Leg, TransferId, TransferKind, WalletId};

use super::conversation::Failure;
use super::desk::{Desk, storage};
use super::life::Engine;
use super::lookup::{Found, blocking};
use super::messages::{RecentEntries, ShardMessage};
use super::runs::{self, Row, Runs};

/// Entries that are looked at for one page. A filter that lets few through gives a short page and a cursor.
const ENTRIES_PER_PAGE_MAX: usize = 20_000;

/// Entries that are fetched at a time.
const ENTRIES_PER_STEP: usize = 256;

/// Longest wait for entries that are on their way from a shard to the index.
const INDEX_WAIT: Duration = Duration::from_secs(30);

/// A moment in the ledger's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    Lsn(u64),
    /// Microseconds since 1970, UTC.
    TimeMicros(u64),
}

/// Which way money went, seen from the wallet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    In,
    Out,
}

/// Which entries are asked for.
#[derive(Clone, Debug)]
pub struct EntriesQuery {
    pub wallet: WalletId,
    /// Only older ones than this position: where the page before ended.
    pub before_lsn: Option<u64>,
    pub not_after: Option<At>,
    pub not_before: Option<At>,
    pub direction: Option<Direction>,
    pub kind: Option<TransferKind>,
    pub counterparty: Option<WalletId>,
    pub limit: usize,
}

/// One change of a wallet's posted balance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryView {
    pub lsn: u64,
    pub time_micros: u64,
    pub transfer: TransferId,
    pub kind: TransferKind,
    /// Below zero: the wallet paid.
    pub amount: i64,
    pub balance_after: i64,
    /// The other wallets of the transfer on the other side of it.
    pub counterparties: Vec<WalletId>,
    pub reference: Option<Box<str>>,
}

/// A page of entries, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntriesPage {
    pub entries: Vec<EntryView>,
    /// Where the next page begins, if there may be one.
    pub next_before_lsn: Option<u64>,
}

impl Engine {
    pub async fn entries(&self, query: EntriesQuery) -> Result<EntriesPage, Failure> {
        let mut before = query.before_lsn.unwrap_or(u64::MAX);
        if let Some(at) = query.not_after {
            before = before.min(lsn_at(&self.inner.desk, at)?.saturating_add(1));
        }
        let first = match query.not_before {
            None => 1,
            Some(At::Lsn(lsn)) => lsn,
            Some(At::TimeMicros(time)) => {
                self.inner.desk.reader.first_lsn_at_or_after(time).map_err(storage)?.unwrap_or(u64::MAX)
            }
        };
        let mut page = EntriesPage { entries: Vec::new(), next_before_lsn: None };
        let mut looked_at = 0;
        while looked_at < ENTRIES_PER_PAGE_MAX {
            let wanted = ENTRIES_PER_STEP.min(query.limit + 1 - page.entries.len());
            let rows = self.rows_before(query.wallet, before, wanted).await?;
            let is_end = rows.len() < wanted || rows.last().is_some_and(|row| row.lsn < first);
            looked_at += rows.len();
            for row in rows.into_iter().take_while(|row| row.lsn >= first) {
                if page.entries.len() == query.limit {
                    page.next_before_lsn = Some(before);
                    return Ok(page);
                }
                before = row.lsn;
                let engine = self.clone();
                let wallet = query.wallet;
                let entry = blocking(move || engine.entry_of(wallet, row)).await?;
                if query.lets_through(&entry) {
                    page.entries.push(entry);
                }
            }
            if is_end {
                return Ok(page);
            }
        }
        page.next_before_lsn = Some(before);
        Ok(page)
    }

    /// The posted balance at a moment, and the position that it is exact at. None: the wallet was not open then.
    pub async fn balance_at(&self, wallet: WalletId, at: At) -> Result<Option<(i64, u64)>, Failure> {
        let lsn = lsn_at(&self.inner.desk, at)?;
        if let Some(row) = self.rows_before(wallet, lsn.saturating_add(1), 1).await?.first() {
            return Ok(Some((row.value, lsn)));
        }
        let opening = self.find(wallet.0).await?;
        let was_open = opening.is_some_and(|found| matches!(found.event, Event::WalletOpened(_)) && found.lsn <= lsn);
        Ok(was_open.then_some((0, lsn)))
    }

    async fn rows_before(&self, wallet: WalletId, before_lsn: u64, limit: usize) -> Result<Vec<Row>, Failure> {
        let recent =
            self.ask_shard(wallet, |reply| ShardMessage::ReadEntries { wallet, before_lsn, limit, reply }).await?;
        let engine = self.clone();
        blocking(move || {
            let began = Instant::now();
            loop {
                let rows = with_older(&engine.inner.indexes.entries, wallet, before_lsn, limit, &recent);
                if let Some(rows) = rows.map_err(storage)? {
                    return Ok(rows);
                }
                if began.elapsed() > INDEX_WAIT {
                    return Err(storage("the index of entries is behind the log"));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        })
        .await
    }

    fn entry_of(&self, wallet: WalletId, row: Row) -> Result<EntryView, Failure> {
        let found = self.inner.desk.event(row.lsn)?;
        let entry = found.and_then(|found| entry_view(found, wallet, row.value));
        entry.ok_or_else(|| storage(format!("record {} has no entry of wallet {wallet}", row.lsn)))
    }
}

/// The last position not after a moment that is durable and on its way into every wallet. The log is a little ahead of
/// that: the wallet's shard, asked next, would not have the newest records yet, and its answer be taken for exact.
pub fn lsn_at(desk: &Desk, at: At) -> Result<u64, Failure> {
    let settling_lsn = desk.status.last_lsn.load(Ordering::Acquire);
    let lsn = match at {
        At::Lsn(lsn) => lsn,
        At::TimeMicros(time) => desk.reader.last_lsn_at_or_before(time).map_err(storage)?.unwrap_or(0),
    };
    Ok(lsn.min(settling_lsn))
}

/// The wallet's newest entries below a position: those that its shard still had, and the older ones of the index. None:
/// between a mark and the moment that its entries are sorted they are in neither place; ask again.
pub fn with_older(
    index: &Runs,
    wallet: WalletId,
    before_lsn: u64,
    limit: usize,
    recent: &RecentEntries,
) -> runs::Result<Option<Vec<Row>>> {
    let mut rows = recent.rows.clone();
    if rows.len() == limit || recent.marked_lsn == 0 {
        return Ok(Some(rows));
    }
    if index.covered_lsn() < recent.marked_lsn {
        return Ok(None);
    }
    let before_lsn = before_lsn.min(recent.marked_lsn.saturating_add(1));
    index.rows_before(wallet.0, before_lsn, limit - rows.len(), &mut rows)?;
    Ok(Some(rows))
}

impl EntriesQuery {
    fn lets_through(&self, entry: &EntryView) -> bool {
        let direction = if entry.amount < 0 { Direction::Out } else { Direction::In };
        self.direction.is_none_or(|wanted| wanted == direction)
            && self.kind.is_none_or(|wanted| wanted == entry.kind)
            && self.counterparty.is_none_or(|wanted| entry.counterparties.contains(&wanted))
    }
}

/// What an event is to one of its wallets.
fn entry_view(found: Found, wallet: WalletId, balance_after: i64) -> Option<EntryView> {
    let Found { lsn, time_micros, event } = found;
    let view = |transfer, kind, legs: &[Leg], reference| {
        let amount = legs.iter().find(|leg| leg.wallet == wallet)?.amount;
        let others = legs.iter().filter(|leg| (leg.amount < 0) != (amount < 0));
        let counterparties = others.map(|leg| leg.wallet).collect();
        Some(EntryView { lsn, time_micros, transfer, kind, amount, balance_after, counterparties, reference })
    };
    match event {
        Event::Transferred(transfer) => {
            let reference = transfer.reference().map(Box::from);
            view(transfer.id(), transfer.kind(), transfer.legs(), reference)
        }
        Event::HoldCaptured(capture) => {
            let minor = capture.amount.minor();
            let legs = [Leg { wallet: capture.payer, amount: -minor }, Leg { wallet: capture.payee, amount: minor }];
            view(capture.id, TransferKind::Capture, &legs, None)
        }
        _ => None,
    }
}
