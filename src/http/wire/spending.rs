//! Spending limits on the wire, and what has been spent.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::money::{Money, RawMoney};
use super::raw::Raw;
use super::scalar::{Id, Time};
use crate::engine::WalletView;
use crate::http::problem::{Code, Problem};
use crate::ledger::{Amount, Currency, Reject, SpendingLimits, UtcOffset};
use crate::services::spending_limits::{Change, Seen};
use crate::store::spending_limits::{Raise, Raises};

/// The limits that a wallet is to have. What is null, or not there, is not limited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SpendingLimitsRequest)]
pub struct SpendingLimitsRequest<'a> {
    /// The most that may leave the wallet in one payment.
    #[serde(borrow)]
    per_payment: Option<RawMoney<'a>>,
    /// The most in a day; open holds count until they end.
    #[serde(borrow)]
    per_day: Option<RawMoney<'a>>,
    /// The most in a month.
    #[serde(borrow)]
    per_month: Option<RawMoney<'a>>,
    /// Where days and months begin: ahead of UTC by this, at most 18 hours either way; "+00:00" by default.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "+05:30")]
    utc_offset: Option<Raw<'a>>,
}

/// The limits of a wallet, and what has been spent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SpendingLimits)]
pub struct SpendingLimitsAnswer {
    wallet: Id,
    #[schema(example = "INR")]
    currency: &'static str,
    /// null: not limited.
    per_payment: Option<Money>,
    /// null: not limited.
    per_day: Option<Money>,
    /// null: not limited.
    per_month: Option<Money>,
    #[schema(example = "+05:30")]
    utc_offset: String,
    /// null where nothing is limited: then nothing is counted.
    today: Option<SpentAnswer>,
    /// null where nothing is limited: then nothing is counted.
    this_month: Option<SpentAnswer>,
    /// The position in the log that this is settled up to.
    lsn: u64,
}

/// The limits that a person wants to have. What is not there stays as it is; null takes the limit away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MyLimitsRequest)]
pub struct MyLimitsRequest<'a> {
    /// The most that may leave the wallet in one payment.
    #[serde(borrow, default, deserialize_with = "named")]
    #[schema(value_type = Option<Money>)]
    per_payment: Option<Option<RawMoney<'a>>>,
    /// The most in a day; open holds count until they end.
    #[serde(borrow, default, deserialize_with = "named")]
    #[schema(value_type = Option<Money>)]
    per_day: Option<Option<RawMoney<'a>>>,
    /// The most in a month.
    #[serde(borrow, default, deserialize_with = "named")]
    #[schema(value_type = Option<Money>)]
    per_month: Option<Option<RawMoney<'a>>>,
    /// Where days and months begin: ahead of UTC by this, at most 18 hours either way.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "+05:30")]
    utc_offset: Option<Raw<'a>>,
}

/// What is in force, and of what it is made: of each limit the lesser of one's own and the operator's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyLimits)]
pub struct MyLimitsAnswer {
    #[serde(flatten)]
    in_force: SpendingLimitsAnswer,
    own: OwnLimitsAnswer,
    operator: OwnLimitsAnswer,
    /// What becomes of one's own limits later.
    raises: Vec<RaiseAnswer>,
}

/// What somebody has set. null: he limits nothing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnLimits)]
pub struct OwnLimitsAnswer {
    per_payment: Option<Money>,
    per_day: Option<Money>,
    per_month: Option<Money>,
    #[schema(example = "+05:30")]
    utc_offset: String,
}

/// A raise that waits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitRaise)]
pub struct RaiseAnswer {
    /// per_payment, per_day, per_month or utc_offset.
    #[schema(example = "per_day")]
    limit: &'static str,
    /// null: not limited any more, or another `utc_offset`.
    to: Option<Money>,
    #[schema(example = "+05:30")]
    utc_offset: Option<String>,
    /// It is in force within seconds from then on.
    in_force_at: Time,
}

/// What has left a wallet in a day or month since it has limits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Spent)]
pub struct SpentAnswer {
    spent: Money,
    /// What may still leave it, with all that is put aside for payments under way and open holds taken off; null: without
    /// limit.
    left: Option<Money>,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<SpentAnswer>(list);
    add::<MyLimitsRequest<'_>>(list);
    add::<MyLimitsAnswer>(list);
    add::<OwnLimitsAnswer>(list);
    add::<RaiseAnswer>(list);
}

impl SpendingLimitsRequest<'_> {
    pub fn limits(&self, currency: Currency) -> Result<SpendingLimits, Problem> {
        let limit =
            |raw: &Option<RawMoney<'_>>, field| raw.as_ref().map(|raw| amount(raw, currency, field)).transpose();
        Ok(SpendingLimits {
            per_payment: limit(&self.per_payment, "per_payment")?,
            per_day: limit(&self.per_day, "per_day")?,
            per_month: limit(&self.per_month, "per_month")?,
            utc_offset: match &self.utc_offset {
                None => UtcOffset::default(),
                Some(raw) => parse_offset(raw.text("utc_offset")?)?,
            },
        })
    }
}

impl MyLimitsRequest<'_> {
    pub fn change(&self, currency: Currency) -> Result<Change, Problem> {
        let limit = |named: &Option<Option<RawMoney<'_>>>, field| {
            let of_currency = |raw: &RawMoney<'_>| amount(raw, currency, field);
            named.as_ref().map(|wanted| wanted.as_ref().map(of_currency).transpose()).transpose()
        };
        Ok(Change {
            per_payment: limit(&self.per_payment, "per_payment")?,
            per_day: limit(&self.per_day, "per_day")?,
            per_month: limit(&self.per_month, "per_month")?,
            utc_offset: self.utc_offset.as_ref().map(|raw| parse_offset(raw.text("utc_offset")?)).transpose()?,
        })
    }
}

impl MyLimitsAnswer {
    pub fn new(seen: &Seen, now_micros: u64) -> MyLimitsAnswer {
        let currency = seen.view.wallet.currency();
        let money = |amount: Amount| Money::new(amount.minor(), currency);
        let of = |limits: SpendingLimits| OwnLimitsAnswer {
            per_payment: limits.per_payment.map(money),
            per_day: limits.per_day.map(money),
            per_month: limits.per_month.map(money),
            utc_offset: format_offset(limits.utc_offset),
        };
        let Raises { per_payment, per_day, per_month, utc_offset } = seen.limits.raises;
        let amounts = [("per_payment", per_payment), ("per_day", per_day), ("per_month", per_month)];
        let amounts = amounts.into_iter().filter_map(|(limit, raise)| {
            let Raise { to, at } = raise?;
            Some(RaiseAnswer { limit, to: to.map(money), utc_offset: None, in_force_at: Time::of(at) })
        });
        let offset = utc_offset.map(|Raise { to, at }| RaiseAnswer {
            limit: "utc_offset",
            to: None,
            utc_offset: Some(format_offset(to)),
            in_force_at: Time::of(at),
        });
        MyLimitsAnswer {
            in_force: SpendingLimitsAnswer::new(&seen.view, now_micros),
            own: of(seen.limits.own),
            operator: of(seen.limits.operators),
            raises: amounts.chain(offset).collect(),
        }
    }
}

impl SpendingLimitsAnswer {
    pub fn new(view: &WalletView, now_micros: u64) -> SpendingLimitsAnswer {
        let wallet = &view.wallet;
        let limits = view.spending.map_or_else(SpendingLimits::default, |spending| spending.limits());
        let spent = view.spending.map(|spending| spending.spent_at(now_micros));
        let money = |amount: Amount| Money::new(amount.minor(), wallet.currency());
        let aside = i128::from(wallet.reserved()) + i128::from(wallet.held());
        let told = |spent: i64, limit: Option<Amount>| SpentAnswer {
            spent: Money::new(spent, wallet.currency()),
            left: limit.map(|limit| Money {
                minor: (i128::from(limit.minor()) - i128::from(spent) - aside).max(0),
                currency: wallet.currency(),
            }),
        };
        SpendingLimitsAnswer {
            wallet: Id(wallet.id().0),
            currency: wallet.currency().code(),
            per_payment: limits.per_payment.map(money),
            per_day: limits.per_day.map(money),
            per_month: limits.per_month.map(money),
            utc_offset: format_offset(limits.utc_offset),
            today: spent.map(|spent| told(spent.day, limits.per_day)),
            this_month: spent.map(|spent| told(spent.month, limits.per_month)),
            lsn: view.lsn,
        }
    }
}

/// As in RFC 3339: a sign, two digits of hours, two of minutes.
fn parse_offset(text: &str) -> Result<UtcOffset, Problem> {
    let parsed = || {
        let (hours, minutes) = text.get(1..)?.split_once(':')?;
        let digits = |part: &str| (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then_some(());
        digits(hours).and(digits(minutes))?;
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let ahead = (minutes < 60).then_some(hours * 60 + minutes)?;
        UtcOffset::from_minutes(match text.as_bytes()[0] {
            b'+' => ahead,
            b'-' => -ahead,
            _ => return None,
        })
    };
    parsed().ok_or_else(|| {
        let detail = "`utc_offset` is not an offset like \"+05:30\", of at most 18 hours.";
        Problem::new(Code::InvalidRequest, detail)
    })
}

fn amount(raw: &RawMoney<'_>, currency: Currency, field: &str) -> Result<Amount, Problem> {
    match raw.amount(field)? {
        (amount, of) if of == currency => Ok(amount),
        _ => Err(Problem::from(Reject::CurrencyMismatch)),
    }
}

/// A member that is there, if only as null.
fn named<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<RawMoney<'a>>>, D::Error> {
    Option::<RawMoney<'a>>::deserialize(deserializer).map(Some)
}

fn format_offset(offset: UtcOffset) -> String {
    let minutes = offset.minutes();
    let sign = if minutes < 0 { '-' } else { '+' };
    let ahead = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", ahead / 60, ahead % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_and_written() {
        for (text, minutes) in [("+00:00", 0), ("+05:30", 330), ("-09:30", -570), ("+18:00", 1080), ("-00:01", -1)] {
            let offset = parse_offset(text).unwrap();
            assert_eq!((offset.minutes(), format_offset(offset).as_str()), (minutes, text));
        }
        assert_eq!(parse_offset("-00:00").unwrap(), UtcOffset::default());
        for text in
            ["", "+", "Z", "05:30", "+5:30", "+0530", "+05:60", "+18:01", "-99:00", "+05:3\u{663}", "+-5:30", "€5:30"]
        {
            assert_eq!(parse_offset(text).unwrap_err().code, Code::InvalidRequest, "{text}");
        }
    }
}
