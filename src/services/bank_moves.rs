//! Money from a bank account into a wallet, and back. Each is a row that goes through its steps once, whatever crashes and
//! however often the bank's answers are lost or doubled: a step's transfer has an id made from the row's, an order at the bank
//! has the row's own, and asking twice is asking once.
//!
//! A top-up asks the bank, and books what came. A withdrawal takes the money into the wallet of what is in transit, asks the
//! bank, and then settles, or gives the money back.

mod steps;

use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::clock::SECOND;
use super::fault::{Fault, Why};
use super::payments::refused;
use super::{Principal, Services, accounts, crash, money_requests, payees, standing, step_up};
use crate::ledger::{Amount, Currency, Reject, WalletId};
use crate::store::StoreError;
use crate::store::bank_moves::{self, BankMove, Kind, State, Step};

pub use steps::{run, settlement_wallet, transit_wallet};

/// The name of the job that takes the steps.
pub const JOB: &str = "bank";

/// While the request takes the first step itself, nobody else does.
const HEAD_START: i64 = 3 * SECOND;

/// What somebody asks for.
#[derive(Debug)]
pub struct NewMove<'m> {
    pub id: Uuid,
    pub kind: Kind,
    pub amount: Amount,
    pub currency: Currency,
    pub bank_account: &'m BankAccount,
    pub confirmation: Option<&'m str>,
}

/// The number of a bank account, in capitals and without spaces.
#[derive(Debug)]
pub struct BankAccount(SecretString);

/// One of them as its owner sees it.
#[derive(Debug)]
pub struct Seen {
    pub row: BankMove,
    pub currency: Currency,
    /// The last digits of the bank account's number.
    pub bank_account: String,
    pub replayed: bool,
}

const ACCOUNT_CHARACTERS: std::ops::RangeInclusive<usize> = 6..=34;
const SHOWN_CHARACTERS: usize = 4;

impl BankAccount {
    pub fn parse(text: &str) -> Result<BankAccount, Fault> {
        let plain: String = text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
        if !ACCOUNT_CHARACTERS.contains(&plain.len()) || !plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let detail = "`bank_account` is not the number of an account: 6 to 34 letters and digits, as an IBAN has.";
            return Err(Fault::no(Why::InvalidRequest, detail));
        }
        Ok(BankAccount(SecretString::from(plain)))
    }

    fn shown(&self) -> String {
        let text = self.0.expose_secret();
        format!("••••{}", &text[text.len() - SHOWN_CHARACTERS..])
    }
}

/// Writes it down, and for a withdrawal takes the money out of the wallet; the bank is asked in the background.
pub async fn begin(services: &Services, principal: &Principal, new: NewMove<'_>) -> Result<Seen, Fault> {
    let account = accounts::by_id(services, principal.account).await?;
    let now = services.now();
    let row = BankMove {
        id: new.id,
        kind: new.kind,
        account: account.id,
        wallet: account.wallet,
        amount: new.amount.minor(),
        currency: new.currency.code().to_owned(),
        bank_account_sealed: services.seal.seal("bank_moves.bank_account", new.bank_account.0.expose_secret()),
        bank_account_digest: services.seal.digest("bank_account", new.bank_account.0.expose_secret()),
        state: State::Pending,
        step: if new.kind == Kind::TopUp { Step::Ask } else { Step::Take },
        refusals: 0,
        attempts: 0,
        next_attempt_at: Some(if new.kind == Kind::TopUp { now } else { now + HEAD_START }),
        bank_reference: None,
        failure: None,
        created_at: now,
        taken_at: None,
        bank_ended_at: None,
        ended_at: None,
    };
    if let Some(known) = find(services, new.id).await? {
        return repeat(services, &row, known).await;
    }
    if services.settings.bank.is_none() {
        return Err(Fault::no(
            Why::NoBank,
            "No bank is connected to this server, so money cannot come from one or go to one.",
        ));
    }
    payees::must_be_active(&account)?;
    if account.currency != row.currency {
        return Err(refused(Reject::CurrencyMismatch));
    }
    if new.kind == Kind::Withdrawal {
        // There is no payee's wallet; the confirmation is made out to the caller's own.
        let own = WalletId(account.wallet.as_u128());
        let (amount, currency) = (new.amount, new.currency);
        step_up::require(services, principal, new.confirmation, amount, currency, own, new.id.as_u128()).await?;
    }
    let mut tx = services.store.begin().await?;
    // Looked at again while nobody changes it: an account that is being closed begins nothing more.
    let account = standing::locked(&mut tx, account.id).await?;
    payees::must_be_active(&account)?;
    if account.is_closing() {
        return Err(Fault::no(Why::AccountClosed, "Your account is being closed."));
    }
    let was_there = bank_moves::insert(&mut tx, &row).await?;
    tx.commit().await?;
    if was_there {
        let known = find(services, new.id).await?.ok_or_else(not_found)?;
        return repeat(services, &row, known).await;
    }
    crash::point(if new.kind == Kind::TopUp { "top_up.after_row" } else { "withdrawal.after_row" });
    if new.kind == Kind::Withdrawal {
        steps::take(services, &row).await?;
    }
    services.background.wake(JOB);
    let row = find(services, new.id).await?.ok_or_else(not_found)?;
    told(services, row, false)
}

pub async fn show(services: &Services, principal: &Principal, kind: Kind, id: Uuid) -> Result<Seen, Fault> {
    let row = find(services, id).await?.filter(|row| row.account == principal.account && row.kind == kind);
    seen(services, row.ok_or_else(not_found)?, false)
}

pub async fn list(
    services: &Services,
    principal: &Principal,
    kind: Kind,
    before: (i64, Uuid),
    limit: usize,
) -> Result<Vec<Seen>, Fault> {
    let mut c = services.store.read().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = bank_moves::page(&mut c, principal.account, kind, before, limit).await?;
    rows.into_iter().map(|row| seen(services, row, false)).collect()
}

/// Money goes to a bank, or comes from one, only where the same was asked for.
async fn repeat(services: &Services, asked: &BankMove, known: BankMove) -> Result<Seen, Fault> {
    let is_same = (known.account, known.kind, known.amount) == (asked.account, asked.kind, asked.amount)
        && known.currency == asked.currency
        && known.bank_account_digest == asked.bank_account_digest;
    if !is_same {
        return Err(Fault::no(Why::KeyReused, "This key, or id, was used for a request with other content."));
    }
    if known.step == Step::Take {
        // The first request broke off before the money was taken.
        steps::take(services, &known).await?;
        services.background.wake(JOB);
    }
    let known = find(services, known.id).await?.ok_or_else(not_found)?;
    told(services, known, true)
}

/// A withdrawal that the ledger refused to take out of the wallet is answered by that refusal, each time.
fn told(services: &Services, row: BankMove, replayed: bool) -> Result<Seen, Fault> {
    if row.kind == Kind::Withdrawal && row.state == State::Failed && row.taken_at.is_none() {
        let code = row.failure.as_deref().unwrap_or_default();
        let reject = Reject::ALL.iter().copied().find(|reject| reject.code() == code);
        let reject = reject.ok_or_else(|| StoreError::content(format!("{code:?} as a refusal")))?;
        return Err(Fault::Refused(crate::engine::Refusal { reject, replayed }));
    }
    seen(services, row, replayed)
}

fn seen(services: &Services, row: BankMove, replayed: bool) -> Result<Seen, Fault> {
    let currency = money_requests::currency(&row.currency)?;
    let bank_account = steps::bank_account(services, &row)?.shown();
    Ok(Seen { row, currency, bank_account, replayed })
}

async fn find(services: &Services, id: Uuid) -> Result<Option<BankMove>, Fault> {
    let mut c = services.store.read().await?;
    Ok(bank_moves::by_id(&mut c, id).await?)
}

fn not_found() -> Fault {
    Fault::no(Why::NotFound, "There is none with this id that is yours.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_account_shows_its_last_digits() {
        let account = BankAccount::parse("in12 3456 7890 1234").unwrap();
        assert_eq!(account.shown(), "••••1234");
        assert!(!format!("{account:?}").contains("1234"));
        for text in ["", "12345", "12-34-56", "१२३४५६७", &"1".repeat(35)] {
            assert!(BankAccount::parse(text).is_err(), "{text}");
        }
    }
}
