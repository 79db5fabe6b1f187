//! Ids and times as text: UUIDs in canonical form, RFC 3339 in UTC with microseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::http::problem::{Code, Problem};

/// Any of the ledger's ids on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id(pub u128);

/// Microseconds since 1970, UTC, on their way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time(pub u64);

/// The hyphenated form; the short and the decorated forms that parsers take are not ids here.
const ID_BYTES: usize = 36;

static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

pub fn parse_id(text: &str, field: &str) -> Result<u128, Problem> {
    let invalid = || {
        let detail = format!("`{field}` is not a UUID like 01890a5d-ac96-774b-bcce-b302099a8057.");
        Problem::new(Code::InvalidId, detail)
    };
    let uuid = if text.len() == ID_BYTES { Uuid::try_parse(text).ok() } else { None };
    match uuid {
        Some(uuid) if uuid.is_nil() => Err(Problem::new(Code::InvalidId, format!("`{field}` is the nil UUID."))),
        Some(uuid) => Ok(uuid.as_u128()),
        None => Err(invalid()),
    }
}

pub fn parse_time(text: &str, field: &str) -> Result<u64, Problem> {
    let time: Option<Timestamp> = text.parse().ok();
    let micros = time.and_then(|time| u64::try_from(time.as_microsecond()).ok());
    micros.ok_or_else(|| {
        let detail = format!("`{field}` is not a time like 2026-01-31T12:00:00.000000Z.");
        Problem::new(Code::InvalidRequest, detail)
    })
}

/// The wall clock.
pub fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Time {
    /// Of what the database keeps.
    pub fn of(micros: i64) -> Time {
        Time(u64::try_from(micros).unwrap_or(0))
    }
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        text("uuid", "A UUID in canonical form; lower case on the way out.", "01890a5d-ac96-774b-bcce-b302099a8057")
    }
}

impl ToSchema for Id {}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        text("date-time", "RFC 3339, UTC, with microseconds.", "2026-01-31T12:00:00.000000Z")
    }
}

impl ToSchema for Time {}

fn text(format: &str, about: &str, example: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    let object = object.format(Some(SchemaFormat::Custom(format.to_owned()))).description(Some(about));
    RefOr::T(Schema::Object(object.examples([example]).build()))
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; ID_BYTES];
        serializer.serialize_str(Uuid::from_u128(self.0).as_hyphenated().encode_lower(&mut buffer))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        serializer.serialize_str(&PRINTER.timestamp_to_string(&time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_any_case_and_written_in_lower_case() {
        let id = parse_id("01890A5D-AC96-774B-BCCE-B302099A8057", "id").unwrap();
        assert_eq!(serde_json::to_string(&Id(id)).unwrap(), "\"01890a5d-ac96-774b-bcce-b302099a8057\"");
    }

    #[test]
    fn other_texts_are_no_ids() {
        let nil = "00000000-0000-0000-0000-000000000000";
        let short = "01890a5dac96774bbcceb302099a8057";
        let braces = "{01890a5d-ac96-774b-bcce-b302099a8057}";
        for text in ["", "1", nil, short, braces, "01890a5d-ac96-774b-bcce-b302099a805g"] {
            assert_eq!(parse_id(text, "id").unwrap_err().code, Code::InvalidId, "{text}");
        }
    }

    #[test]
    fn times_keep_their_microseconds() {
        for (text, written) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
            ("2026-01-31T17:30:00.000001+05:30", "2026-01-31T12:00:00.000001Z"),
        ] {
            let micros = parse_time(text, "from").unwrap();
            assert_eq!(serde_json::to_string(&Time(micros)).unwrap(), format!("\"{written}\""));
        }
        for text in ["", "yesterday", "2026-01-31", "1960-01-01T00:00:00Z"] {
            assert_eq!(parse_time(text, "from").unwrap_err().code, Code::InvalidRequest, "{text}");
        }
    }
}
