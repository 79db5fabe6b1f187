//! API keys on the wire. The key itself is shown once, when it is made.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Shown;
use super::raw::{Raw, required};
use super::{Id, Time};
use crate::http::problem::{Code, Problem};
use crate::services::Scope;
use crate::services::api_keys::{EXPIRES_IN_DAYS_MAX, NAME_CHARACTERS_MAX, NewKey, OVERLAP_MAX};
use crate::store::api_keys::ApiKey;

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyRequest)]
pub struct ApiKeyRequest<'a> {
    /// Up to 100 characters, for its owner to know it by.
    #[serde(borrow)]
    #[schema(value_type = String, example = "shop server")]
    name: Option<Raw<'a>>,
    /// What it is good for; at least one.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>, example = json!(["transfers:write", "wallets:read"]))]
    scopes: Option<Vec<Raw<'a>>>,
    /// 1 to 3650; without it the key is good until it is revoked.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, example = 365)]
    expires_in_days: Option<Raw<'a>>,
    /// For administrators: whose key it is to be.
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    account: Option<Raw<'a>>,
}

/// How a key is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotationRequest)]
pub struct RotationRequest<'a> {
    /// How long the old key stays good, up to 30 days; 0 for not at all.
    #[serde(borrow)]
    #[schema(value_type = u64, example = 86400)]
    overlap_seconds: Option<Raw<'a>>,
}

/// An API key, without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyAnswer {
    id: Id,
    account: Id,
    #[schema(example = "shop server")]
    name: String,
    /// The key's first digits.
    #[schema(example = "fmk_0a1b2c3d")]
    prefix: String,
    scopes: Vec<String>,
    /// active, expired or revoked.
    #[schema(example = "active")]
    state: &'static str,
    created_at: Time,
    expires_at: Option<Time>,
    revoked_at: Option<Time>,
    /// The key that came in its place.
    replaced_by: Option<Id>,
    /// The day, UTC; it may be some minutes until a use is seen here.
    last_used_day: Option<Time>,
}

/// An API key, just made.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyMade)]
pub struct ApiKeyMade {
    api_key: ApiKeyAnswer,
    /// Shown this once; only its hash is kept.
    #[schema(value_type = String)]
    key: Shown,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<ApiKeyRequest<'_>>(list);
    add::<RotationRequest<'_>>(list);
    add::<ApiKeyAnswer>(list);
    add::<ApiKeyMade>(list);
}

impl ApiKeyRequest<'_> {
    pub fn account(&self) -> Result<Option<u128>, Problem> {
        self.account.as_ref().map(|raw| raw.id("account")).transpose()
    }

    pub fn new_key(&self) -> Result<NewKey, Problem> {
        let wrong = |detail: String| Problem::new(Code::InvalidRequest, detail);
        let name = required(&self.name, "name")?.text("name")?.trim();
        if !(1..=NAME_CHARACTERS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(wrong(format!("`name` has 1 to {NAME_CHARACTERS_MAX} characters, in one line.")));
        }
        let mut scopes = Vec::new();
        for raw in required(&self.scopes, "scopes")? {
            let text = raw.text("scopes")?;
            let known = || Scope::ALL.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ");
            let scope = Scope::by_name(text).ok_or_else(|| wrong(format!("`scopes` are some of {}.", known())))?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        if scopes.is_empty() {
            return Err(wrong("`scopes` is empty: a key without one is good for nothing.".to_owned()));
        }
        let days = self.expires_in_days.as_ref().map(|raw| raw.unsigned("expires_in_days")).transpose()?;
        if days.is_some_and(|days| !(1..=EXPIRES_IN_DAYS_MAX).contains(&days)) {
            return Err(wrong(format!("`expires_in_days` is not between 1 and {EXPIRES_IN_DAYS_MAX}.")));
        }
        let expires_in_days = days.and_then(|days| i64::try_from(days).ok());
        Ok(NewKey { name: name.to_owned(), scopes, expires_in_days })
    }
}

impl RotationRequest<'_> {
    pub fn overlap(&self) -> Result<Duration, Problem> {
        let seconds = required(&self.overlap_seconds, "overlap_seconds")?.unsigned("overlap_seconds")?;
        let overlap = Duration::from_secs(seconds);
        if overlap > OVERLAP_MAX {
            let detail = format!("`overlap_seconds` is not between 0 and {}.", OVERLAP_MAX.as_secs());
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(overlap)
    }
}

impl ApiKeyAnswer {
    pub fn new(key: &ApiKey, now: i64) -> ApiKeyAnswer {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(expires_at)) if expires_at <= now => "expired",
            _ => "active",
        };
        ApiKeyAnswer {
            id: Id(key.id.as_u128()),
            account: Id(key.account.as_u128()),
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            scopes: key.scopes.split_whitespace().map(str::to_owned).collect(),
            state,
            created_at: Time::of(key.created_at),
            expires_at: key.expires_at.map(Time::of),
            revoked_at: key.revoked_at.map(Time::of),
            replaced_by: key.replaced_by.map(|id| Id(id.as_u128())),
            last_used_day: key.last_used_day.map(Time::of),
        }
    }
}

impl ApiKeyMade {
    pub fn new(api_key: ApiKeyAnswer, key: SecretString) -> ApiKeyMade {
        ApiKeyMade { api_key, key: Shown(key) }
    }
}
