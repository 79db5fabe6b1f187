//! The tables, in the order in which they came to be. A migration that has been released is never changed.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

const ALL: &[(i64, &str, &str)] = &[
    (1, "accounts", include_str!("migrations/001_accounts.sql")),
    (2, "credentials", include_str!("migrations/002_credentials.sql")),
    (3, "administration", include_str!("migrations/003_administration.sql")),
    (4, "wallet", include_str!("migrations/004_wallet.sql")),
    (5, "notifications", include_str!("migrations/005_notifications.sql")),
    (6, "spending_limits", include_str!("migrations/006_spending_limits.sql")),
];

pub(super) fn all() -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        let kind = MigrationType::Simple;
        Migration::new(version, Cow::Borrowed(name), kind, AssertSqlSafe(sql).into_sql_str(), false)
    };
    Migrator::with_migrations(ALL.iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn versions_rise() {
        assert!(ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
