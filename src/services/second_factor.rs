//! The second factor: codes that a device makes every 30 seconds (TOTP, RFC 6238), each good once, and recovery codes for
//! whoever has lost the device.

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AnyConnection;
use totp_rs::{Builder, Secret, Totp};
use uuid::Uuid;

use super::clock::SECOND;
use super::fault::{Fault, Why};
use super::principal::Principal;
use super::{Services, accounts, codes, crash, pace, sessions};
use crate::store::{AddressKind, StoreError, Tx, factors};

pub const RECOVERY_CODES: usize = 10;

const ISSUER: &str = "Florin";
const SECRET_BYTES: usize = 20;
/// 60 random bits, of letters that are not taken for each other, in groups of four.
const RECOVERY_LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RECOVERY_CHARACTERS: usize = 12;

/// By what somebody shows the second factor.
pub enum Factor {
    Code(String),
    Recovery(String),
}

/// What a device needs, shown once.
pub struct Enrolment {
    pub secret: SecretString,
    /// otpauth://totp/...
    pub uri: SecretString,
    /// The same as an image: data:image/png;base64,...
    pub qr: SecretString,
}

/// A new secret for the caller's device. It is asked for only once [`confirm`] has seen a code of it.
pub async fn begin(services: &Services, principal: &Principal) -> Result<Enrolment, Fault> {
    let detail = "Sign in again, and add the device within 10 minutes.";
    sessions::must_be_recent(services, principal, None, detail).await?;
    let account = accounts::by_id(services, principal.account).await?;
    let addresses = accounts::addresses(services, &account).await?;
    let is_best = |(kind, _): &&(AddressKind, String)| *kind != AddressKind::Handle;
    let label = addresses.iter().find(is_best).or(addresses.first()).map_or("account", |(_, address)| address);
    let mut bytes = [0; SECRET_BYTES];
    random(&mut bytes)?;
    let secret = Secret::from(bytes.to_vec());
    let text = SecretString::from(secret.to_base32());
    let totp = build(secret, Some(label))?;
    let uri = totp.to_url().map_err(|error| broken(&error))?;
    let qr = totp.to_qr_base64().map_err(|error| broken(&error))?;
    let sealed = services.seal.seal("totps.secret", text.expose_secret());
    let mut tx = services.store.begin().await?;
    if !factors::begin_totp(&mut tx, account.id, &sealed, services.now()).await? {
        let detail = "The account has a second factor; remove it first, by a code of it.";
        return Err(Fault::no(Why::InvalidState, detail));
    }
    tx.commit().await?;
    let qr = SecretString::from(format!("data:image/png;base64,{qr}"));
    Ok(Enrolment { secret: text, uri: SecretString::from(uri), qr })
}

/// The device works: from now on it is asked for. Gives the recovery codes, which are never shown again.
pub async fn confirm(services: &Services, principal: &Principal, code: &str) -> Result<Vec<SecretString>, Fault> {
    let id = principal.account;
    let mut tx = services.store.begin().await?;
    let totp = factors::totp(&mut tx, id).await?;
    if totp.is_none_or(|totp| totp.confirmed_at.is_some()) {
        let detail = "There is no device that waits to be confirmed; POST /v1/me/totp begins.";
        return Err(Fault::no(Why::InvalidState, detail));
    }
    if !is_right_code(services, &mut tx, id, code, false).await? {
        tx.commit().await?;
        return Err(codes::wrong());
    }
    factors::confirm_totp(&mut tx, id, services.now()).await?;
    changed(services, tx, id, "totp_added", true).await
}

/// The account has no second factor any more.
pub async fn remove(services: &Services, principal: &Principal, factor: &Factor) -> Result<(), Fault> {
    let tx = shown(services, principal.account, factor).await?;
    changed(services, tx, principal.account, "totp_removed", false).await.map(drop)
}

/// New recovery codes; those before are good for nothing.
pub async fn renew_recovery(
    services: &Services,
    principal: &Principal,
    factor: &Factor,
) -> Result<Vec<SecretString>, Fault> {
    let tx = shown(services, principal.account, factor).await?;
    changed(services, tx, principal.account, "recovery_codes_made", true).await
}

/// What an account's owner signs in by, beside codes to his addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub has_password: bool,
    pub has_device: bool,
    pub recovery_codes_left: i64,
}

pub async fn credentials(services: &Services, account: Uuid) -> Result<Credentials, Fault> {
    let mut c = services.store.read().await?;
    let has_password = factors::password(&mut c, account).await?.is_some();
    let has_device = factors::totp(&mut c, account).await?.is_some_and(|totp| totp.confirmed_at.is_some());
    let recovery_codes_left = factors::recovery_codes_left(&mut c, account).await?;
    Ok(Credentials { has_password, has_device, recovery_codes_left })
}

/// A try, counted for the account if the transaction is committed; right ones are used up.
pub(super) async fn is_right(
    services: &Services,
    c: &mut AnyConnection,
    account: Uuid,
    factor: &Factor,
) -> Result<bool, Fault> {
    match factor {
        Factor::Code(code) => is_right_code(services, c, account, code, true).await,
        Factor::Recovery(code) => {
            let subject = account.to_string();
            pace::count(services, c, &pace::SECOND_FACTORS, &subject).await?;
            let digest = recovery_digest(services, account, code);
            let is_right = factors::use_recovery_code(c, account, &digest, services.now()).await?;
            if is_right {
                pace::clear(c, &pace::SECOND_FACTORS, &subject).await?;
            }
            Ok(is_right)
        }
    }
}

async fn is_right_code(
    services: &Services,
    c: &mut AnyConnection,
    account: Uuid,
    code: &str,
    must_be_confirmed: bool,
) -> Result<bool, Fault> {
    let subject = account.to_string();
    pace::count(services, c, &pace::SECOND_FACTORS, &subject).await?;
    let Some(row) = factors::totp(c, account).await? else { return Ok(false) };
    if must_be_confirmed && row.confirmed_at.is_none() {
        return Ok(false);
    }
    let secret = services.seal.open("totps.secret", &row.secret_sealed)?;
    let secret = Secret::try_from_base32(secret).map_err(|_| StoreError::content("a secret that is none"))?;
    let is_code = code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit());
    let seconds = u64::try_from(services.now() / SECOND).unwrap_or(0);
    let Some(step) = build(secret, None)?.check(code, seconds).filter(|_| is_code) else { return Ok(false) };
    // A code is good once: whoever looked over a shoulder comes too late with it.
    let is_first = factors::use_step(c, account, i64::try_from(step).unwrap_or(i64::MAX)).await?;
    if is_first {
        pace::clear(c, &pace::SECOND_FACTORS, &subject).await?;
    }
    Ok(is_first)
}

/// The transaction in which a code of the account's second factor was used.
async fn shown(services: &Services, account: Uuid, factor: &Factor) -> Result<Tx, Fault> {
    let mut tx = services.store.begin().await?;
    if factors::totp(&mut tx, account).await?.is_none_or(|totp| totp.confirmed_at.is_none()) {
        return Err(Fault::no(Why::InvalidState, "The account has no second factor."));
    }
    if is_right(services, &mut tx, account, factor).await? {
        return Ok(tx);
    }
    tx.commit().await?;
    Err(codes::wrong())
}

async fn changed(
    services: &Services,
    mut tx: Tx,
    id: Uuid,
    what: &'static str,
    has_recovery: bool,
) -> Result<Vec<SecretString>, Fault> {
    let account = crate::store::accounts::by_id(&mut tx, id).await?;
    let account = account.ok_or_else(|| Fault::no(Why::AccountNotFound, "There is no account with this id."))?;
    let mut list = Vec::new();
    if has_recovery {
        factors::remove_recovery_codes(&mut tx, id).await?;
        for _ in 0..RECOVERY_CODES {
            let code = recovery_code()?;
            factors::add_recovery_code(&mut tx, id, &recovery_digest(services, id, &code)).await?;
            list.push(SecretString::from(code));
        }
    } else {
        factors::remove_totp(&mut tx, id).await?;
    }
    sessions::tell_change(services, &mut tx, &account, what).await?;
    crash::point("second_factor.before_commit");
    tx.commit().await?;
    crash::point("second_factor.after_commit");
    Ok(list)
}

fn build(secret: Secret, label: Option<&str>) -> Result<Totp, Fault> {
    // SHA-1, six digits, 30 seconds and one step to either side: what every device has.
    let mut builder = Builder::new().with_secret(secret).with_issuer(Some(ISSUER));
    if let Some(label) = label {
        builder = builder.with_account_name(label.replace(':', " "));
    }
    builder.build().map_err(|error| broken(&error))
}

fn broken(error: &dyn std::error::Error) -> Fault {
    Fault::Broken { what: format!("a second factor cannot be made: {error}") }
}

fn random(bytes: &mut [u8]) -> Result<(), Fault> {
    let filled = SysRng.try_fill_bytes(bytes);
    filled.map_err(|_| Fault::Broken { what: "the operating system gives no random bytes".to_owned() })
}

fn recovery_code() -> Result<String, Fault> {
    let mut bytes = [0; RECOVERY_CHARACTERS];
    random(&mut bytes)?;
    let letters: Vec<char> = bytes.iter().map(|byte| char::from(RECOVERY_LETTERS[usize::from(byte % 32)])).collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(groups.join("-"))
}

/// However it was typed.
fn recovery_digest(services: &Services, account: Uuid, code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    services.seal.digest("recovery_codes.code", &format!("{account} {plain}"))
}
