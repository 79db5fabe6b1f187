//! The audit log: who did what to whom, each row chained to the one before it by its hash, so that a row that was changed,
//! put in or taken out is seen. Whoever can write the database could make a whole new chain: therefore the head's hash is
//! also logged at each start.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;

use super::Services;
use super::fault::Fault;
use crate::store::audit::{self, Filter, Record};
use crate::store::seal::Seal;
use crate::store::{Store, StoreError};

/// What the server does by itself, such as the end of a waiting period.
pub const SERVER: &str = "server";

const DETAIL: &str = "audit.detail";
const ROWS_AT_ONCE: i64 = 500;

/// One act.
#[derive(Clone, Debug)]
pub struct Entry {
    pub record: Record,
    pub detail: Value,
}

/// What a walk along the whole chain found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    pub rows: i64,
    pub head_hash: String,
    /// The first row that does not follow from the one before it, and why.
    pub broken_at: Option<(i64, &'static str)>,
}

/// Writes what was done, in the transaction that does it. It comes last there: until the transaction ends, nobody else can
/// record anything.
pub async fn record(
    services: &Services,
    c: &mut AnyConnection,
    actor: &str,
    action: &str,
    object: &str,
    detail: &Value,
) -> Result<(), Fault> {
    let (seq, before) = audit::advance(c).await?;
    let detail = detail.to_string();
    let mut record = Record {
        seq,
        recorded_at: services.now(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        detail_sealed: services.seal.seal(DETAIL, &detail),
        hash: String::new(),
    };
    record.hash = chained(&before, &record, &detail);
    Ok(audit::append(c, &record).await?)
}

/// Newest first.
pub async fn list(services: &Services, filter: Filter<'_>, limit: i64) -> Result<Vec<Entry>, Fault> {
    let mut c = services.store.read().await?;
    let records = audit::list(&mut c, filter, limit).await?;
    drop(c);
    let open = |record: Record| {
        let detail = services.seal.open(DETAIL, &record.detail_sealed)?;
        let detail =
            serde_json::from_str(&detail).map_err(|_| StoreError::content("an audit detail that is no JSON"))?;
        Ok(Entry { record, detail })
    };
    records.into_iter().map(open).collect()
}

/// Walks the chain from its beginning. What is recorded meanwhile may be in it or not.
pub async fn verify(store: &Store, seal: &Seal) -> Result<Verified, StoreError> {
    let mut c = store.read().await?;
    // Read before the rows: each row up to it has to be there.
    let (head_seq, head_hash) = audit::head(&mut c).await?;
    let mut hash = "0".repeat(64);
    let mut rows = 0;
    let broken = |seq, why| Verified { rows: seq - 1, head_hash: head_hash.clone(), broken_at: Some((seq, why)) };
    loop {
        let records = audit::from(&mut c, rows + 1, ROWS_AT_ONCE).await?;
        let count = records.len();
        for record in records {
            if record.seq != rows + 1 {
                return Ok(broken(rows + 1, "the row is missing"));
            }
            let Ok(detail) = seal.open(DETAIL, &record.detail_sealed) else {
                return Ok(broken(record.seq, "its detail was changed"));
            };
            if record.hash != chained(&hash, &record, &detail) {
                return Ok(broken(record.seq, "it was changed, or a row before it was taken out"));
            }
            (rows, hash) = (record.seq, record.hash);
            if rows == head_seq && hash != head_hash {
                return Ok(broken(rows, "it is not the one that the head names"));
            }
        }
        if i64::try_from(count).unwrap_or(i64::MAX) < ROWS_AT_ONCE {
            break;
        }
    }
    if rows < head_seq {
        return Ok(broken(rows + 1, "the row is missing"));
    }
    Ok(Verified { rows, head_hash: hash, broken_at: None })
}

/// Logs where the chain ends, so that the server's log holds what the database must agree with.
pub(super) async fn log_head(services: &Services) -> Result<(), Fault> {
    let mut c = services.store.read().await?;
    let (rows, hash) = audit::head(&mut c).await?;
    tracing::info!(rows, hash, "audit log");
    Ok(())
}

/// Each field with its length before it, so that nothing can be moved from one to the next.
fn chained(before: &str, record: &Record, detail: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"florin audit\0");
    hash.update(record.seq.to_be_bytes());
    hash.update(record.recorded_at.to_be_bytes());
    for field in [before, &record.actor, &record.action, &record.object, detail] {
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
