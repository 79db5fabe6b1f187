//! The audit log on the wire.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Time;
use crate::services::audit::{Entry, Verified};

/// What somebody did.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditAnswer {
    /// Dense, from 1 on.
    seq: i64,
    recorded_at: Time,
    /// operator, server, `account ID` or `key ID`.
    #[schema(example = "operator")]
    actor: String,
    #[schema(example = "account.block")]
    action: String,
    /// To what it was done, with the kind before the id.
    #[schema(example = "account 01890a5d-ac96-774b-bcce-b302099a8057")]
    object: String,
    #[schema(value_type = Object)]
    detail: Value,
    /// SHA-256 of this row and of the hash before it.
    hash: String,
}

/// What a walk along the chain of the audit log found.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditVerified)]
pub struct AuditVerifiedAnswer {
    intact: bool,
    /// Rows that follow one from the other, from the first on.
    rows: i64,
    head_hash: String,
    /// The first row that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    crate::http::openapi::add::<AuditAnswer>(list);
    crate::http::openapi::add::<AuditVerifiedAnswer>(list);
}

impl AuditAnswer {
    pub fn new(entry: Entry) -> AuditAnswer {
        let Entry { record, detail } = entry;
        AuditAnswer {
            seq: record.seq,
            recorded_at: Time::of(record.recorded_at),
            actor: record.actor,
            action: record.action,
            object: record.object,
            detail,
            hash: record.hash,
        }
    }
}

impl AuditVerifiedAnswer {
    pub fn new(verified: Verified) -> AuditVerifiedAnswer {
        AuditVerifiedAnswer {
            intact: verified.broken_at.is_none(),
            rows: verified.rows,
            head_hash: verified.head_hash,
            broken_at: verified.broken_at.map(|(seq, _)| seq),
            why: verified.broken_at.map(|(_, why)| why),
        }
    }
}
