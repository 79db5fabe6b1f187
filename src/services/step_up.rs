//! Step-up: what a person pays above a threshold is confirmed by a code, of his device or one that is sent and names amount
//! and payee. The token that he gets is good for just that payment, for a short time, and for one request.

use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::clock::MINUTE;
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::principal::{Principal, Who};
use super::second_factor::Factor;
use super::{Services, codes, contact, crash, new_id, pace, second_factor, sessions};
use crate::ledger::money::format_minor;
use crate::ledger::{Amount, Currency, WalletId};
use crate::store::challenges::{self, Challenge, Purpose};
use crate::store::confirmations::{self, Payment};
use crate::store::{AccountState, Role, accounts, factors};

pub const TOKEN_PREFIX: &str = "fct_";
/// How long a token is good that was not used.
pub const TOKEN_MICROS: i64 = 5 * MINUTE;

/// A payment that waits for its code.
#[derive(Debug)]
pub struct Asked {
    pub id: Uuid,
    /// totp: the caller's device makes the code; code: one was sent.
    pub by: &'static str,
    pub payee_wallet: WalletId,
    pub expires_at: i64,
}

/// Asks the caller to confirm a payment to a wallet's id, an email, a phone number or a handle.
pub async fn ask(
    services: &Services,
    principal: &Principal,
    amount: Amount,
    currency: Currency,
    payee: &str,
) -> Result<Asked, Fault> {
    let payee_wallet = wallet_of(services, payee).await?;
    let (id, now) = (new_id(), services.now());
    let account = super::accounts::by_id(services, principal.account).await?;
    let mut tx = services.store.begin().await?;
    pace::count(services, &mut tx, &pace::CONFIRMATIONS, &account.id.to_string()).await?;
    let has_device = factors::totp(&mut tx, account.id).await?.is_some_and(|totp| totp.confirmed_at.is_some());
    let expires_at = now + codes::CODE_MICROS;
    let mut challenge =
        Challenge { account: Some(account.id), ..Challenge::new(id.to_string(), Purpose::Payment, now, expires_at) };
    if !has_device {
        let code = codes::six_digits()?;
        challenge.code_digest = Some(codes::code_digest(services, &challenge.id, &code));
        let notice = Notice {
            id,
            to: To::Account(account.id),
            locale: account.locale.clone(),
            kind: notices::Kind::Code,
            params: json!({
                "code": code, "minutes": codes::CODE_MICROS / MINUTE, "payee": payee.trim(),
                "amount": { "amount": format_minor(amount.minor(), currency), "currency": currency.code() },
            }),
            expires_at: Some(expires_at),
        };
        notices::enqueue(services, &mut tx, &notice).await?;
    }
    challenges::insert(&mut tx, &challenge).await?;
    let payment = payment(account.id, amount, currency, payee_wallet);
    confirmations::insert(&mut tx, &challenge.id, &payment).await?;
    tx.commit().await?;
    Ok(Asked { id, by: if has_device { "totp" } else { "code" }, payee_wallet, expires_at })
}

/// The code was given: gives the token to pay with, and until when it is good.
pub async fn verify(
    services: &Services,
    principal: &Principal,
    id: Uuid,
    code: &str,
) -> Result<(SecretString, i64), Fault> {
    let mut tx = services.store.begin().await?;
    let key = id.to_string();
    // Looked at first: what is another's is not there, whatever state it is in.
    let asked = challenges::by_id(&mut tx, &key).await?;
    if !asked.is_some_and(|asked| asked.purpose == Purpose::Payment && asked.account == Some(principal.account)) {
        return Err(Fault::no(Why::NotFound, "There is no confirmation of yours with this id."));
    }
    let challenge = codes::count_try(services, &mut tx, &key, Purpose::Payment).await?;
    let is_right = match challenge.code_digest {
        Some(_) => codes::is_right(services, &challenge, code),
        None => {
            let factor = Factor::Code(code.to_owned());
            second_factor::is_right(services, &mut tx, principal.account, &factor).await?
        }
    };
    if !is_right {
        tx.commit().await?;
        return Err(codes::wrong());
    }
    let now = services.now();
    challenges::set_used(&mut tx, &key, now).await?;
    let (token, expires_at) = (sessions::secret(TOKEN_PREFIX)?, now + TOKEN_MICROS);
    confirmations::set_token(&mut tx, &key, &sessions::hash(&token), expires_at).await?;
    pace::clear(&mut tx, &pace::CONFIRMATIONS, &principal.account.to_string()).await?;
    tx.commit().await?;
    crash::point("confirmation.after_token");
    Ok((token, expires_at))
}

/// Whether a payment of this caller has to be confirmed: people's above the threshold, and those in another currency than
/// the threshold's, for which there is no rate here.
pub fn is_needed(services: &Services, principal: &Principal, amount: Amount, currency: Currency) -> bool {
    let is_user = matches!(principal.who, Who::Person { .. }) && principal.role == Role::User;
    let above = services.settings.step_up_above;
    is_user && above.is_some_and(|above| currency != services.settings.currency || amount.minor() > above.minor())
}

/// Says no to a payment that has to be confirmed and is not. A token is used by the first request that brings it; the same
/// request again is let through with it, at any time.
pub async fn require(
    services: &Services,
    principal: &Principal,
    token: Option<&str>,
    amount: Amount,
    currency: Currency,
    payee_wallet: WalletId,
    request_id: u128,
) -> Result<(), Fault> {
    if !is_needed(services, principal, amount, currency) {
        return Ok(());
    }
    let Some(token) = token else { return Err(needed(services)) };
    let payment = payment(principal.account, amount, currency, payee_wallet);
    let (hash, request) = (sessions::hash(&SecretString::from(token)), Uuid::from_u128(request_id));
    let mut tx = services.store.begin().await?;
    if !confirmations::use_token(&mut tx, &hash, &payment, request, services.now()).await? {
        let detail = "The `Confirmation` is of another payment, was used, or has expired; confirm this one.";
        return Err(Fault::no(Why::StepUpRequired, detail));
    }
    tx.commit().await?;
    crash::point("confirmation.after_use");
    Ok(())
}

/// How a payment is confirmed, for whoever did not.
pub fn needed(services: &Services) -> Fault {
    let (currency, above) = (services.settings.currency, services.settings.step_up_above);
    let above = above.map_or_else(|| "0".to_owned(), |above| format_minor(above.minor(), currency));
    let detail = format!(
        "A payment above {above} {} has to be confirmed: POST /v1/me/confirmations, and send its token as `Confirmation`.",
        currency.code()
    );
    Fault::no(Why::StepUpRequired, detail)
}

async fn wallet_of(services: &Services, payee: &str) -> Result<WalletId, Fault> {
    let nobody = || Fault::no(Why::PayeeNotFound, "`payee` is nobody's wallet, email, phone number or handle.");
    if let Ok(id) = Uuid::try_parse(payee.trim()) {
        let wallet = WalletId(id.as_u128());
        return services.engine.wallet(wallet).await?.map(|_| wallet).ok_or_else(nobody);
    }
    let (kind, address) = contact::any(payee)?;
    let digest = super::accounts::address_digest(services, kind, &address);
    let mut c = services.store.read().await?;
    let account = accounts::by_address(&mut c, kind, &digest).await?;
    let account = account.filter(|account| account.state != AccountState::Closed).ok_or_else(nobody)?;
    Ok(WalletId(account.wallet.as_u128()))
}

fn payment(account: Uuid, amount: Amount, currency: Currency, payee_wallet: WalletId) -> Payment {
    let payee_wallet = Uuid::from_u128(payee_wallet.0);
    Payment { account, amount_minor: amount.minor(), currency: currency.code(), payee_wallet }
}
