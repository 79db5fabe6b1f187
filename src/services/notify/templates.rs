//! What messages say: for each kind and language a subject, a short text for SMS and push, and a longer text, of which the HTML
//! part is made. Whoever gets what is not known here.

use std::sync::LazyLock;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};
use serde_json::Value;

use crate::ledger::{Currency, money};
use crate::services::clock::SECOND;
use crate::services::notices::Kind;

/// A message in one language.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    pub subject: String,
    pub short: String,
    pub text: String,
    pub html: String,
}

/// A name or note longer than this is cut: a message is no place to publish.
const CHARACTERS_MAX: usize = 200;
const SEPARATOR: &str = "\n---\n";
const LAYOUT: &str = include_str!("templates/layout.html");

macro_rules! templates {
    ($($kind:ident $name:literal,)*) => {
        fn source(locale: &str, kind: Kind) -> &'static str {
            match (locale, kind) {
                $(("hi", Kind::$kind) => include_str!(concat!("templates/hi/", $name, ".txt")),)*
                $((_, Kind::$kind) => include_str!(concat!("templates/en/", $name, ".txt")),)*
            }
        }
    };
}

templates! {
    Code "code",
    Welcome "welcome",
    MoneyIn "money_in",
    MoneyOut "money_out",
    PaymentFailed "payment_failed",
    MoneyRequested "money_requested",
    SignedIn "signed_in",
    SecurityChanged "security_changed",
    AccountChanged "account_changed",
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") { minijinja::AutoEscape::Html } else { minijinja::AutoEscape::None }
    });
    environment.add_filter("money", money_text);
    environment.add_filter("time", time_text);
    environment
});

/// A language that is not written here is English.
pub fn render(kind: Kind, locale: &str, params: &Value) -> Result<Rendered, Error> {
    let locale = if locale == "hi" { "hi" } else { "en" };
    let params = minijinja::Value::from(minijinja::value::Serde(clean(params)));
    let mut parts = source(locale, kind).trim_end().splitn(3, SEPARATOR);
    let mut part = || ENVIRONMENT.render_named_str("text", parts.next().unwrap_or_default(), &params);
    let (subject, short, text) = (part()?, part()?, part()?);
    let paragraphs: Vec<String> = text.split("\n\n").map(str::to_owned).collect();
    let html = context! { locale, subject => subject.clone(), paragraphs };
    let html = ENVIRONMENT.render_named_str("layout.html", LAYOUT, html)?;
    Ok(Rendered { subject, short, text: format!("{text}\n"), html })
}

/// Nothing that a person wrote may look like a line, a header or a direction of writing of ours. What is null is not there.
fn clean(params: &Value) -> Value {
    let mut params = clean_value(params);
    // An amount may come in two members, as it is in a request.
    if let (Some(Value::String(amount)), Some(Value::String(currency))) = (params.get("amount"), params.get("currency"))
    {
        params["amount"] = serde_json::json!({ "amount": amount, "currency": currency });
    }
    params
}

fn clean_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean_text(text)),
        Value::Array(items) => Value::Array(items.iter().map(clean_value).collect()),
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), clean_value(value))).collect())
        }
        other => other.clone(),
    }
}

fn clean_text(text: &str) -> String {
    let is_unseen =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let seen = text.chars().filter(|c| !is_unseen(*c)).map(|c| if c.is_control() { ' ' } else { c });
    seen.take(CHARACTERS_MAX).collect::<String>().trim().to_owned()
}

/// ₹1,00,000.00 as it is written in India, in both languages; other currencies by their code.
fn money_text(param: &minijinja::Value) -> Result<String, Error> {
    let wrong = || Error::new(ErrorKind::InvalidOperation, "not an amount");
    let (amount, currency) = (param.get_attr("amount")?, param.get_attr("currency")?);
    let currency = Currency::by_code(currency.as_str().unwrap_or_default()).ok_or_else(wrong)?;
    let minor = money::parse_minor(amount.as_str().unwrap_or_default(), currency).map_err(|_| wrong())?;
    let text = money::format_minor(minor, currency);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let is_rupee = currency.code() == "INR";
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        let is_boundary = if is_rupee { left == 3 || (left > 3 && left % 2 == 1) } else { left.is_multiple_of(3) };
        if index > 0 && is_boundary {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let unit = if is_rupee { "₹".to_owned() } else { format!("{} ", currency.code()) };
    let fraction = fraction.map_or(String::new(), |fraction| format!(".{fraction}"));
    Ok(format!("{unit}{sign}{grouped}{fraction}"))
}

/// Microseconds since 1970, or a text that says it already.
fn time_text(value: &minijinja::Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.replace('T', " ").replace('Z', " UTC"));
    }
    let micros = i64::try_from(value.clone())?;
    let time = jiff::Timestamp::from_second(micros / SECOND).unwrap_or(jiff::Timestamp::MAX);
    Ok(time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NASTY: &str = "<b>Asha</b>\r\nBcc: all@example.in\u{202e}&\"'{{ code }}";

    fn params(kind: Kind, with_optional: bool) -> Value {
        let mut params = serde_json::Map::new();
        let optional = if with_optional { kind.may_say() } else { &[] };
        for name in kind.must_say().iter().chain(optional) {
            let value = match *name {
                "amount" => json!({ "amount": "100000.00", "currency": "INR" }),
                "time" => json!(1_780_000_000_000_000i64),
                "minutes" => json!(10),
                "code" => json!("123456"),
                _ => json!(NASTY),
            };
            params.insert((*name).to_owned(), value);
        }
        Value::Object(params)
    }

    #[test]
    fn every_kind_is_written_in_every_language_whatever_people_write() {
        for &kind in Kind::ALL {
            for locale in crate::services::accounts::LOCALES {
                let about = format!("{} in {locale}", kind.name());
                for with_optional in [true, false] {
                    let rendered = render(kind, locale, &params(kind, with_optional)).expect(&about);
                    for part in [&rendered.subject, &rendered.short] {
                        assert!(!part.is_empty() && !part.contains(['\r', '\n']), "{about}: {part}");
                    }
                    assert!(!rendered.subject.contains("123456"), "{about}: a code in a subject");
                    assert!(rendered.html.contains(&format!("lang=\"{locale}\"")), "{about}");
                    assert!(!rendered.html.contains("<b>"), "{about}: {}", rendered.html);
                    assert!(!rendered.text.contains(['\r', '\u{202e}']), "{about}");
                    let lines = rendered.text.lines();
                    assert!(lines.into_iter().all(|line| !line.starts_with("Bcc")), "{about}: {}", rendered.text);
                }
                for name in kind.must_say() {
                    let mut params = params(kind, true);
                    params.as_object_mut().unwrap().remove(*name);
                    assert!(render(kind, locale, &params).is_err(), "{about}: {name} is in no part");
                }
                if kind.must_say().contains(&"amount") {
                    let rendered = render(kind, locale, &params(kind, true)).unwrap();
                    assert!(rendered.text.contains("₹1,00,000.00"), "{about}: {}", rendered.text);
                }
            }
        }
    }

    #[test]
    fn languages_are_different_and_unknown_ones_are_english() {
        for &kind in Kind::ALL {
            let [en, hi, other] = ["en", "hi", "fr"].map(|locale| render(kind, locale, &params(kind, true)).unwrap());
            assert_ne!(en.text, hi.text);
            assert_eq!(en, other);
        }
    }

    #[test]
    fn amounts_are_grouped_as_people_read_them() {
        let text = |amount: &str, currency: &str| {
            money_text(&context! { amount => amount.to_owned(), currency => currency.to_owned() }).ok()
        };
        for (amount, currency, shown) in [
            ("0.05", "INR", "₹0.05"),
            ("999.00", "INR", "₹999.00"),
            ("1000.00", "INR", "₹1,000.00"),
            ("12345678.90", "INR", "₹1,23,45,678.90"),
            ("1234567.00", "USD", "USD 1,234,567.00"),
            ("1000", "JPY", "JPY 1,000"),
        ] {
            assert_eq!(text(amount, currency).as_deref(), Some(shown));
        }
        assert_eq!(text("1.001", "INR"), None);
        assert_eq!(text("1.00", "XXX"), None);
    }

    #[test]
    fn an_amount_may_come_in_two_members() {
        let params = json!({ "code": "1", "minutes": 10, "amount": "5.00", "currency": "INR", "payee": "Ravi" });
        assert!(render(Kind::Code, "en", &params).unwrap().text.contains("₹5.00"));
    }
}
