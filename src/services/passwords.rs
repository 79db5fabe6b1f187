//! Passwords: which are good enough, how they are kept (argon2id), how they are checked at the same price whether or not
//! there is one, and how they are changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AnyConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;
use zxcvbn::{Score, zxcvbn};

use super::fault::{Fault, Why};
use super::principal::Principal;
use super::{Services, accounts, pace, sessions};
use crate::engine::Failure;
use crate::store::factors;
use crate::store::sessions::By;

pub const CHARACTERS_MIN: usize = 10;
pub const CHARACTERS_MAX: usize = 128;

/// Of OWASP's recommendations the one with the most memory: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// How many are computed at once, each with its memory, and how many may wait for that.
const AT_ONCE_MAX: usize = 4;
const WAITING_MAX: usize = 64;
/// Checked where there is no password, so that it takes as long. No password gives 32 zeros.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cyBzYWx0IQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Where passwords are hashed: beside the requests, and not too many at once.
#[derive(Debug)]
pub struct Hashing {
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
    runs: AtomicU64,
}

/// A good password, as it is kept.
#[derive(Debug)]
pub struct Prepared {
    hash_sealed: String,
}

/// Looks whether a password is good enough and makes of it what is kept. `personal` are things that others know of the
/// person: names and addresses, which make a bad password.
pub async fn prepare(services: &Services, password: &SecretString, personal: &[String]) -> Result<Prepared, Fault> {
    let characters = password.expose_secret().chars().count();
    if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&characters) {
        let detail = format!("A password has {CHARACTERS_MIN} to {CHARACTERS_MAX} characters.");
        return Err(Fault::no(Why::WeakPassword, detail));
    }
    let personal = parts(personal);
    let hash = services.hashing.run(password.clone(), move |password| make(password, &personal)).await??;
    Ok(Prepared { hash_sealed: services.seal.seal("passwords.hash", &hash) })
}

/// Gives the account this password, in place of the one that it has.
pub async fn set(services: &Services, c: &mut AnyConnection, account: Uuid, new: &Prepared) -> Result<(), Fault> {
    Ok(factors::set_password(c, account, &new.hash_sealed, services.now()).await?)
}

/// Changes the caller's password. Whoever knows the old one may, and whoever has just shown by a code that an address is his.
/// All other sessions end.
pub async fn change(
    services: &Services,
    principal: &Principal,
    current: Option<&SecretString>,
    new: &SecretString,
) -> Result<(), Fault> {
    let account = accounts::by_id(services, principal.account).await?;
    let subject = account.id.to_string();
    let session = match current {
        Some(current) => {
            let session = principal.session()?;
            let mut tx = services.store.begin().await?;
            pace::count(services, &mut tx, &pace::PASSWORDS, &subject).await?;
            let kept = factors::password(&mut tx, account.id).await?;
            tx.commit().await?;
            if !is_right(services, current, kept.as_deref()).await? {
                return Err(Fault::no(Why::InvalidCredentials, "`current` is not the account's password."));
            }
            session
        }
        None => {
            let detail = "Give the `current` password, or sign in by a code and set a new one within 10 minutes.";
            sessions::must_be_recent(services, principal, Some(By::Code), detail).await?
        }
    };
    let mut personal = vec![services.seal.open("accounts.name", &account.name_sealed)?];
    personal.extend(accounts::addresses(services, &account).await?.into_iter().map(|(_, address)| address));
    let prepared = prepare(services, new, &personal).await?;
    let mut tx = services.store.begin().await?;
    pace::clear(&mut tx, &pace::PASSWORDS, &subject).await?;
    sessions::end_all(services, &mut tx, account.id, Some(session), "password changed").await?;
    // It may have been ended by its owner while the password was hashed, because it was not his.
    sessions::must_be_open(&mut tx, session).await?;
    set(services, &mut tx, account.id, &prepared).await?;
    sessions::tell_change(services, &mut tx, &account, "password_changed").await?;
    Ok(tx.commit().await?)
}

/// Whether it is the password that is kept. Where none is, it takes as long to say no.
pub(super) async fn is_right(
    services: &Services,
    password: &SecretString,
    kept_sealed: Option<&str>,
) -> Result<bool, Fault> {
    let kept = match kept_sealed {
        Some(sealed) => services.seal.open("passwords.hash", sealed)?,
        None => NOBODYS.to_owned(),
    };
    let is_kept = kept_sealed.is_some();
    let check = move |password: &str| argon2().verify_password(password.as_bytes(), kept.as_str()).is_ok();
    Ok(services.hashing.run(password.clone(), check).await? && is_kept)
}

impl Default for Hashing {
    fn default() -> Hashing {
        let at_once = Arc::new(Semaphore::new(AT_ONCE_MAX));
        Hashing { at_once, waiting: Semaphore::new(WAITING_MAX), runs: AtomicU64::new(0) }
    }
}

impl Hashing {
    /// How often a password was hashed so far.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        password: SecretString,
        work: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let broken = |what: &str| Fault::Broken { what: format!("passwords cannot be hashed: {what}") };
        let _waiting = self.waiting.try_acquire().map_err(|_| Fault::Failed(Failure::Overloaded))?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await.map_err(|_| broken("the server is stopping"))?;
        self.runs.fetch_add(1, Ordering::Relaxed);
        // The permit goes along: whoever asked may have gone, and the memory is still taken.
        let working = tokio::task::spawn_blocking(move || {
            let done = work(password.expose_secret());
            drop(permit);
            done
        });
        working.await.map_err(|_| broken("the thread is gone"))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("these are far from the limits of argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn make(password: &str, personal: &[String]) -> Result<String, Fault> {
    let known: Vec<&str> = personal.iter().map(String::as_str).collect();
    let judged = zxcvbn(password, &known);
    if judged.score() < Score::Three {
        let why = judged.feedback().and_then(|feedback| feedback.warning()).map(|warning| warning.to_string());
        let why = why.unwrap_or_else(|| "It is too easily guessed.".to_owned());
        let detail = format!("{why} Take a longer one, such as four words that do not belong together.");
        return Err(Fault::no(Why::WeakPassword, detail));
    }
    let hash = argon2().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| Fault::Broken { what: format!("a password cannot be hashed: {error}") })?;
    Ok(hash.to_string())
}

/// Names and addresses, as a whole and in their words.
fn parts(personal: &[String]) -> Vec<String> {
    let mut list = vec!["florin".to_owned()];
    for text in personal {
        list.push(text.clone());
        list.extend(text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2).map(str::to_owned));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_hash_is_one_and_no_password_has_it() {
        let checked = argon2().verify_password(b"correct horse battery staple", NOBODYS);
        assert_eq!(checked, Err(argon2::password_hash::Error::PasswordInvalid));
    }

    #[test]
    fn what_others_know_is_no_password() {
        let personal = parts(&["Asha Venkataraman".to_owned(), "asha.venkataraman@example.in".to_owned()]);
        let made = |password: &str| make(password, &personal).map_err(|fault| fault.why());
        for bad in ["password123", "qwertyuiop", "1234567890", "ashavenkataraman", "asha.venkataraman@example.in"] {
            assert_eq!(made(bad).unwrap_err(), Some(Why::WeakPassword), "{bad}");
        }
        let kept = made("lorry-quince-tabla-moss").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(argon2().verify_password(b"lorry-quince-tabla-moss", kept.as_str()).is_ok());
        assert!(argon2().verify_password(b"lorry-quince-tabla-mos", kept.as_str()).is_err());
    }
}
