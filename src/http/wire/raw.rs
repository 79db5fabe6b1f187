//! A JSON value whose type is looked at when its field is known by name, so that a wrong one is
//! told by name ("amount: ...") and not by its position in the text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::scalar::parse_id;
use crate::http::problem::{Code, Problem};

/// A scalar as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw<'a> {
    Text(Cow<'a, str>),
    Flag(bool),
    Unsigned(u64),
    /// Anything else, by its name.
    Other(&'static str),
}

impl Raw<'_> {
    pub fn text(&self, field: &str) -> Result<&str, Problem> {
        match self {
            Raw::Text(text) => Ok(text),
            other => Err(other.expected(field, "a string")),
        }
    }

    pub fn flag(&self, field: &str) -> Result<bool, Problem> {
        match self {
            Raw::Flag(flag) => Ok(*flag),
            other => Err(other.expected(field, "true or false")),
        }
    }

    pub fn unsigned(&self, field: &str) -> Result<u64, Problem> {
        match self {
            Raw::Unsigned(number) => Ok(*number),
            other => Err(other.expected(field, "a whole number, not below zero")),
        }
    }

    pub fn id(&self, field: &str) -> Result<u128, Problem> {
        parse_id(self.text(field)?, field)
    }

    fn expected(&self, field: &str, what: &str) -> Problem {
        Problem::new(Code::InvalidRequest, format!("`{field}` is {}, and should be {what}.", self.name()))
    }

    pub fn name(&self) -> &'static str {
        match self {
            Raw::Text(_) => "a string",
            Raw::Flag(_) => "true or false",
            Raw::Unsigned(_) => "a number",
            Raw::Other(name) => name,
        }
    }
}

/// A field that must be there.
pub(super) fn required<'r, T>(value: &'r Option<T>, field: &str) -> Result<&'r T, Problem> {
    value.as_ref().ok_or_else(|| Problem::new(Code::InvalidRequest, format!("`{field}` is missing.")))
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'a>, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw<'de>, E> {
        Ok(Raw::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw<'de>, E> {
        Ok(Raw::Unsigned(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw<'de>, E> {
        Ok(Raw::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw<'de>, E> {
        Ok(Raw::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Raw<'de>, E> {
        Ok(Raw::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Raw::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Raw<'de>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Raw::Other("an object"))
    }
}
