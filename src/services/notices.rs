//! Notices: what people are told. A service writes one into the outbox in the transaction of what it tells of; the notifier
//! sends it afterwards, so that nothing waits for a mail server.

use serde_json::Value;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::Services;
use super::fault::Fault;
use crate::store::AddressKind;
use crate::store::accounts::named;
use crate::store::outbox::{self, Entry};

named! {
    /// What is told. Each has its templates.
    Kind {
        Code = "code",
        Welcome = "welcome",
        MoneyIn = "money_in",
        MoneyOut = "money_out",
        PaymentFailed = "payment_failed",
        MoneyRequested = "money_requested",
        SignedIn = "signed_in",
        SecurityChanged = "security_changed",
        AccountChanged = "account_changed",
    }
}

impl Kind {
    /// What a notice of this kind has to say; a template may use nothing else but what [`Kind::may_say`] names. Amounts are
    /// `{"amount": "500.00", "currency": "INR"}`, times microseconds since 1970, everything else is text.
    pub fn must_say(self) -> &'static [&'static str] {
        match self {
            Kind::Code => &["code", "minutes"],
            Kind::Welcome => &["name"],
            Kind::MoneyIn | Kind::MoneyOut => &["amount", "time"],
            Kind::PaymentFailed => &["amount", "reason"],
            Kind::MoneyRequested => &["amount", "counterparty"],
            Kind::SignedIn => &["device", "network_address", "time"],
            Kind::SecurityChanged => &["what", "time"],
            Kind::AccountChanged => &["what"],
        }
    }

    /// What it says if it is there and not null. A code that confirms a payment has its `amount` and `payee`; `counterparty` is
    /// a name as the other side may see it.
    pub fn may_say(self) -> &'static [&'static str] {
        match self {
            Kind::Code => &["amount", "payee"],
            Kind::MoneyIn | Kind::MoneyOut => &["counterparty", "reference"],
            Kind::PaymentFailed => &["counterparty"],
            Kind::MoneyRequested => &["reference"],
            Kind::AccountChanged => &["reason"],
            Kind::Welcome | Kind::SignedIn | Kind::SecurityChanged => &[],
        }
    }

    /// Codes, and what tells of a thief: nobody can switch these off.
    pub fn is_wanted_always(self) -> bool {
        matches!(self, Kind::Code | Kind::SignedIn | Kind::SecurityChanged | Kind::AccountChanged)
    }
}

/// Whom it is for.
#[derive(Clone, Debug)]
pub enum To {
    Account(Uuid),
    /// Somebody of whom only an address is known, such as one who registers; email or phone.
    Address {
        kind: AddressKind,
        address: String,
    },
}

#[derive(Clone, Debug)]
pub struct Notice {
    /// The same id twice is the same notice.
    pub id: Uuid,
    pub to: To,
    pub locale: String,
    pub kind: Kind,
    /// What the template needs; sealed in the database.
    pub params: Value,
    /// Not sent after this time.
    pub expires_at: Option<i64>,
}

/// Writes it; it is sent if the transaction is committed.
pub async fn enqueue(services: &Services, c: &mut AnyConnection, notice: &Notice) -> Result<(), Fault> {
    let is_missing = |name: &&&str| notice.params.get(**name).is_none_or(Value::is_null);
    if let Some(missing) = notice.kind.must_say().iter().find(is_missing) {
        return Err(Fault::Broken { what: format!("a notice of kind {} without {missing}", notice.kind.name()) });
    }
    let seal = &services.seal;
    let (account, channel, address_sealed) = match &notice.to {
        To::Account(account) => (Some(*account), None, None),
        To::Address { kind, address } => (None, Some(kind.name()), Some(seal.seal("outbox.address", address))),
    };
    let entry = Entry {
        id: notice.id,
        account,
        channel,
        address_sealed,
        locale: notice.locale.clone(),
        kind: notice.kind.name(),
        params_sealed: seal.seal("outbox.params", &notice.params.to_string()),
        created_at: services.now(),
        expires_at: notice.expires_at,
    };
    Ok(outbox::insert(c, &entry).await?)
}
