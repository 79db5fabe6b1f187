//! Accounts and the addresses by which people are found: email, phone, handle.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            pub fn by_name(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|known| known.name() == name)
            }

            pub fn from_row(text: &str) -> Result<$name, $crate::store::StoreError> {
                $name::by_name(text).ok_or_else(|| {
                    $crate::store::StoreError::content(format!("{text:?} as {}", stringify!($name)))
                })
            }
        }
    };
}
pub(crate) use named;

named! {
    /// What an account is allowed, in one word.
    Role {
        User = "user",
        Merchant = "merchant",
        Support = "support",
        Risk = "risk",
        Finance = "finance",
        Administrator = "administrator",
    }
}

named! {
    /// Where an account is in its life. Closed is the end.
    AccountState {
        Pending = "pending",
        Active = "active",
        Blocked = "blocked",
        Closed = "closed",
    }
}

named! {
    /// By what a person is found.
    AddressKind {
        Email = "email",
        Phone = "phone",
        Handle = "handle",
    }
}

/// A row of `accounts`. The name is sealed.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: Uuid,
    pub role: Role,
    pub state: AccountState,
    pub name_sealed: String,
    pub locale: String,
    pub currency: String,
    pub wallet: Uuid,
    pub wallet_opened_at: Option<i64>,
    pub promotion: Option<String>,
    pub promotion_paid_at: Option<i64>,
    /// Why the ledger paid nothing under it.
    pub promotion_refused: Option<String>,
    pub created_at: i64,
    pub active_from: Option<i64>,
    pub state_changed_at: i64,
    pub wallet_status_wanted: Option<String>,
}

impl Account {
    /// Whether its wallets are being closed; it is what it was until they are.
    pub fn is_closing(&self) -> bool {
        self.wallet_status_wanted.as_deref() == Some("closed")
    }
}

/// A row of `addresses`.
#[derive(Clone, Debug)]
pub struct Address {
    pub kind: AddressKind,
    pub address_digest: String,
    pub address_sealed: String,
    pub account: Uuid,
    pub verified_at: i64,
}

pub(crate) fn uuid_of(text: &str) -> Result<Uuid, StoreError> {
    Uuid::try_parse(text).map_err(|_| StoreError::content(format!("{text:?} as an id")))
}

pub async fn insert(c: &mut AnyConnection, account: &Account) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO accounts (id, role, state, name_sealed, locale, currency, wallet, wallet_opened_at, promotion, \
         promotion_paid_at, created_at, active_from, state_changed_at, wallet_status_wanted) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(account.id.to_string())
    .bind(account.role.name())
    .bind(account.state.name())
    .bind(&account.name_sealed)
    .bind(&account.locale)
    .bind(&account.currency)
    .bind(account.wallet.to_string())
    .bind(account.wallet_opened_at)
    .bind(account.promotion.as_deref())
    .bind(account.promotion_paid_at)
    .bind(account.created_at)
    .bind(account.active_from)
    .bind(account.state_changed_at)
    .bind(account.wallet_status_wanted.as_deref())
    .execute(c)
    .await?;
    Ok(())
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query("SELECT * FROM accounts WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| account(&row)).transpose()
}

/// Reads the account, and keeps others from changing it until the transaction ends. Whoever also changes its sessions locks
/// the account first.
pub async fn lock(c: &mut AnyConnection, id: Uuid) -> Result<Option<Account>, StoreError> {
    let sql = "UPDATE accounts SET id = id WHERE id = $1 RETURNING *";
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| account(&row)).transpose()
}

pub async fn by_wallet(c: &mut AnyConnection, wallet: Uuid) -> Result<Option<Account>, StoreError> {
    let sql = "SELECT * FROM accounts WHERE wallet = $1";
    let row = sqlx::query(sql).bind(wallet.to_string()).fetch_optional(c).await?;
    row.map(|row| account(&row)).transpose()
}

pub async fn by_address(c: &mut AnyConnection, kind: AddressKind, digest: &str) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query(
        "SELECT accounts.* FROM addresses JOIN accounts ON accounts.id = addresses.account \
         WHERE addresses.kind = $1 AND addresses.address_digest = $2 AND addresses.retired_at IS NULL",
    )
    .bind(kind.name())
    .bind(digest)
    .fetch_optional(c)
    .await?;
    row.map(|row| account(&row)).transpose()
}

/// Accounts that the ledger does not yet show as their rows say: a crash came between. In the order of their ids.
pub async fn unfinished(c: &mut AnyConnection, after: Uuid, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query(
        "SELECT id FROM accounts WHERE id > $1 AND (wallet_opened_at IS NULL OR wallet_status_wanted IS NOT NULL \
         OR (promotion IS NOT NULL AND promotion_paid_at IS NULL AND promotion_refused IS NULL AND state = 'active')) \
         ORDER BY id LIMIT $2",
    )
    .bind(after.to_string())
    .bind(limit)
    .fetch_all(c)
    .await?;
    rows.iter().map(|row| uuid_of(row.try_get("id")?)).collect()
}

pub async fn wallet_opened(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET wallet_opened_at = $2 WHERE id = $1 AND wallet_opened_at IS NULL";
    sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?;
    Ok(())
}

pub async fn insert_address(c: &mut AnyConnection, address: &Address) -> Result<(), StoreError> {
    let sql = "INSERT INTO addresses (kind, address_digest, address_sealed, account, verified_at) \
               VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(address.kind.name())
        .bind(&address.address_digest)
        .bind(&address.address_sealed)
        .bind(address.account.to_string())
        .bind(address.verified_at)
        .execute(c)
        .await?;
    Ok(())
}

pub async fn addresses_of(c: &mut AnyConnection, account: Uuid) -> Result<Vec<Address>, StoreError> {
    let sql = "SELECT * FROM addresses WHERE account = $1 AND retired_at IS NULL ORDER BY kind, verified_at";
    let rows = sqlx::query(sql).bind(account.to_string()).fetch_all(c).await?;
    rows.iter().map(address).collect()
}

pub(crate) fn account(row: &AnyRow) -> Result<Account, StoreError> {
    Ok(Account {
        id: uuid_of(row.try_get("id")?)?,
        role: Role::from_row(row.try_get("role")?)?,
        state: AccountState::from_row(row.try_get("state")?)?,
        name_sealed: row.try_get("name_sealed")?,
        locale: row.try_get("locale")?,
        currency: row.try_get("currency")?,
        wallet: uuid_of(row.try_get("wallet")?)?,
        wallet_opened_at: row.try_get("wallet_opened_at")?,
        promotion: row.try_get("promotion")?,
        promotion_paid_at: row.try_get("promotion_paid_at")?,
        promotion_refused: row.try_get("promotion_refused")?,
        created_at: row.try_get("created_at")?,
        active_from: row.try_get("active_from")?,
        state_changed_at: row.try_get("state_changed_at")?,
        wallet_status_wanted: row.try_get("wallet_status_wanted")?,
    })
}

fn address(row: &AnyRow) -> Result<Address, StoreError> {
    Ok(Address {
        kind: AddressKind::from_row(row.try_get("kind")?)?,
        address_digest: row.try_get("address_digest")?,
        address_sealed: row.try_get("address_sealed")?,
        account: uuid_of(row.try_get("account")?)?,
        verified_at: row.try_get("verified_at")?,
    })
}
