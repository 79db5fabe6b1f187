//! Signing in: by a code, by a password, and by the second factor that comes after either where an account has one. Who may
//! not come in hears so only after he has shown who he is.

use secrecy::SecretString;
use serde_json::json;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::accounts::address_digest;
use super::clock::{self, MINUTE};
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::second_factor::Factor;
use super::sessions::{Client, Grant};
use super::{Services, codes, crash, new_id, pace, passwords, second_factor, sessions};
use crate::store::challenges::{self, Challenge, Purpose};
use crate::store::sessions::By;
use crate::store::{Account, AccountState, AddressKind, Tx, accounts, factors};

pub const SECOND_FACTOR_PREFIX: &str = "fsf_";
pub const SECOND_FACTOR_MICROS: i64 = 10 * MINUTE;

/// What somebody who has shown who he is comes to.
#[derive(Debug)]
pub enum SignedIn {
    Session {
        grant: Grant,
        account: Uuid,
    },
    /// The account has a second factor: this token and a code of it make a session.
    SecondFactor {
        token: SecretString,
        expires_at: i64,
    },
    /// The address is nobody's: with this token an account can be opened.
    Registration {
        token: SecretString,
        expires_at: i64,
    },
}

/// By the code that was sent to an address.
pub async fn by_code(services: &Services, challenge: Uuid, code: &str, client: &Client) -> Result<SignedIn, Fault> {
    let mut tx = services.store.begin().await?;
    let id = challenge.to_string();
    let challenge = codes::count_try(services, &mut tx, &id, Purpose::Address).await?;
    if !codes::is_right(services, &challenge, code) {
        tx.commit().await?;
        return Err(codes::wrong());
    }
    challenges::set_used(&mut tx, &id, services.now()).await?;
    let kind = codes::there(challenge.kind, "a kind")?;
    let address = codes::there(challenge.address_sealed, "an address")?;
    let address = services.seal.open("challenges.address", &address)?;
    let digest = address_digest(services, kind, &address);
    pace::clear(&mut tx, &pace::CODES, &digest).await?;
    let outcome = match accounts::by_address(&mut tx, kind, &digest).await? {
        Some(account) => enter(services, &mut tx, account.id, By::Code, client).await,
        None => {
            let (token, expires_at) = codes::issue_registration(services, &mut tx, kind, &address).await?;
            Ok(SignedIn::Registration { token, expires_at })
        }
    };
    kept(tx, outcome).await
}

/// By address and password. For nobody's address, and for an account without a password, the same is done as for a wrong one.
pub async fn by_password(
    services: &Services,
    kind: AddressKind,
    address: &str,
    password: &SecretString,
    client: &Client,
) -> Result<SignedIn, Fault> {
    let (digest, network) = (address_digest(services, kind, address), pace::network_of(&client.network_address));
    let mut tx = services.store.begin().await?;
    pace::count(services, &mut tx, &pace::PASSWORDS, &digest).await?;
    pace::count(services, &mut tx, &pace::PASSWORDS_FROM, &network).await?;
    let found = factors::password_at(&mut tx, kind, &digest).await?;
    tx.commit().await?;
    let (account, kept_sealed) = found.map_or((None, None), |(account, kept)| (Some(account), kept));
    let is_right = passwords::is_right(services, password, kept_sealed.as_deref()).await?;
    let Some(account) = account.filter(|_| is_right) else {
        return Err(Fault::no(Why::InvalidCredentials, "The address and the password do not belong together."));
    };
    let mut tx = services.store.begin().await?;
    pace::clear(&mut tx, &pace::PASSWORDS, &digest).await?;
    pace::give_back(&mut tx, &pace::PASSWORDS_FROM, &network).await?;
    let outcome = enter(services, &mut tx, account, By::Password, client).await;
    kept(tx, outcome).await
}

/// By the token that a first factor was answered with, and a code of the second.
pub async fn by_second_factor(
    services: &Services,
    token: &SecretString,
    factor: &Factor,
    client: &Client,
) -> Result<SignedIn, Fault> {
    let mut tx = services.store.begin().await?;
    let id = sessions::hash(token);
    let challenge = codes::count_try(services, &mut tx, &id, Purpose::SecondFactor).await?;
    let account = codes::there(challenge.account, "an account")?;
    if !second_factor::is_right(services, &mut tx, account, factor).await? {
        tx.commit().await?;
        return Err(codes::wrong());
    }
    challenges::set_used(&mut tx, &id, services.now()).await?;
    let by = codes::there(challenge.signed_in_by, "a first factor")?;
    let outcome = match admitted(services, &mut tx, account).await {
        Ok(account) => {
            if let Factor::Recovery(_) = factor {
                sessions::tell_change(services, &mut tx, &account, "recovery_code_used").await?;
            }
            begin(services, &mut tx, account, by, client).await
        }
        Err(fault) => Err(fault),
    };
    kept(tx, outcome).await
}

/// Forgets what nobody can sign in by any more. Run now and then.
pub async fn forget(services: &Services) -> Result<(), Fault> {
    codes::forget(services).await?;
    sessions::forget(services).await
}

/// Whether the account's state lets its owner in. Who waits for approval may look at what he has.
pub(super) fn must_be_admitted(account: &Account) -> Result<(), Fault> {
    match account.state {
        AccountState::Active | AccountState::Pending => Ok(()),
        AccountState::Blocked => Err(Fault::no(Why::AccountBlocked, "The account is blocked; its support knows why.")),
        AccountState::Closed => Err(Fault::no(Why::AccountClosed, "The account is closed for ever.")),
    }
}

/// The first factor was right.
async fn enter(
    services: &Services,
    c: &mut AnyConnection,
    account: Uuid,
    by: By,
    client: &Client,
) -> Result<SignedIn, Fault> {
    let account = admitted(services, c, account).await?;
    let totp = factors::totp(c, account.id).await?;
    if totp.is_none_or(|totp| totp.confirmed_at.is_none()) {
        return begin(services, c, account, by, client).await;
    }
    let (token, now) = (sessions::secret(SECOND_FACTOR_PREFIX)?, services.now());
    let expires_at = now + SECOND_FACTOR_MICROS;
    let challenge = Challenge {
        account: Some(account.id),
        signed_in_by: Some(by),
        ..Challenge::new(sessions::hash(&token), Purpose::SecondFactor, now, expires_at)
    };
    challenges::insert(c, &challenge).await?;
    Ok(SignedIn::SecondFactor { token, expires_at })
}

async fn begin(
    services: &Services,
    c: &mut AnyConnection,
    account: Account,
    by: By,
    client: &Client,
) -> Result<SignedIn, Fault> {
    let grant = sessions::begin_by(services, c, &account, by, client).await?;
    let notice = Notice {
        id: new_id(),
        to: To::Account(account.id),
        locale: account.locale.clone(),
        kind: notices::Kind::SignedIn,
        params: json!({
            "device": client.device, "network_address": client.network_address, "time": clock::text(services.now()),
        }),
        expires_at: None,
    };
    notices::enqueue(services, c, &notice).await?;
    Ok(SignedIn::Session { grant, account: account.id })
}

/// The account, which nobody can block until the session is there: a block then ends it.
async fn admitted(_: &Services, c: &mut AnyConnection, account: Uuid) -> Result<Account, Fault> {
    let account = accounts::lock(c, account).await?;
    let account = account.ok_or_else(|| Fault::no(Why::AccountNotFound, "There is no account with this id."))?;
    must_be_admitted(&account).map(|()| account)
}

/// What was used up stays so when its owner is then not let in.
async fn kept(tx: Tx, outcome: Result<SignedIn, Fault>) -> Result<SignedIn, Fault> {
    if matches!(outcome, Ok(_) | Err(Fault::No(..))) {
        crash::point("sign_in.before_commit");
        tx.commit().await?;
        crash::point("sign_in.after_commit");
    }
    outcome
}
