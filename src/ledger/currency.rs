//! Currencies by ISO 4217. The list is data (`currencies.csv`, the active codes of ISO 4217
//! list one with a minor unit); a currency is its number from that list.

use std::fmt;
use std::sync::LazyLock;

/// A currency of ISO 4217, by its number. Only currencies of the list can be built.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(u16);

/// The largest exponent in the list: CLF and UYW have four digits after the point.
pub const EXPONENT_MAX: u32 = 4;

const NUMBERS: usize = 1000;

struct Row {
    code: &'static str,
    exponent: u32,
}

struct Table {
    by_number: Vec<Option<Row>>,
    codes: Vec<(&'static str, Currency)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| load(include_str!("currencies.csv")));

impl Currency {
    /// By its three letters, in capitals.
    pub fn by_code(code: &str) -> Option<Currency> {
        let codes = &TABLE.codes;
        let index = codes.binary_search_by_key(&code, |row| row.0).ok()?;
        Some(codes[index].1)
    }

    /// By its ISO 4217 number.
    pub fn by_number(number: u16) -> Option<Currency> {
        let row = TABLE.by_number.get(usize::from(number))?;
        row.as_ref().map(|_| Currency(number))
    }

    pub fn all() -> impl Iterator<Item = Currency> {
        TABLE.codes.iter().map(|row| row.1)
    }

    pub fn number(self) -> u16 {
        self.0
    }

    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Digits after the point: 2 for INR, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        self.row().exponent
    }

    fn row(self) -> &'static Row {
        TABLE.by_number[usize::from(self.0)].as_ref().expect("a Currency is only built from the list")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

fn load(text: &'static str) -> Table {
    let mut by_number: Vec<Option<Row>> = (0..NUMBERS).map(|_| None).collect();
    let mut codes = Vec::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let mut field = || fields.next().expect("a row of currencies.csv has three fields");
        let (code, number, exponent) = (field(), field(), field());
        let number: u16 = number.parse().expect("the number is three digits");
        let exponent: u32 = exponent.parse().expect("the exponent is a digit");
        assert!(exponent <= EXPONENT_MAX && code.len() == 3, "currencies.csv: {line}");
        codes.push((code, Currency(number)));
        let previous = by_number[usize::from(number)].replace(Row { code, exponent });
        assert!(previous.is_none(), "currencies.csv lists {number} twice");
    }
    assert!(codes.is_sorted_by(|a, b| a.0 < b.0), "currencies.csv is sorted by code");
    Table { by_number, codes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_follow_the_list() {
        for (code, exponent) in [("INR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("CZK", 2)] {
            let currency = Currency::by_code(code).expect("in the list");
            assert_eq!(currency.exponent(), exponent, "{code}");
            assert_eq!(Currency::by_number(currency.number()), Some(currency));
            assert_eq!(currency.to_string(), code);
        }
    }

    #[test]
    fn unknown_ones_are_not_built() {
        for code in ["", "inr", "XXX", "INRS", "IN"] {
            assert_eq!(Currency::by_code(code), None, "{code}");
        }
        for number in [0, 1, 999, 1000, u16::MAX] {
            assert_eq!(Currency::by_number(number), None, "{number}");
        }
        assert!(Currency::all().count() > 140);
    }
}
