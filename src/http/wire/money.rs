//! Money on the wire: `{"amount": "500.00", "currency": "INR"}`. Reading is the ledger's
//! (`ledger::money`); writing is done here without going through a decimal type, since every
//! answer does it twice.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::raw::Raw;
use crate::http::problem::{Code, Problem};
use crate::ledger::money::{AmountError, parse_minor};
use crate::ledger::{Amount, Currency};

/// Money on its way out; sums over many wallets may need more than 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Money {
    pub minor: i128,
    pub currency: Currency,
}

/// Money as it came in.
#[derive(Clone, Debug)]
pub enum RawMoney<'a> {
    Object { amount: Option<Raw<'a>>, currency: Option<Raw<'a>> },
    Other(&'static str),
}

/// An amount of money: a decimal string in major units, exact, and never a JSON number.
#[derive(ToSchema)]
#[schema(as = Money)]
#[allow(dead_code, reason = "the schema of Money, which is read and written by hand")]
struct MoneyDocument {
    /// At most as many digits after the point as the currency has. Only legs may have a sign.
    #[schema(example = "500.00")]
    amount: String,
    /// ISO 4217, three capital letters.
    #[schema(example = "INR")]
    currency: String,
}

impl PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        MoneyDocument::schema()
    }
}

impl ToSchema for Money {}

/// What comes in has the schema of what goes out.
impl PartialSchema for RawMoney<'_> {
    fn schema() -> RefOr<Schema> {
        MoneyDocument::schema()
    }
}

impl ToSchema for RawMoney<'_> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Money")
    }
}

impl Money {
    pub fn new(minor: i64, currency: Currency) -> Money {
        Money { minor: i128::from(minor), currency }
    }
}

impl RawMoney<'_> {
    pub fn amount(&self, field: &str) -> Result<(Amount, Currency), Problem> {
        let (minor, currency) = self.minor(field)?;
        let amount = Amount::new(minor).ok_or_else(|| invalid(field, AmountError::NotPositive))?;
        Ok((amount, currency))
    }

    /// With a sign if it has one.
    pub fn minor(&self, field: &str) -> Result<(i64, Currency), Problem> {
        let (amount, code) = match self {
            RawMoney::Object { amount, currency } => (amount, currency),
            RawMoney::Other(name) => return Err(not_an_object(field, name)),
        };
        let missing = |member: &str| Problem::new(Code::InvalidRequest, format!("`{field}.{member}` is missing."));
        let currency = currency(code.as_ref().ok_or_else(|| missing("currency"))?, &format_args!("{field}.currency"))?;
        let minor = minor(amount.as_ref().ok_or_else(|| missing("amount"))?, currency, field)?;
        Ok((minor, currency))
    }
}

pub(super) fn currency(raw: &Raw<'_>, field: &dyn fmt::Display) -> Result<Currency, Problem> {
    let currency = match raw {
        Raw::Text(code) => Currency::by_code(code),
        _ => None,
    };
    currency.ok_or_else(|| {
        let detail = format!("`{field}` is not a currency of ISO 4217 in capital letters, like \"INR\".");
        Problem::new(Code::InvalidCurrency, detail)
    })
}

/// A limit of a wallet, such as `"overdraft_limit": "100.00"`: zero or more, in the wallet's currency.
pub fn limit(raw: &Raw<'_>, currency: Currency, field: &str) -> Result<i64, Problem> {
    match minor(raw, currency, field)? {
        minor if minor < 0 => Err(Problem::new(Code::InvalidAmount, format!("`{field}` is below zero."))),
        minor => Ok(minor),
    }
}

fn minor(raw: &Raw<'_>, currency: Currency, field: &str) -> Result<i64, Problem> {
    match raw {
        Raw::Text(text) => parse_minor(text, currency).map_err(|error| invalid(field, error)),
        other => {
            let what = other.name();
            let detail = format!("`{field}` has {what} as its amount. Write a decimal string, like \"500.00\".");
            Err(Problem::new(Code::InvalidAmount, detail))
        }
    }
}

fn invalid(field: &str, error: AmountError) -> Problem {
    Problem::new(Code::InvalidAmount, format!("`{field}` is {error}."))
}

fn not_an_object(field: &str, name: &str) -> Problem {
    let detail = format!("`{field}` is {name}. Write money as {{\"amount\": \"500.00\", \"currency\": \"INR\"}}.");
    let code = if name == "a number" { Code::InvalidAmount } else { Code::InvalidRequest };
    Problem::new(code, detail)
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; TEXT_BYTES_MAX];
        let mut object = serializer.serialize_struct("Money", 2)?;
        object.serialize_field("amount", write_minor(self.minor, self.currency.exponent(), &mut buffer))?;
        object.serialize_field("currency", self.currency.code())?;
        object.end()
    }
}

/// A sign, the 39 digits of 2^127, a point.
const TEXT_BYTES_MAX: usize = 41;

/// Digits are made from the last to the first; as many 64-bit steps as possible, since dividing
/// 128 bits is a call into a library.
fn write_minor(minor: i128, exponent: u32, buffer: &mut [u8; TEXT_BYTES_MAX]) -> &str {
    let mut start = buffer.len();
    let mut digits = 0;
    let mut put = |byte: u8| {
        start -= 1;
        buffer[start] = byte;
    };
    let mut rest = minor.unsigned_abs();
    while rest > 0 || digits <= exponent {
        if digits == exponent && exponent > 0 {
            put(b'.');
        }
        let digit = match u64::try_from(rest) {
            Ok(small) => {
                rest = u128::from(small / 10);
                small % 10
            }
            Err(_) => {
                let digit = rest % 10;
                rest /= 10;
                u64::try_from(digit).expect("a digit")
            }
        };
        put(b'0' + u8::try_from(digit).expect("a digit"));
        digits += 1;
    }
    if minor < 0 {
        put(b'-');
    }
    std::str::from_utf8(&buffer[start..]).expect("digits, a point and a sign")
}

impl<'de: 'a, 'a> Deserialize<'de> for RawMoney<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawMoney<'a>, D::Error> {
        deserializer.deserialize_any(MoneyVisitor)
    }
}

struct MoneyVisitor;

impl<'de> Visitor<'de> for MoneyVisitor {
    type Value = RawMoney<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("money, like {\"amount\": \"500.00\", \"currency\": \"INR\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<RawMoney<'de>, A::Error> {
        let (mut amount, mut currency) = (None, None);
        while let Some(member) = object.next_key::<Raw<'de>>()? {
            let Raw::Text(member) = member else { return Err(A::Error::custom("a key is a string")) };
            let (slot, name) = match &*member {
                "amount" => (&mut amount, "amount"),
                "currency" => (&mut currency, "currency"),
                other => return Err(A::Error::unknown_field(other, &["amount", "currency"])),
            };
            if slot.replace(object.next_value::<Raw<'de>>()?).is_some() {
                return Err(A::Error::duplicate_field(name));
            }
        }
        Ok(RawMoney::Object { amount, currency })
    }

    fn visit_str<E>(self, _: &str) -> Result<RawMoney<'de>, E> {
        Ok(RawMoney::Other("a string"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<RawMoney<'de>, E> {
        Ok(RawMoney::Other("true or false"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<RawMoney<'de>, E> {
        Ok(RawMoney::Other("a number"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<RawMoney<'de>, E> {
        Ok(RawMoney::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawMoney<'de>, E> {
        Ok(RawMoney::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<RawMoney<'de>, E> {
        Ok(RawMoney::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawMoney<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawMoney::Other("a list"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::money::format_sum;

    #[test]
    fn written_as_the_ledger_writes_it() {
        for code in ["JPY", "INR", "KWD", "CLF"] {
            let currency = Currency::by_code(code).unwrap();
            let wide = [i128::from(u64::MAX) + 1, -(1i128 << 90)];
            let narrow = [0, 1, -1, 9, 10, 99, 100, -100, 12_345, i64::MAX, i64::MIN].map(i128::from);
            for minor in narrow.into_iter().chain(wide) {
                let mut buffer = [0; TEXT_BYTES_MAX];
                let text = write_minor(minor, currency.exponent(), &mut buffer);
                assert_eq!(text, format_sum(minor, currency), "{minor} {code}");
            }
        }
        let mut buffer = [0; TEXT_BYTES_MAX];
        assert_eq!(write_minor(i128::MIN, 2, &mut buffer), "-1701411834604692317316873037158841057.28");
    }

    #[test]
    fn wrong_ones_are_told_apart() {
        for (json, code) in [
            (r#"{"amount":500,"currency":"INR"}"#, Code::InvalidAmount),
            (r#"{"amount":"1.000","currency":"INR"}"#, Code::InvalidAmount),
            (r#"{"amount":"0","currency":"INR"}"#, Code::InvalidAmount),
            (r#"{"amount":"-1","currency":"INR"}"#, Code::InvalidAmount),
            (r#"{"amount":"92233720368547758.08","currency":"INR"}"#, Code::InvalidAmount),
            (r#"{"amount":"1","currency":"inr"}"#, Code::InvalidCurrency),
            (r#"{"amount":"1","currency":356}"#, Code::InvalidCurrency),
            (r#"{"amount":"1"}"#, Code::InvalidRequest),
            (r#"{"currency":"INR"}"#, Code::InvalidRequest),
            ("500", Code::InvalidAmount),
            ("5.5", Code::InvalidAmount),
            ("\"500\"", Code::InvalidRequest),
        ] {
            let money: RawMoney<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(money.amount("amount").unwrap_err().code, code, "{json}");
        }
        for json in [r#"{"amount":"1","amount":"2","currency":"INR"}"#, r#"{"amount":"1","curency":"INR"}"#] {
            assert!(serde_json::from_str::<RawMoney<'_>>(json).is_err(), "{json}");
        }
    }
}
