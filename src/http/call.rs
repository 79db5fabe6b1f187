//! One request as a handler sees it: the engine, the id in the path, the query, the headers that
//! mean something, and the body.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use sha2::{Digest, Sha256};

use super::answer::JSON;
use super::problem::{Code, Problem};
use super::wire::{parse_id, parse_time};
use crate::config::{IDEMPOTENCY_KEY_BYTES_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use crate::engine::{At, Engine};
use crate::ledger::{Reject, WalletId};
use crate::services::intentions::{self, Intention};
use crate::services::sessions::Client;
use crate::services::{Principal, Services};

pub(super) struct Call<'c> {
    pub engine: &'c Engine,
    /// None where the server keeps a ledger only.
    pub services: Option<&'c Arc<Services>>,
    pub principal: &'c Principal,
    /// What stood in the path in the place of `{id}`.
    pub id: &'c str,
    pub query: Option<&'c str>,
    pub headers: &'c HeaderMap,
    /// From where the client sends; behind a proxy that is trusted, what the proxy says.
    pub address: IpAddr,
    pub body: Bytes,
}

/// The parameters of a query, each taken by name; what is left over at the end is refused.
#[derive(Debug)]
pub struct Query<'c> {
    pairs: Vec<(&'static str, Cow<'c, str>)>,
}

impl<'c> Call<'c> {
    pub(super) fn path_id(&self) -> Result<u128, Problem> {
        parse_id(self.id, "id")
    }

    /// The id that the request's Idempotency-Key stands for.
    pub(super) fn key_id(&self) -> Result<u128, Problem> {
        match self.optional_key()? {
            Some(key) => self.id_of(Purpose::Request, key),
            None => Err(Problem::new(
                Code::IdempotencyKeyRequired,
                "Send an Idempotency-Key, such as a new UUID; a repeat with the same key is answered as before.",
            )),
        }
    }

    /// Two merchants may use the same key without knowing of each other.
    pub(super) fn id_of(&self, purpose: Purpose, key: &str) -> Result<u128, Problem> {
        let account = self.principal.account;
        if account.is_nil() { key_id(purpose, key) } else { key_id_of(account.as_bytes(), purpose, key) }
    }

    /// What is not there for the caller is not there.
    pub(super) async fn must_own(&self, wallet: WalletId) -> Result<(), Problem> {
        if !self.principal.is_bound_to_own() || self.principal.owns(self.engine, wallet).await? {
            return Ok(());
        }
        Err(Reject::WalletNotFound.into())
    }

    /// Writes down who asks for what, before the ledger is asked. A server without people has no audit log.
    pub(super) async fn record(&self, intention: Intention) -> Result<(), Problem> {
        match self.services {
            Some(services) => Ok(intentions::record(services, self.principal, intention).await?),
            None => Ok(()),
        }
    }

    pub(super) fn people(&self) -> Result<&'c Services, Problem> {
        let services = self.services.map(|services| &**services);
        services.ok_or_else(|| Problem::new(Code::Recovering, "The server does not know its people yet."))
    }

    /// What a session is known by to its owner.
    pub(super) fn client(&self) -> Client {
        let device = self.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Client { device: device.to_owned(), network_address: self.address.to_string() }
    }

    pub(super) fn optional_key(&self) -> Result<Option<&'c str>, Problem> {
        let mut values = self.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = key_text(value.as_bytes());
        if text.is_none() || values.next().is_some() {
            let detail = "Idempotency-Key is sent once and has 1 to 255 visible ASCII characters.";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(text)
    }

    /// A body without a type is taken for what it should be.
    pub(super) fn expect_json(&self) -> Result<(), Problem> {
        match media_type(self.headers) {
            None => Ok(()),
            Some(kind) if kind.eq_ignore_ascii_case(JSON) => Ok(()),
            Some(_) => Err(Problem::new(Code::UnsupportedMediaType, "Send `Content-Type: application/json`.")),
        }
    }

    pub(super) fn query(&self, known: &'static [&'static str]) -> Result<Query<'c>, Problem> {
        Query::parse(self.query.unwrap_or_default(), known)
    }
}

/// The text of an Idempotency-Key, if it is one.
pub fn key_text(bytes: &[u8]) -> Option<&str> {
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if fits { std::str::from_utf8(bytes).ok() } else { None }
}

/// The Content-Type without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or("unreadable");
    Some(value.split_once(';').map_or(value, |(kind, _)| kind).trim())
}

/// What an id is derived for: the same text names a transfer and a wallet without one standing in
/// the other's way.
#[derive(Clone, Copy)]
pub enum Purpose {
    Request,
    Wallet,
    /// The item of a bulk request at this position.
    Item(usize),
}

/// A key that is a UUID is the id itself; any other is hashed into one (UUIDv8, RFC 9562).
pub fn key_id(purpose: Purpose, key: &str) -> Result<u128, Problem> {
    key_id_of(&[], purpose, key)
}

/// Keys that are not UUIDs are told apart by whose they are.
fn key_id_of(account: &[u8], purpose: Purpose, key: &str) -> Result<u128, Problem> {
    let is_item = matches!(purpose, Purpose::Item(_));
    if !is_item && key.len() == 36 && uuid::Uuid::try_parse(key).is_ok() {
        return parse_id(key, "Idempotency-Key");
    }
    let mut hash = Sha256::new();
    match purpose {
        Purpose::Request => hash.update(b"florin request\0"),
        Purpose::Wallet => hash.update(b"florin wallet\0"),
        Purpose::Item(index) => {
            hash.update(b"florin item\0");
            hash.update(u64::try_from(index).unwrap_or(u64::MAX).to_le_bytes());
        }
    }
    hash.update(account);
    hash.update(key.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let (head, _) = digest.split_first_chunk::<16>().expect("32 bytes have a first 16");
    let version_8 = (u128::from_be_bytes(*head) & !(0xf << 76)) | (0x8 << 76);
    Ok((version_8 & !(0x3 << 62)) | (0x2 << 62))
}

impl<'c> Query<'c> {
    pub fn parse(text: &'c str, known: &'static [&'static str]) -> Result<Query<'c>, Problem> {
        let mut pairs: Vec<(&'static str, Cow<'c, str>)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let Some(&name) = known.iter().find(|known| **known == name) else {
                let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let detail = format!("There is no query parameter `{name}` here; known: {list}.");
                return Err(Problem::new(Code::InvalidRequest, detail));
            };
            if pairs.iter().any(|(other, _)| *other == name) {
                let detail = format!("The query parameter `{name}` is given twice.");
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
            pairs.push((name, decode(value)?));
        }
        Ok(Query { pairs })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    pub fn id(&self, name: &str) -> Result<Option<u128>, Problem> {
        self.text(name).map(|text| parse_id(text, name)).transpose()
    }

    pub fn time(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.text(name).map(|text| parse_time(text, name)).transpose()
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let parse = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { text.parse().ok() } else { None };
            number.ok_or_else(|| Problem::new(Code::InvalidRequest, format!("`{name}` is not a whole number.")))
        };
        self.text(name).map(parse).transpose()
    }

    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.number("limit")?.map_or(Some(PAGE_ROWS_DEFAULT), |limit| usize::try_from(limit).ok());
        limit
            .filter(|limit| (1..=PAGE_ROWS_MAX).contains(limit))
            .ok_or_else(|| Problem::new(Code::InvalidRequest, format!("`limit` is not between 1 and {PAGE_ROWS_MAX}.")))
    }

    pub fn as_of(&self) -> Result<Option<At>, Problem> {
        match (self.number("as_of_lsn")?, self.time("as_of_time")?) {
            (Some(_), Some(_)) => {
                Err(Problem::new(Code::InvalidRequest, "Give one of `as_of_lsn` and `as_of_time`, not both."))
            }
            (Some(lsn), None) => Ok(Some(At::Lsn(lsn))),
            (None, time) => Ok(time.map(At::TimeMicros)),
        }
    }
}

/// A plus stays a plus, since times have one and no parameter has spaces.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let wrong = || Problem::new(Code::InvalidRequest, "The query has a percent sign without two digits of UTF-8.");
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_an_id() {
        let uuid = "01890A5D-AC96-774B-BCCE-B302099A8057";
        let id = key_id(Purpose::Request, uuid).unwrap();
        assert_eq!(uuid::Uuid::from_u128(id).to_string(), uuid.to_lowercase());
        let derived = [
            key_id(Purpose::Request, "order-1").unwrap(),
            key_id(Purpose::Wallet, "order-1").unwrap(),
            key_id(Purpose::Item(0), "order-1").unwrap(),
            key_id(Purpose::Item(1), "order-1").unwrap(),
            key_id(Purpose::Item(0), uuid).unwrap(),
        ];
        for (index, id) in derived.iter().enumerate() {
            let uuid = uuid::Uuid::from_u128(*id);
            assert_eq!(uuid.get_version_num(), 8, "{uuid}");
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122, "{uuid}");
            assert_eq!(derived.iter().position(|other| other == id), Some(index));
        }
        // A key that was derived once must be derived the same for ever.
        let fixed = uuid::Uuid::from_u128(derived[0]).to_string();
        assert_eq!(fixed, "9e9890f2-41c2-8286-83cc-8989fe6e4eb6");
        let nil = key_id(Purpose::Request, "00000000-0000-0000-0000-000000000000");
        assert_eq!(nil.unwrap_err().code, Code::InvalidId);
    }

    #[test]
    fn a_query_is_strict() {
        let known = &["from", "limit"];
        let query = Query::parse("limit=5&from=2026-01-31T17%3A30:00%2B05:30", known).unwrap();
        assert_eq!(query.limit().unwrap(), 5);
        assert!(query.time("from").unwrap().is_some());
        for text in ["limits=5", "limit=1&limit=2", "limit=%zz", "limit=%f", "limit=%ff", "li%6Dits=1"] {
            assert_eq!(Query::parse(text, known).unwrap_err().code, Code::InvalidRequest, "{text}");
        }
        for text in ["limit=0", "limit=201", "limit=+1", "limit=", "limit=-1", "limit=99999999999999999999"] {
            assert!(Query::parse(text, known).unwrap().limit().is_err(), "{text}");
        }
    }
}
