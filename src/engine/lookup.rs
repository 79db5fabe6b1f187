//! Questions to the engine that change nothing: wallets, holds, what took an id, and the ledger as a whole.

use std::sync::PoisonError;

use tokio::sync::oneshot;

use crate::ledger::book::CurrencySum;
use crate::ledger::{
    Authorization, Currency, Event, HoldEnd, HoldId, Kind, Limits, Opening, OwnerId, Spending, SpendingLimits,
    SpentNow, StateHash, Wallet, WalletId,
};

use super::clock::now_micros;
use super::conversation::Failure;
use super::desk::storage;
use super::face::Outcome;
use super::life::Engine;
use super::messages::{ShardMessage, WalletRead};
use super::snapshot::SnapshotError;
use super::snapshotter::{SnapshotSummary, SnapshotterMessage};
use super::status::with_causes;

/// A wallet as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalletView {
    pub wallet: Wallet,
    pub owner: OwnerId,
    pub limits: Limits,
    /// None: its spending is not limited.
    pub spending: Option<Spending>,
    /// Everything up to this position is in it.
    pub lsn: u64,
}

/// An event and where it stands in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub lsn: u64,
    pub time_micros: u64,
    pub event: Event,
}

/// A hold, open or ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldView {
    pub authorization: Authorization,
    pub captured: i64,
    pub end: Option<HoldEnd>,
    pub authorized_at_micros: u64,
    pub lsn: u64,
}

/// The whole ledger in figures, exact at one position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    pub last_lsn: u64,
    pub time_micros: u64,
    pub state_hash: StateHash,
    pub chain: [u8; 32],
    pub wallets: u64,
    pub open_holds: u64,
    pub currencies: Vec<(Currency, CurrencySum)>,
}

/// The system wallet through which money of a currency enters and leaves when none is named. A UUIDv8 (RFC 9562)
/// made from the currency, so that every ledger has the same.
pub fn system_wallet_id(currency: Currency) -> WalletId {
    let hash = blake3::hash(format!("florin system wallet {}", currency.code()).as_bytes());
    let mut bytes: [u8; 16] = hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes");
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    WalletId(u128::from_be_bytes(bytes))
}

impl Engine {
    /// The wallet with everything that was acknowledged before this question.
    pub async fn wallet(&self, wallet: WalletId) -> Result<Option<WalletView>, Failure> {
        let read = self.ask_shard(wallet, |reply| ShardMessage::ReadWallet { wallet, reply }).await?;
        Ok(read.map(|WalletRead { wallet, owner, limits, spending, settled_lsn: lsn }| WalletView {
            wallet,
            owner,
            limits,
            spending,
            lsn,
        }))
    }

    /// The spending limits of a wallet that has any, and what it has spent today and this month.
    pub async fn spending(&self, wallet: WalletId) -> Result<Option<(SpendingLimits, SpentNow)>, Failure> {
        let spending = self.wallet(wallet).await?.and_then(|view| view.spending);
        Ok(spending.map(|spending| (spending.limits(), spending.spent_at(now_micros()))))
    }

    /// An owner's wallets in the order in which they were opened, each with the position of its opening.
    pub async fn wallets_of(
        &self,
        owner: OwnerId,
        after_lsn: u64,
        limit: usize,
    ) -> Result<Vec<(u64, WalletView)>, Failure> {
        let engine = self.clone();
        let openings = blocking(move || {
            let lsns = engine.inner.desk.claims.openings_of(owner, after_lsn, limit).map_err(storage)?;
            let mut openings = Vec::with_capacity(lsns.len());
            for lsn in lsns {
                if let Some(Found { event: Event::WalletOpened(opening), .. }) = engine.inner.desk.event(lsn)? {
                    openings.push((lsn, opening.wallet));
                }
            }
            Ok(openings)
        })
        .await?;
        let mut wallets = Vec::with_capacity(openings.len());
        for (lsn, wallet) in openings {
            if let Some(view) = self.wallet(wallet).await? {
                wallets.push((lsn, view));
            }
        }
        Ok(wallets)
    }

    /// The event that took this id: a transfer, hold, capture, refusal, or the opening of a wallet.
    pub async fn find(&self, id: u128) -> Result<Option<Found>, Failure> {
        let engine = self.clone();
        blocking(move || engine.inner.desk.find(id)).await
    }

    pub async fn event(&self, lsn: u64) -> Result<Option<Found>, Failure> {
        let engine = self.clone();
        blocking(move || engine.inner.desk.event(lsn)).await
    }

    pub async fn hold(&self, hold: HoldId) -> Result<Option<HoldView>, Failure> {
        let engine = self.clone();
        blocking(move || engine.inner.desk.hold(hold)).await
    }

    /// The system wallet of a currency, opened if it is not there yet.
    pub async fn system_wallet(&self, currency: Currency) -> Result<WalletId, Failure> {
        let wallet = system_wallet_id(currency);
        let known = &self.inner.system_wallets;
        if known.lock().unwrap_or_else(PoisonError::into_inner).contains(&wallet) {
            return Ok(wallet);
        }
        let opening = Opening {
            wallet,
            owner: OwnerId(wallet.0),
            currency,
            kind: Kind::System,
            may_send: true,
            may_receive: true,
            limits: Limits { overdraft_limit: None, balance_ceiling: None },
        };
        match self.open_wallet(opening).await {
            // Whoever opens it at this moment is as good as we are.
            Outcome::Failed(Failure::InProgress) => while self.wallet(wallet).await?.is_none() {},
            Outcome::Failed(failure) => return Err(failure),
            // Refused: somebody has opened it with other details, which is his to answer for.
            Outcome::Accepted(_) | Outcome::Refused(_) => {}
        }
        known.lock().unwrap_or_else(PoisonError::into_inner).insert(wallet);
        Ok(wallet)
    }

    /// Sums and hash of all wallets and holds at one position, made while the shards go on.
    pub async fn summary(&self) -> Result<Summary, Failure> {
        let _awaited = self.inner.status.await_totals();
        let (reply, totals) = oneshot::channel();
        self.ask_snapshotter(SnapshotterMessage::Totals(reply))?;
        let (marked, totals) = totals.await.map_err(|_| Failure::Stopping)?.map_err(snapshot_failure)?;
        Ok(Summary {
            last_lsn: marked.lsn,
            time_micros: marked.time_micros,
            state_hash: totals.state_hash,
            chain: marked.chain,
            wallets: totals.wallets,
            open_holds: totals.open_holds,
            currencies: totals.currencies.into_iter().collect(),
        })
    }

    /// Takes a snapshot now.
    pub async fn snapshot(&self) -> Result<SnapshotSummary, Failure> {
        let (reply, summary) = oneshot::channel();
        self.ask_snapshotter(SnapshotterMessage::Take(reply))?;
        summary.await.map_err(|_| Failure::Stopping)?.map_err(snapshot_failure)
    }

    pub(super) async fn ask_shard<T>(
        &self,
        wallet: WalletId,
        message: impl FnOnce(oneshot::Sender<T>) -> ShardMessage,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        self.inner.wires.to_shard(self.inner.desk.placement.shard_of(wallet), message(reply));
        answer.await.map_err(|_| Failure::Stopping)
    }

    fn ask_snapshotter(&self, message: SnapshotterMessage) -> Result<(), Failure> {
        self.inner.snapshotter.send_message(message).map_err(|_| Failure::Stopping)
    }
}

/// Reads of the log and the index may wait for the disk, so they keep no worker of the runtime waiting.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn snapshot_failure(error: SnapshotError) -> Failure {
    match error {
        SnapshotError::ReadOnly => Failure::ReadOnly,
        SnapshotError::Stopping => Failure::Stopping,
        other => Failure::Snapshot(with_causes(&other)),
    }
}
