//! Data keys on the wire: what may be told of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vault::{KeyInfo, Purpose};

use super::Time;
use super::raw::{Raw, required};
use crate::http::problem::{Code, Problem};

/// Which key is to be a new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRotationRequest)]
pub struct KeyRotationRequest<'a> {
    /// log, snapshots, indexes, store (what is sensitive of people) or tokens (signatures of access tokens).
    #[serde(borrow)]
    #[schema(value_type = String, example = "tokens")]
    purpose: Option<Raw<'a>>,
}

/// A data key, without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = DataKey)]
pub struct DataKeyAnswer {
    /// Random, and no secret: what is sealed names it.
    #[schema(example = "5f0c2d8e9b7a4c1d8e3f6a7b9c0d1e2f")]
    id: String,
    /// log, snapshots, indexes, store, lookup or tokens.
    #[schema(example = "tokens")]
    purpose: &'static str,
    created_at: Time,
    /// Whether what is new is sealed with it.
    current: bool,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<KeyRotationRequest<'_>>(list);
    add::<DataKeyAnswer>(list);
}

impl KeyRotationRequest<'_> {
    pub fn purpose(&self) -> Result<Purpose, Problem> {
        let purpose = Purpose::parse(required(&self.purpose, "purpose")?.text("purpose")?);
        let detail = "`purpose` is none of log, snapshots, indexes, store and tokens.";
        purpose.ok_or_else(|| Problem::new(Code::InvalidRequest, detail))
    }
}

impl DataKeyAnswer {
    pub fn new(key: KeyInfo) -> DataKeyAnswer {
        DataKeyAnswer {
            id: key.id.to_string(),
            purpose: key.purpose.name(),
            created_at: Time(key.created_micros),
            current: key.is_current,
        }
    }
}
