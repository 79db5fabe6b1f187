//! Reads JSON strictly: an object is an object and a list a list, where serde would also take the
//! members of an object in their order. What is wrong is told in our words, with its place. What
//! the members mean is not known here.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::http::problem::{Code, Problem};

/// Reads a body that is one object.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    read_as::<Object<T>>("body", bytes).map(|object| object.0)
}

/// Reads an item of a bulk request, which is one object.
pub fn read_item<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    read_as::<Object<T>>("item", bytes).map(|object| object.0)
}

/// Reads a body that is a list. Of one that is longer than `ITEMS_MAX` one item more is kept, so
/// that the caller sees it without memory being taken for the rest.
pub fn read_list<'a, T: Deserialize<'a>, const ITEMS_MAX: usize>(bytes: &'a [u8]) -> Result<Vec<T>, Problem> {
    read_as::<List<T, ITEMS_MAX>>("body", bytes).map(|list| list.0)
}

/// A member that is a list of objects, or not there.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let list = Option::<List<Object<T>, { usize::MAX }>>::deserialize(deserializer)?;
    Ok(list.map(|list| list.0.into_iter().map(|object| object.0).collect()))
}

/// A member that is one object, or not there.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let object = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(object.map(|object| object.0))
}

/// Text that is not JSON and JSON that does not fit are two problems.
fn read_as<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let (code, detail) = if error.is_data() {
            // The place stands at the end of the message too; should it ever be written otherwise, it stands there twice.
            let message = error.to_string();
            let its_place = format!(" at line {} column {}", error.line(), error.column());
            let message = message.strip_suffix(&its_place).unwrap_or(&message);
            (Code::InvalidRequest, format!("The {what} does not fit at {place}: {message}."))
        } else if bytes.trim_ascii().is_empty() {
            (Code::InvalidJson, format!("The {what} is empty, and should be JSON."))
        } else if error.is_eof() {
            (Code::InvalidJson, format!("The {what} ends at {place}, in the middle of its JSON."))
        } else {
            (Code::InvalidJson, format!("The {what} cannot be read as JSON at {place}."))
        };
        Problem::new(code, detail)
    })
}

/// Takes an object and nothing else for `T`.
struct Object<T>(T);

/// Takes a list and nothing else for a vector.
struct List<T, const ITEMS_MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>, const ITEMS_MAX: usize> Deserialize<'de> for List<T, ITEMS_MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T, ITEMS_MAX>, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);
struct ListVisitor<T, const ITEMS_MAX: usize>(PhantomData<T>);

/// A scalar stands where `$wanted` should.
macro_rules! refuse_scalars {
    ($wanted:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($wanted)
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(misplaced("a string", $wanted))
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(misplaced("true or false", $wanted))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(misplaced("a number", $wanted))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(misplaced("a number", $wanted))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(misplaced("a number", $wanted))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Err(misplaced("null", $wanted))
        }
    };
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    refuse_scalars!("an object");

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Object<T>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Err(misplaced("a list", "an object"))
    }
}

impl<'de, T: Deserialize<'de>, const ITEMS_MAX: usize> Visitor<'de> for ListVisitor<T, ITEMS_MAX> {
    type Value = List<T, ITEMS_MAX>;

    refuse_scalars!("a list");

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T, ITEMS_MAX>, A::Error> {
        let mut items = Vec::new();
        while items.len() <= ITEMS_MAX {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(List(items)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<List<T, ITEMS_MAX>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(misplaced("an object", "a list"))
    }
}

fn misplaced<E: Error>(found: &str, wanted: &str) -> E {
    E::custom(format_args!("it is {found}, and should be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::super::{BulkItem, TransferRequest};
    use super::*;

    fn detail(text: &str) -> String {
        read::<TransferRequest<'_>>(text.as_bytes()).unwrap_err().detail.into_owned()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            ("", "The body is empty, and should be JSON."),
            ("{", "The body ends at line 1, column 1, in the middle of its JSON."),
            ("{}x", "The body cannot be read as JSON at line 1, column 3."),
            ("{\n 1:2}", "The body cannot be read as JSON at line 2, column 2."),
            ("null", "The body does not fit at line 1, column 4: it is null, and should be an object."),
            ("-7", "The body does not fit at line 1, column 2: it is a number, and should be an object."),
            (r#"["a"]"#, "The body does not fit at line 1, column 5: it is a list, and should be an object."),
            (r#"{"legs":{}}"#, "The body does not fit at line 1, column 10: it is an object, and should be a list."),
            (r#"{"legs":[[]]}"#, "The body does not fit at line 1, column 11: it is a list, and should be an object."),
            (r#"{"to":"a","to":"a"}"#, "The body does not fit at line 1, column 14: duplicate field `to`."),
        ] {
            assert_eq!(detail(text), expected, "{text}");
        }
        assert!(detail(r#"{"x":1}"#).starts_with("The body does not fit at line 1, column 4: unknown field `x`"));
        let item = read_item::<BulkItem<'_>>(b"7").unwrap_err();
        assert_eq!(item.detail, "The item does not fit at line 1, column 1: it is a number, and should be an object.");
    }

    #[test]
    fn a_list_keeps_one_item_above_its_limit() {
        let kept = |text: &str| read_list::<IgnoredAny, 2>(text.as_bytes()).unwrap().len();
        assert_eq!((kept("[]"), kept("[1,2]"), kept("[1,2,3]"), kept("[1,2,3,4,5]")), (0, 2, 3, 3));
        assert_eq!(read_list::<IgnoredAny, 2>(b"[1,2,3,4,x]").unwrap_err().code, Code::InvalidJson);
    }
}
