//! Payments, requests for money, and moves between a bank and the wallet, on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::json;
use super::money::{Money, RawMoney};
use super::raw::{Raw, required};
use super::scalar::{Id, Time};
use super::transfer::{TransferAnswer, line};
use crate::http::problem::{Code, Problem};
use crate::ledger::{Amount, Currency, WalletId};
use crate::services::bank_moves::{self, BankAccount};
use crate::services::money_requests::{EXPIRES_IN_DAYS_DEFAULT, EXPIRES_IN_DAYS_MAX, Seen as SeenRequest};
use crate::services::payees::PayeeAddress;
use crate::services::payments::Paid;
use crate::store::bank_moves::{Kind, State};
use crate::store::money_requests::{Direction, State as RequestState};

/// A payment out of the caller's own wallet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentRequest)]
pub struct PaymentRequest<'a> {
    #[serde(borrow, default, deserialize_with = "json::object")]
    #[schema(value_type = PayeeRequest)]
    to: Option<PayeeRequest<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// Up to 140 characters, for both to read.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "Dinner")]
    note: Option<Raw<'a>>,
}

/// Somebody who can be paid, or asked for money: just one of these.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Payee)]
pub struct PayeeRequest<'a> {
    /// With its country's code.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "+91 98765 43210")]
    phone: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    email: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    handle: Option<Raw<'a>>,
    /// Somebody's wallet.
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    wallet: Option<Raw<'a>>,
    /// A merchant's account.
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    merchant: Option<Raw<'a>>,
}

/// A payment that is durable: its transfer, and whom it went to.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentAnswer<'a> {
    #[serde(flatten)]
    transfer: TransferAnswer<'a>,
    payee: PayeeAnswer<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PayeeShown)]
pub struct PayeeAnswer<'a> {
    /// A merchant's name; of a person the first name and an initial.
    #[schema(example = "Asha R.")]
    name: &'a str,
}

/// A request to somebody for money.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MoneyRequestRequest)]
pub struct MoneyRequestRequest<'a> {
    #[serde(borrow, default, deserialize_with = "json::object")]
    #[schema(value_type = PayeeRequest)]
    from: Option<PayeeRequest<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// Up to 140 characters, for both to read.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    note: Option<Raw<'a>>,
    /// 1 to 90; default 14.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, example = 14)]
    expires_in_days: Option<Raw<'a>>,
}

/// A request for money, as one of the two sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = MoneyRequest)]
pub struct MoneyRequestAnswer {
    id: Id,
    /// in: the caller is asked; out: the caller asks.
    #[schema(example = "out")]
    direction: &'static str,
    /// The other one's name, as he is shown to payers.
    counterparty: String,
    amount: Money,
    note: Option<String>,
    /// open, paid, declined, cancelled or expired.
    #[schema(example = "open")]
    state: &'static str,
    created_at: Time,
    expires_at: Time,
    /// When it came into this state.
    changed_at: Time,
}

/// Money to be brought from a bank account into the wallet, or back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BankMoveRequest)]
pub struct BankMoveRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// The number of the account, 6 to 34 letters and digits.
    #[serde(borrow)]
    #[schema(value_type = String, example = "IN123456789012")]
    bank_account: Option<Raw<'a>>,
}

/// Money on its way between a bank account and the wallet.
#[derive(Serialize, ToSchema)]
#[schema(as = BankMove)]
pub struct BankMoveAnswer {
    id: Id,
    /// pending, completed or failed.
    #[schema(example = "pending")]
    state: &'static str,
    amount: Money,
    /// Its last digits.
    #[schema(example = "••••9012")]
    bank_account: String,
    wallet: Id,
    /// The bank's own name for it.
    bank_reference: Option<String>,
    /// Why it failed, or will: the bank's reason.
    failure: Option<String>,
    /// What has become of it so far, oldest first.
    changes: Vec<ChangeAnswer>,
    created_at: Time,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BankMoveChange)]
pub struct ChangeAnswer {
    /// begun, taken (out of the wallet), bank_settled or bank_failed, completed or failed.
    #[schema(example = "begun")]
    what: &'static str,
    at: Time,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<PaymentRequest<'_>>(list);
    add::<PayeeRequest<'_>>(list);
    add::<PaymentAnswer<'_>>(list);
    add::<PayeeAnswer<'_>>(list);
    add::<MoneyRequestRequest<'_>>(list);
    add::<MoneyRequestAnswer>(list);
    add::<BankMoveRequest<'_>>(list);
    add::<BankMoveAnswer>(list);
    add::<ChangeAnswer>(list);
}

/// Who, how much, and what is written on it.
pub type PaymentParts = (PayeeAddress, (Amount, Currency), Option<Box<str>>);

impl PaymentRequest<'_> {
    pub fn parts(&self) -> Result<PaymentParts, Problem> {
        let to = required(&self.to, "to")?.address("to")?;
        Ok((to, required(&self.amount, "amount")?.amount("amount")?, line(&self.note, "note")?))
    }
}

impl PayeeRequest<'_> {
    fn address(&self, field: &str) -> Result<PayeeAddress, Problem> {
        let text = |raw: &Raw<'_>, name: &str| raw.text(&format!("{field}.{name}")).map(str::to_owned);
        let id = |raw: &Raw<'_>, name: &str| raw.id(&format!("{field}.{name}"));
        match (&self.phone, &self.email, &self.handle, &self.wallet, &self.merchant) {
            (Some(raw), None, None, None, None) => Ok(PayeeAddress::Phone(text(raw, "phone")?)),
            (None, Some(raw), None, None, None) => Ok(PayeeAddress::Email(text(raw, "email")?)),
            (None, None, Some(raw), None, None) => Ok(PayeeAddress::Handle(text(raw, "handle")?)),
            (None, None, None, Some(raw), None) => Ok(PayeeAddress::Wallet(WalletId(id(raw, "wallet")?))),
            (None, None, None, None, Some(raw)) => Ok(PayeeAddress::Merchant(Uuid::from_u128(id(raw, "merchant")?))),
            _ => {
                let detail = format!("`{field}` has just one of phone, email, handle, wallet and merchant.");
                Err(Problem::new(Code::InvalidRequest, detail))
            }
        }
    }
}

impl<'a> PaymentAnswer<'a> {
    pub fn new(paid: &'a Paid) -> PaymentAnswer<'a> {
        PaymentAnswer {
            transfer: TransferAnswer::new(&paid.transfer, paid.receipt.time_micros, paid.receipt.lsn),
            payee: PayeeAnswer { name: &paid.payee_name },
        }
    }
}

impl MoneyRequestRequest<'_> {
    /// The last is after how many days it expires.
    pub fn parts(&self) -> Result<(PaymentParts, u64), Problem> {
        let from = required(&self.from, "from")?.address("from")?;
        let amount = required(&self.amount, "amount")?.amount("amount")?;
        let days = self.expires_in_days.as_ref().map(|raw| raw.unsigned("expires_in_days")).transpose()?;
        let days = days.unwrap_or(EXPIRES_IN_DAYS_DEFAULT);
        if !(1..=EXPIRES_IN_DAYS_MAX).contains(&days) {
            let detail = format!("`expires_in_days` is not between 1 and {EXPIRES_IN_DAYS_MAX}.");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(((from, amount, line(&self.note, "note")?), days))
    }
}

impl MoneyRequestAnswer {
    pub fn new(seen: SeenRequest) -> MoneyRequestAnswer {
        let SeenRequest { row, currency, name, note, direction, .. } = seen;
        MoneyRequestAnswer {
            id: Id(row.id.as_u128()),
            direction: if direction == Direction::In { "in" } else { "out" },
            counterparty: name,
            amount: Money::new(row.amount, currency),
            note,
            // While the ledger is asked, nothing has been decided.
            state: if row.state == RequestState::Paying { RequestState::Open.name() } else { row.state.name() },
            created_at: Time::of(row.created_at),
            expires_at: Time::of(row.expires_at),
            changed_at: Time::of(row.changed_at),
        }
    }
}

impl BankMoveRequest<'_> {
    pub fn parts(&self) -> Result<((Amount, Currency), BankAccount), Problem> {
        let amount = required(&self.amount, "amount")?.amount("amount")?;
        let account = BankAccount::parse(required(&self.bank_account, "bank_account")?.text("bank_account")?)?;
        Ok((amount, account))
    }
}

impl BankMoveAnswer {
    pub fn new(seen: bank_moves::Seen) -> BankMoveAnswer {
        let bank_moves::Seen { row, currency, bank_account, .. } = seen;
        let bank_said = if row.bank_reference.is_some() { "bank_settled" } else { "bank_failed" };
        let changes = [
            ("begun", Some(row.created_at)),
            ("taken", row.taken_at.filter(|_| row.kind == Kind::Withdrawal)),
            (bank_said, row.bank_ended_at),
            (if row.state == State::Completed { "completed" } else { "failed" }, row.ended_at),
        ];
        let changes = changes.into_iter().filter_map(|(what, at)| Some(ChangeAnswer { what, at: Time::of(at?) }));
        BankMoveAnswer {
            id: Id(row.id.as_u128()),
            state: row.state.name(),
            amount: Money::new(row.amount, currency),
            bank_account,
            wallet: Id(row.wallet.as_u128()),
            bank_reference: row.bank_reference,
            failure: row.failure,
            changes: changes.collect(),
            created_at: Time::of(row.created_at),
        }
    }
}
