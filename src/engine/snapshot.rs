//! Making a snapshot, or only its hash and sums, out of the parts that the shards copy at a mark; and
//! reading one back. Where the parts come from and when is in `host.rs`.

use std::collections::BTreeMap;

use snapshots::{Reader, Store, Writer};

use crate::ledger::book::CurrencySum;
use crate::ledger::{Currency, StateHash, WalletId};

use super::messages::{Chunk, Marked};
use super::snapshot_rows::{self, KIND_HOLDS, KIND_SPENDINGS, KIND_WALLETS, RowError, SnapshotRow};

/// Rows are written in blocks of about this size.
const BLOCK_BYTES: usize = 512 << 10;

/// Why a snapshot could not be written or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] snapshots::Error),
    #[error(transparent)]
    Row(#[from] RowError),
    #[error("the rows of the snapshot have the state hash {found}, but it says {expected}")]
    StateHash { found: StateHash, expected: StateHash },
    #[error("the snapshot has a block of unknown kind {0}")]
    Kind(u8),
    #[error("the snapshot has spending limits of wallet {0}, and not the wallet")]
    NoWallet(WalletId),
    #[error("the snapshot is of another log, or of another history of this one")]
    OtherHistory,
    #[error("the log or an index has failed, so no snapshot can be taken until the server is started again")]
    ReadOnly,
    #[error("the server is stopping")]
    Stopping,
    #[error("the shards did not copy their wallets within {0} seconds")]
    TimedOut(u64),
    #[error("no thread could be started to take the snapshot")]
    NoThread(#[source] std::io::Error),
    #[error("the thread that took the snapshot ended badly")]
    EndedBadly,
    #[error("the indexes did not reach the position of the snapshot within {0} seconds")]
    IndexesBehind(u64),
}

/// The ledger at a mark, in figures.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub state_hash: StateHash,
    pub wallets: u64,
    pub open_holds: u64,
    pub currencies: BTreeMap<Currency, CurrencySum>,
}

/// Collects the parts of a cut.
#[derive(Debug)]
pub struct Collector {
    writer: Option<Writer>,
    block: Vec<u8>,
    block_rows: u32,
    totals: Totals,
}

impl Collector {
    /// Without a writer only the totals are made.
    pub fn new(writer: Option<Writer>) -> Collector {
        Collector { writer, block: Vec::new(), block_rows: 0, totals: Totals::default() }
    }

    pub fn add(&mut self, chunk: &Chunk) -> Result<(), SnapshotError> {
        for (wallet, owner, limits) in &chunk.wallets {
            self.totals.state_hash.add_wallet(wallet, *owner, *limits);
            self.totals.wallets += 1;
            let sum = self.totals.currencies.entry(wallet.currency()).or_default();
            sum.wallets += 1;
            sum.posted += i128::from(wallet.posted());
            sum.held += i128::from(wallet.held());
            if self.writer.is_some() {
                snapshot_rows::encode_wallet(wallet, *owner, *limits, &mut self.block);
                self.row(KIND_WALLETS)?;
            }
        }
        self.end_block(KIND_WALLETS)?;
        for (wallet, spending) in &chunk.spendings {
            self.totals.state_hash.add_spending(*wallet, spending);
            if self.writer.is_some() {
                snapshot_rows::encode_spending(*wallet, spending, &mut self.block);
                self.row(KIND_SPENDINGS)?;
            }
        }
        self.end_block(KIND_SPENDINGS)?;
        for (hold, authorization) in &chunk.holds {
            self.totals.state_hash.add_hold(hold);
            self.totals.open_holds += 1;
            if self.writer.is_some() {
                snapshot_rows::encode_hold(hold, authorization, &mut self.block);
                self.row(KIND_HOLDS)?;
            }
        }
        self.end_block(KIND_HOLDS)
    }

    /// The snapshot becomes valid here, and not before.
    pub fn finish(self) -> Result<(Totals, Option<snapshots::Summary>), SnapshotError> {
        let state = self.totals.state_hash.bytes();
        let summary = self.writer.map(|writer| writer.finish(&state)).transpose()?;
        Ok((self.totals, summary))
    }

    fn row(&mut self, kind: u8) -> Result<(), SnapshotError> {
        self.block_rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.end_block(kind) } else { Ok(()) }
    }

    fn end_block(&mut self, kind: u8) -> Result<(), SnapshotError> {
        if let Some(writer) = &mut self.writer
            && self.block_rows > 0
        {
            writer.block(kind, self.block_rows, &self.block)?;
            self.block.clear();
            self.block_rows = 0;
        }
        Ok(())
    }
}

/// Begins a snapshot at a mark, wherever they are kept.
pub fn begin(store: &Store, marked: Marked, log_id: [u8; 16]) -> Result<Writer, SnapshotError> {
    let header =
        snapshots::Header { lsn: marked.lsn, time_micros: marked.time_micros, chain_hash: marked.chain, log_id };
    Ok(store.create(header)?)
}

/// Reads a whole snapshot and checks that its rows are those that were written.
pub fn load(
    reader: &mut Reader,
    mut each: impl FnMut(SnapshotRow),
    mut progress: impl FnMut(u64, u64),
) -> Result<StateHash, SnapshotError> {
    let mut found = StateHash::default();
    let mut table = crate::ledger::LimitsTable::default();
    let bytes = reader.bytes();
    loop {
        progress(reader.bytes_read(), bytes);
        let Some(block) = reader.next_block()? else { break };
        match block.kind {
            KIND_WALLETS => {
                for row in snapshot_rows::decode_wallets(block.bytes) {
                    let row = row?;
                    let limits = row.opening.limits;
                    let state = crate::ledger::Wallet::restore(
                        &row.opening,
                        table.id(limits),
                        row.status,
                        row.posted,
                        row.held,
                    );
                    found.add_wallet(&state, row.opening.owner, limits);
                    each(SnapshotRow::Wallet(row));
                }
            }
            KIND_SPENDINGS => {
                for row in snapshot_rows::decode_spendings(block.bytes) {
                    let (wallet, state) = row?;
                    found.add_spending(wallet, &state);
                    each(SnapshotRow::Spending(wallet, state));
                }
            }
            KIND_HOLDS => {
                for (authorization, captured) in snapshot_rows::decode_holds(block.bytes)? {
                    found.add_hold(&crate::ledger::Hold::restore(&authorization, captured));
                    each(SnapshotRow::Hold(authorization, captured));
                }
            }
            other => return Err(SnapshotError::Kind(other)),
        }
    }
    let expected = state_hash(reader)?;
    if found == expected { Ok(found) } else { Err(SnapshotError::StateHash { found, expected }) }
}

/// How many wallets a snapshot says that it has: never more than there is room for in it.
pub fn wallet_count(reader: &Reader) -> usize {
    let said = reader.rows().iter().find(|rows| rows.kind == KIND_WALLETS).map_or(0, |rows| rows.rows);
    let room = reader.bytes() / snapshot_rows::WALLET_BYTES as u64;
    usize::try_from(said.min(room)).unwrap_or(0)
}

/// The state hash that a snapshot carries.
pub fn state_hash(reader: &Reader) -> Result<StateHash, SnapshotError> {
    let bytes: [u8; 32] = reader.state().try_into().map_err(|_| SnapshotError::OtherHistory)?;
    Ok(StateHash::from_bytes(bytes))
}
