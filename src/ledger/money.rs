//! Amounts: whole minor units (paise, cents, fils), and their text in major units.
//! Decimals exist only here, where text is read or written.

use std::num::NonZero;

use rust_decimal::Decimal;

use super::currency::Currency;

/// An amount of money above zero, in minor units of some currency: at most 2^63 - 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Amount(NonZero<i64>);

/// Why a text is not an amount of a currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    #[error("not a decimal number: write digits, and a point if needed, like \"500.00\"")]
    NotADecimal,
    #[error("more digits after the point than {currency} has, which is {}", currency.exponent())]
    TooManyDigits { currency: Currency },
    #[error("larger than the largest amount, which is {} {currency}", format_minor(i64::MAX, *currency))]
    TooLarge { currency: Currency },
    #[error("not above zero")]
    NotPositive,
}

/// Longest text that is looked at: a sign, 19 digits, a point, 4 digits, and leading zeros to spare.
const TEXT_BYTES_MAX: usize = 32;

impl Amount {
    pub fn new(minor: i64) -> Option<Amount> {
        NonZero::new(minor).filter(|minor| minor.is_positive()).map(Amount)
    }

    pub fn minor(self) -> i64 {
        self.0.get()
    }

    /// Reads a decimal string in major units: "500.00" of INR is 50000 minor units.
    pub fn parse(text: &str, currency: Currency) -> Result<Amount, AmountError> {
        Amount::new(parse_minor(text, currency)?).ok_or(AmountError::NotPositive)
    }
}

/// Reads a decimal string in major units, with a sign if it has one, exactly.
pub fn parse_minor(text: &str, currency: Currency) -> Result<i64, AmountError> {
    // rust_decimal reads "1e3", "1_000" and "+1", and rounds surplus digits: the text is
    // checked before it sees it.
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(AmountError::NotADecimal),
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(AmountError::NotADecimal);
    }
    let exponent = currency.exponent();
    if u32::try_from(fraction.len()).is_ok_and(|length| length > exponent) {
        return Err(AmountError::TooManyDigits { currency });
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(AmountError::TooLarge { currency });
    }
    let major = Decimal::from_str_exact(text).map_err(|_| AmountError::TooLarge { currency })?;
    let minor = major.checked_mul(Decimal::from(10u32.pow(exponent))).ok_or(AmountError::TooLarge { currency })?;
    i64::try_from(minor).map_err(|_| AmountError::TooLarge { currency })
}

/// Writes minor units as a decimal string in major units, with all of the currency's digits.
pub fn format_minor(minor: i64, currency: Currency) -> String {
    Decimal::from_i128_with_scale(i128::from(minor), currency.exponent()).to_string()
}

/// The same for a sum over many wallets, which may need more than 64 bits.
pub fn format_sum(minor: i128, currency: Currency) -> String {
    Decimal::try_from_i128_with_scale(minor, currency.exponent())
        .map_or_else(|_| format!("{minor}E-{}", currency.exponent()), |sum| sum.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::by_code(code).expect("in the list")
    }

    #[test]
    fn text_is_read_exactly() {
        for (text, code, minor) in [
            ("500.00", "INR", 50_000),
            ("500", "INR", 50_000),
            ("500.5", "INR", 50_050),
            ("0.01", "INR", 1),
            ("007", "JPY", 7),
            ("1.234", "KWD", 1_234),
            ("-3.10", "INR", -310),
            ("0", "INR", 0),
            ("92233720368547758.07", "INR", i64::MAX),
            ("9223372036854775807", "JPY", i64::MAX),
            ("-9223372036854775808", "JPY", i64::MIN),
        ] {
            assert_eq!(parse_minor(text, currency(code)), Ok(minor), "{text} {code}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let inr = currency("INR");
        for text in [
            "", "-", ".", "1.", ".5", "1e3", "1E3", "+1", " 1", "1 ", "1,000", "1_000", "0x10", "NaN", "--1", "1.2.3",
            "١",
        ] {
            assert_eq!(parse_minor(text, inr), Err(AmountError::NotADecimal), "{text:?}");
        }
        let digits = AmountError::TooManyDigits { currency: inr };
        for text in ["1.000", "0.001", "1.123456789012345678901234567890123"] {
            assert_eq!(parse_minor(text, inr), Err(digits), "{text}");
        }
        let large = AmountError::TooLarge { currency: inr };
        for text in ["92233720368547758.08", "9223372036854775808", "99999999999999999999999999999999999999999999"] {
            assert_eq!(parse_minor(text, inr), Err(large), "{text}");
        }
        assert_eq!(Amount::parse("0.00", inr), Err(AmountError::NotPositive));
        assert_eq!(Amount::parse("-1", inr), Err(AmountError::NotPositive));
    }

    #[test]
    fn text_is_written_with_all_digits() {
        for (minor, code, text) in [
            (50_000, "INR", "500.00"),
            (1, "INR", "0.01"),
            (-1, "INR", "-0.01"),
            (0, "KWD", "0.000"),
            (7, "JPY", "7"),
            (i64::MIN, "JPY", "-9223372036854775808"),
        ] {
            assert_eq!(format_minor(minor, currency(code)), text);
            assert_eq!(parse_minor(text, currency(code)), Ok(minor));
        }
    }
}
