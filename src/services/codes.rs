//! One-time codes to an email address or a phone number, by which somebody shows that it is his: to sign in, to register.
//! Nothing here depends on whether the address is known, so that nobody learns it.

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::SecretString;
use serde_json::json;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::accounts::address_digest;
use super::clock::{DAY, MINUTE};
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::{Services, new_id, pace, sessions};
use crate::store::challenges::{self, Challenge, Purpose};
use crate::store::{AddressKind, StoreError};

/// How long a code is good, and the token that a right one is answered with.
pub const CODE_MICROS: i64 = 10 * MINUTE;
pub const REGISTRATION_PREFIX: &str = "frg_";

const DIGITS: u32 = 1_000_000;

/// A code is on its way.
#[derive(Debug)]
pub struct Sent {
    pub challenge: Uuid,
    pub expires_at: i64,
    /// No further code is sent to this address before.
    pub resend_after: i64,
}

/// Sends a code to an address in its normal form.
pub async fn send(services: &Services, kind: AddressKind, address: &str, locale: &str) -> Result<Sent, Fault> {
    let (id, now) = (new_id(), services.now());
    let code = six_digits()?;
    let mut tx = services.store.begin().await?;
    let subject = address_digest(services, kind, address);
    let resend_after = pace::count(services, &mut tx, &pace::CODES, &subject).await?;
    let expires_at = now + CODE_MICROS;
    let challenge = Challenge {
        kind: Some(kind),
        address_sealed: Some(services.seal.seal("challenges.address", address)),
        code_digest: Some(code_digest(services, &id.to_string(), &code)),
        ..Challenge::new(id.to_string(), Purpose::Address, now, expires_at)
    };
    challenges::insert(&mut tx, &challenge).await?;
    let notice = Notice {
        id,
        to: To::Address { kind, address: address.to_owned() },
        locale: locale.to_owned(),
        kind: notices::Kind::Code,
        params: json!({ "code": code, "minutes": CODE_MICROS / MINUTE }),
        expires_at: Some(expires_at),
    };
    notices::enqueue(services, &mut tx, &notice).await?;
    tx.commit().await?;
    Ok(Sent { challenge: id, expires_at, resend_after })
}

/// The verified address that a registration token stands for; once. The token is used if the transaction is committed.
pub async fn redeem_registration(
    services: &Services,
    c: &mut AnyConnection,
    token: &SecretString,
) -> Result<(AddressKind, String), Fault> {
    let redeemed = challenges::redeem_registration(c, &sessions::hash(token), services.now()).await?;
    let (kind, sealed) = redeemed.ok_or_else(|| {
        let detail = "`registration_token` is not one, was used, or is older than 10 minutes; ask for a new code.";
        Fault::no(Why::InvalidToken, detail)
    })?;
    Ok((kind, services.seal.open("registrations.address", &sealed)?))
}

/// Forgets codes that nobody can use any more, and who has long stopped trying.
pub async fn forget(services: &Services) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    challenges::forget(&mut tx, services.now() - DAY).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn issue_registration(
    services: &Services,
    c: &mut AnyConnection,
    kind: AddressKind,
    address: &str,
) -> Result<(SecretString, i64), Fault> {
    let (token, expires_at) = (sessions::secret(REGISTRATION_PREFIX)?, services.now() + CODE_MICROS);
    let sealed = services.seal.seal("registrations.address", address);
    challenges::insert_registration(c, &sessions::hash(&token), kind, &sealed, expires_at).await?;
    Ok((token, expires_at))
}

/// A try of a challenge. Whatever it comes to is counted if the transaction is committed, a wrong one too; meanwhile
/// nobody else can try.
pub(super) async fn count_try(
    services: &Services,
    c: &mut AnyConnection,
    id: &str,
    purpose: Purpose,
) -> Result<Challenge, Fault> {
    let now = services.now();
    if let Some(challenge) = challenges::count_try(c, id, purpose, now).await? {
        return Ok(challenge);
    }
    let no = |detail| Fault::no(Why::InvalidCode, detail);
    Err(match challenges::by_id(c, id).await?.filter(|known| known.purpose == purpose) {
        None => no("Nobody was asked for a code by this name; ask for a new one."),
        Some(known) if known.used_at.is_some() => no("The code was used already; ask for a new one."),
        Some(known) if known.expires_at <= now => no("The code has expired; ask for a new one."),
        Some(known) if known.tries >= challenges::TRIES_MAX => {
            no("There were too many wrong codes; ask for a new one.")
        }
        Some(known) => Fault::wait(known.next_try_at - now),
    })
}

/// Whether this is the code that was sent for the challenge.
pub(super) fn is_right(services: &Services, challenge: &Challenge, code: &str) -> bool {
    challenge.code_digest.as_deref() == Some(code_digest(services, &challenge.id, code).as_str())
}

pub(super) fn wrong() -> Fault {
    Fault::no(Why::InvalidCode, "The code is not right.")
}

/// Of the code and the row it stands in: the same code elsewhere looks different, and the key is not in the database. So
/// it tells nothing that comparing digests takes longer the more of them agrees.
pub(super) fn code_digest(services: &Services, id: &str, code: &str) -> String {
    services.seal.digest("challenges.code", &format!("{id} {code}"))
}

/// Each code is as likely as any other.
pub(super) fn six_digits() -> Result<String, Fault> {
    const FAIR_BELOW: u32 = u32::MAX - u32::MAX % DIGITS;
    loop {
        let random = SysRng.try_next_u32();
        let number =
            random.map_err(|_| Fault::Broken { what: "the operating system gives no random bytes".to_owned() })?;
        if number < FAIR_BELOW {
            return Ok(format!("{:06}", number % DIGITS));
        }
    }
}

/// What a row of this kind always has.
pub(super) fn there<T>(value: Option<T>, column: &str) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::Store(StoreError::content(format!("a challenge without {column}"))))
}
