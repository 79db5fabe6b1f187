//! Handles: what a person may call himself. One that was given up is nobody else's, ever.

use sqlx::AnyConnection;

use super::accounts::{self, address_digest};
use super::fault::{Fault, Why};
use super::{Principal, Services, standing};
use crate::store::{self, Account, AddressKind};

const CHARACTERS_MIN: usize = 3;
const CHARACTERS_MAX: usize = 30;
/// Given up ones too: whoever could change his handle as often as he liked could take all the good ones.
const HANDLES_MAX: i64 = 5;

/// Words by which somebody could pass for the company, or for a part of this API.
const RESERVED: [&str; 28] = [
    "abuse",
    "account",
    "admin",
    "administrator",
    "api",
    "bank",
    "billing",
    "finance",
    "florin",
    "help",
    "info",
    "mail",
    "me",
    "merchant",
    "noreply",
    "official",
    "operator",
    "payments",
    "postmaster",
    "risk",
    "root",
    "security",
    "settlement",
    "staff",
    "support",
    "system",
    "wallet",
    "webmaster",
];

/// In lower case, as it is kept and compared.
pub fn normal(text: &str) -> Result<String, Fault> {
    let text = text.trim().strip_prefix('@').unwrap_or(text.trim()).to_ascii_lowercase();
    let fits = (CHARACTERS_MIN..=CHARACTERS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric());
    if !fits {
        let detail = format!(
            "`handle` has {CHARACTERS_MIN} to {CHARACTERS_MAX} of a-z, 0-9, dot, underscore and hyphen, and begins and ends \
             with a letter or digit."
        );
        return Err(Fault::no(Why::InvalidRequest, detail));
    }
    // Dots and the like do not make another word of it.
    let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if RESERVED.contains(&bare.as_str()) {
        return Err(Fault::no(Why::InvalidRequest, "This handle is reserved; choose another."));
    }
    Ok(text)
}

/// Gives the caller this handle in place of the one that he has.
pub async fn change(services: &Services, principal: &Principal, text: &str) -> Result<Account, Fault> {
    let handle = normal(text)?;
    let digest = address_digest(services, AddressKind::Handle, &handle);
    let mut tx = services.store.begin().await?;
    let account = standing::locked(&mut tx, principal.account).await?;
    standing::must_be_open(&account)?;
    if !store::standing::revive_handle(&mut tx, account.id, &digest).await? {
        add(services, &mut tx, &account, &handle).await?;
    }
    store::standing::retire_handles(&mut tx, account.id, &digest, services.now()).await?;
    tx.commit().await?;
    accounts::by_id(services, account.id).await
}

async fn add(services: &Services, c: &mut AnyConnection, account: &Account, handle: &str) -> Result<(), Fault> {
    if store::standing::count_addresses(c, account.id, AddressKind::Handle).await? >= HANDLES_MAX {
        let detail = format!("An account has at most {HANDLES_MAX} handles in its life.");
        return Err(Fault::no(Why::InvalidState, detail));
    }
    accounts::insert_address(services, c, account.id, AddressKind::Handle, handle).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_have_one_form() {
        for (text, expected) in [("Asha_R", "asha_r"), (" @a.b-c ", "a.b-c"), ("007", "007"), ("admin1", "admin1")] {
            assert_eq!(normal(text).unwrap(), expected);
        }
        for text in ["", "ab", "-asha", "asha.", "as ha", "a@sha", "अशा", "Admin", "s.u.p.p.o.r.t", &"a".repeat(31)]
        {
            assert!(normal(text).is_err(), "{text}");
        }
    }
}
