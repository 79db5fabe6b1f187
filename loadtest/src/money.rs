//! Amounts as they stand on the wire: integer minor units in, exact decimal text out, and back. The
//! currencies are those a load test is likely to use; the server knows them all.

/// A currency: its code, its ISO 4217 number (for the binary format), its digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency {
    pub code: &'static str,
    pub number: u16,
    pub digits: u32,
}

#[rustfmt::skip]
const CURRENCIES: &[(&str, u16, u32)] = &[
    ("AED", 784, 2), ("AUD", 36, 2), ("BDT", 50, 2), ("BHD", 48, 3), ("BRL", 986, 2), ("CAD", 124, 2),
    ("CHF", 756, 2), ("CLP", 152, 0), ("CNY", 156, 2), ("CZK", 203, 2), ("DKK", 208, 2), ("EUR", 978, 2),
    ("GBP", 826, 2), ("HKD", 344, 2), ("HUF", 348, 2), ("IDR", 360, 2), ("ILS", 376, 2), ("INR", 356, 2),
    ("ISK", 352, 0), ("JPY", 392, 0), ("KES", 404, 2), ("KRW", 410, 0), ("KWD", 414, 3), ("LKR", 144, 2),
    ("MXN", 484, 2), ("MYR", 458, 2), ("NGN", 566, 2), ("NOK", 578, 2), ("NPR", 524, 2), ("NZD", 554, 2),
    ("OMR", 512, 3), ("PHP", 608, 2), ("PKR", 586, 2), ("PLN", 985, 2), ("RON", 946, 2), ("SAR", 682, 2),
    ("SEK", 752, 2), ("SGD", 702, 2), ("THB", 764, 2), ("TND", 788, 3), ("TRY", 949, 2), ("UAH", 980, 2),
    ("USD", 840, 2), ("VND", 704, 0), ("ZAR", 710, 2),
];

/// What is wrong with a currency or an amount.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("'{0}' is not a currency known here: give an ISO 4217 code, such as INR, EUR or JPY")]
    Currency(String),
    #[error("'{0}' is not an amount: give digits with at most {1} after the point")]
    Amount(String, u32),
}

impl Currency {
    pub fn from_code(code: &str) -> Result<Self, MoneyError> {
        CURRENCIES
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(code))
            .map(|&(code, number, digits)| Self { code, number, digits })
            .ok_or_else(|| MoneyError::Currency(code.to_owned()))
    }

    /// The amount's minor units, from exact decimal text with an optional minus.
    pub fn parse(&self, text: &str) -> Result<i64, MoneyError> {
        let wrong = || MoneyError::Amount(text.to_owned(), self.digits);
        let decimal = rust_decimal::Decimal::from_str_exact(text).map_err(|_| wrong())?;
        let scale = rust_decimal::Decimal::from(10_u64.pow(self.digits));
        let minor = decimal.checked_mul(scale).ok_or_else(wrong)?;
        if minor.fract().is_zero() { i64::try_from(minor).map_err(|_| wrong()) } else { Err(wrong()) }
    }

    /// Appends an amount of minor units as decimal text with all its digits.
    pub fn write(&self, minor: u64, out: &mut Vec<u8>) {
        // Digits are laid down from the right; 20 of them, a point and leading zeros fit.
        let mut text = [b'0'; 32];
        let (mut at, mut left, mut placed) = (text.len(), minor, 0);
        loop {
            if placed == self.digits && self.digits > 0 {
                at -= 1;
                text[at] = b'.';
            }
            at -= 1;
            text[at] = b'0' + u8::try_from(left % 10).expect("a digit fits a byte");
            left /= 10;
            placed += 1;
            if left == 0 && placed > self.digits {
                break;
            }
        }
        out.extend_from_slice(&text[at..]);
    }

    /// An amount as text, with a minus if it is below zero.
    pub fn text(&self, minor: i64) -> String {
        let mut out = if minor < 0 { vec![b'-'] } else { Vec::new() };
        self.write(minor.unsigned_abs(), &mut out);
        String::from_utf8(out).expect("digits, a point and a minus are ASCII")
    }
}

/// Reads a decimal that stands as text in JSON; a JSON number is refused, because it may not be exact.
pub fn exact<'de, D: serde::Deserializer<'de>>(input: D) -> Result<rust_decimal::Decimal, D::Error> {
    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(input)?;
    rust_decimal::Decimal::from_str_exact(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_there_and_back() {
        let check = |code: &str, minor: i64, text: &str| {
            let currency = Currency::from_code(code).unwrap();
            assert_eq!(currency.text(minor), text);
            assert_eq!(currency.parse(text), Ok(minor));
        };
        check("INR", 50_000, "500.00");
        check("INR", 5, "0.05");
        check("INR", 0, "0.00");
        check("INR", -12_345, "-123.45");
        check("JPY", 7, "7");
        check("JPY", 1_200, "1200");
        check("KWD", 1, "0.001");
        check("EUR", i64::MAX, "92233720368547758.07");
    }

    #[test]
    fn wrong_amounts() {
        let inr = Currency::from_code("inr").unwrap();
        for wrong in ["", "1.005", "x", "1,00", "1e3", "99999999999999999999"] {
            assert!(inr.parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(inr.parse("3"), Ok(300));
        assert!(Currency::from_code("XXY").is_err());
    }
}
