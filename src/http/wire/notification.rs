//! Preferences, devices and dead letters on the wire.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::raw::{Raw, required};
use super::{Id, Time, cursor_text};
use crate::http::problem::{Code, Problem};
use crate::services::notices::Kind;
use crate::services::notify::Channel;
use crate::services::notify::dead_letters::{After, DeadLetter};
use crate::services::notify::preferences::Preference;
use crate::store::devices::Device;

/// What an account is told, and by which channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationPreferences)]
pub struct PreferencesAnswer {
    preferences: Vec<PreferenceAnswer>,
}

/// One kind by one channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationPreference)]
pub struct PreferenceAnswer {
    #[schema(example = "money_in")]
    kind: &'static str,
    /// email, sms or push.
    #[schema(example = "push")]
    channel: &'static str,
    on: bool,
    /// Codes and security events cannot be changed.
    fixed: bool,
}

/// What is to change; the rest stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationPreferencesRequest)]
pub struct PreferencesRequest<'a> {
    #[serde(borrow, default, deserialize_with = "super::json::objects")]
    #[schema(value_type = Vec<ChoiceRequest>)]
    preferences: Option<Vec<ChoiceRequest<'a>>>,
}

/// One kind by one channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationChoice)]
pub struct ChoiceRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = String, example = "money_in")]
    kind: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = String, example = "email")]
    channel: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = bool)]
    on: Option<Raw<'a>>,
}

/// A device that push messages may go to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeviceRequest)]
pub struct DeviceRequest<'a> {
    /// What the platform gave the app. Never shown again.
    #[serde(borrow)]
    #[schema(value_type = String)]
    push_token: Option<Raw<'a>>,
    /// android, ios or web.
    #[serde(borrow)]
    #[schema(value_type = String, example = "android")]
    platform: Option<Raw<'a>>,
}

/// A device that push messages go to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub struct DeviceAnswer {
    id: Id,
    #[schema(example = "android")]
    platform: String,
    created_at: Time,
}

/// A message that could not be delivered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct DeadLetterAnswer {
    id: Id,
    account: Option<Id>,
    #[schema(example = "email")]
    channel: String,
    /// In part.
    #[schema(example = "a***@example.in")]
    address: String,
    #[schema(example = "money_in")]
    kind: String,
    /// dead; queued when it is sent again; discarded.
    #[schema(example = "dead")]
    state: &'static str,
    attempts: i64,
    last_error: Option<String>,
    created_at: Time,
    dead_at: Option<Time>,
}

/// Choices of one request: each kind by each channel, and none twice.
const CHOICES_MAX: usize = 64;
const CURSOR: char = 'x';

impl PreferencesAnswer {
    pub fn new(list: &[Preference]) -> PreferencesAnswer {
        let answer = |row: &Preference| PreferenceAnswer {
            kind: row.kind.name(),
            channel: row.channel.name(),
            on: row.is_on,
            fixed: row.is_fixed,
        };
        PreferencesAnswer { preferences: list.iter().map(answer).collect() }
    }
}

impl PreferencesRequest<'_> {
    pub fn choices(&self) -> Result<Vec<(Kind, Channel, bool)>, Problem> {
        let list = required(&self.preferences, "preferences")?;
        if list.is_empty() || list.len() > CHOICES_MAX {
            let detail = format!("`preferences` has 1 to {CHOICES_MAX} items.");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        list.iter().map(ChoiceRequest::choice).collect()
    }
}

impl ChoiceRequest<'_> {
    fn choice(&self) -> Result<(Kind, Channel, bool), Problem> {
        let unknown = |field: &str, names: String| {
            Problem::new(Code::InvalidRequest, format!("`{field}` is none of these: {names}."))
        };
        let kind = Kind::by_name(required(&self.kind, "kind")?.text("kind")?);
        let kind = kind.ok_or_else(|| unknown("kind", names(Kind::ALL, Kind::name)))?;
        let channel = Channel::by_name(required(&self.channel, "channel")?.text("channel")?);
        let channel = channel.ok_or_else(|| unknown("channel", names(Channel::ALL, Channel::name)))?;
        Ok((kind, channel, required(&self.on, "on")?.flag("on")?))
    }
}

impl DeviceRequest<'_> {
    pub fn parts(&self) -> Result<(SecretString, &str), Problem> {
        let token = required(&self.push_token, "push_token")?.text("push_token")?;
        Ok((SecretString::from(token), required(&self.platform, "platform")?.text("platform")?))
    }
}

impl DeviceAnswer {
    pub fn new(device: &Device) -> DeviceAnswer {
        let created_at = Time::of(device.created_at);
        DeviceAnswer { id: Id(device.id.as_u128()), platform: device.platform.clone(), created_at }
    }
}

impl DeadLetterAnswer {
    pub fn new(letter: &DeadLetter) -> DeadLetterAnswer {
        let delivery = &letter.delivery;
        DeadLetterAnswer {
            id: Id(delivery.id.as_u128()),
            account: delivery.account.map(|account| Id(account.as_u128())),
            channel: delivery.channel.clone(),
            address: letter.address_shown.clone(),
            kind: delivery.kind.clone(),
            state: delivery.state.name(),
            attempts: delivery.attempts,
            last_error: delivery.last_error.clone(),
            created_at: Time::of(delivery.created_at),
            dead_at: delivery.done_at.map(Time::of),
        }
    }
}

/// Where a page ends: a time, and the id among those of the same time.
pub fn dead_cursor(letter: &DeadLetter) -> String {
    let time = u64::try_from(letter.delivery.done_at.unwrap_or_default()).unwrap_or_default();
    format!("{}.{}", cursor_text(CURSOR, time), letter.delivery.id)
}

pub fn parse_dead_cursor(text: &str) -> Result<After, Problem> {
    let wrong = || Problem::new(Code::InvalidCursor, "`cursor` is not a next_cursor of this list.");
    let (time, id) = text.split_once('.').ok_or_else(wrong)?;
    let time = super::parse_cursor(CURSOR, time)?;
    let id = Uuid::try_parse(id).map_err(|_| wrong())?;
    Ok(After { done_at: i64::try_from(time).map_err(|_| wrong())?, id })
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<PreferencesAnswer>(list);
    add::<PreferenceAnswer>(list);
    add::<PreferencesRequest<'_>>(list);
    add::<ChoiceRequest<'_>>(list);
    add::<DeviceRequest<'_>>(list);
    add::<DeviceAnswer>(list);
    add::<DeadLetterAnswer>(list);
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ")
}
