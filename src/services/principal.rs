//! Who asks: the operator's key, a person in a session, or a merchant's API key. What each may do stands in the table of
//! routes; here only what a caller is.

use std::sync::Arc;

use uuid::Uuid;

use super::fault::{Fault, Why};
use super::ownership::OwnWallets;
use crate::engine::{Engine, Failure};
use crate::ledger::WalletId;
use crate::store::Role;
use crate::store::accounts::named;

named! {
    /// What an API key is good for.
    Scope {
        TransfersRead = "transfers:read",
        TransfersWrite = "transfers:write",
        WalletsRead = "wallets:read",
        HoldsRead = "holds:read",
        HoldsWrite = "holds:write",
        PaymentsRead = "payments:read",
        PaymentsWrite = "payments:write",
    }
}

/// By what a caller was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Nobody,
    Operator,
    Person { session: Uuid },
    Key { key: Uuid },
}

/// A caller that was let in.
#[derive(Debug)]
pub struct Principal {
    pub who: Who,
    /// Nil for the operator, who is nobody's account.
    pub account: Uuid,
    /// The operator's key may whatever an administrator may, and more.
    pub role: Role,
    /// Of an API key; a person has all.
    pub scopes: Vec<Scope>,
    /// Wallets that were found to be the caller's.
    own: Arc<OwnWallets>,
}

impl Principal {
    pub fn operator() -> Principal {
        Principal::new(Who::Operator, Uuid::nil(), Role::Administrator, Vec::new())
    }

    /// A caller of an open route.
    pub fn nobody() -> Principal {
        Principal::new(Who::Nobody, Uuid::nil(), Role::User, Vec::new())
    }

    pub fn person(account: Uuid, session: Uuid, role: Role) -> Principal {
        Principal::new(Who::Person { session }, account, role, Vec::new())
    }

    pub fn key(account: Uuid, key: Uuid, scopes: Vec<Scope>) -> Principal {
        Principal::new(Who::Key { key }, account, Role::Merchant, scopes)
    }

    fn new(who: Who, account: Uuid, role: Role, scopes: Vec<Scope>) -> Principal {
        Principal { who, account, role, scopes, own: Arc::default() }
    }

    pub fn is_operator(&self) -> bool {
        self.who == Who::Operator
    }

    /// The session of a person; the operator and API keys have none.
    pub fn session(&self) -> Result<Uuid, Fault> {
        match self.who {
            Who::Person { session } => Ok(session),
            Who::Nobody | Who::Operator | Who::Key { .. } => {
                Err(Fault::no(Why::Forbidden, "Only people in a session of their own may do this."))
            }
        }
    }

    /// Whether only what is the caller's own is there for him.
    pub fn is_bound_to_own(&self) -> bool {
        !self.is_operator() && matches!(self.role, Role::User | Role::Merchant)
    }

    pub fn has_scope(&self, scope: Scope) -> bool {
        !matches!(self.who, Who::Key { .. }) || self.scopes.contains(&scope)
    }

    /// The same caller, who knows of his wallets what his other connections know.
    pub fn sharing(self, own: Arc<OwnWallets>) -> Principal {
        Principal { own, ..self }
    }

    /// Whether the wallet is there and the caller's own.
    pub async fn owns(&self, engine: &Engine, wallet: WalletId) -> Result<bool, Failure> {
        if self.own.has(wallet) {
            return Ok(true);
        }
        let owner = engine.wallet(wallet).await?.map(|view| view.owner.0);
        let is_own = owner == Some(self.account.as_u128()) && !self.account.is_nil();
        if is_own {
            self.own.note(wallet);
        }
        Ok(is_own)
    }

    /// Whether all of these are already known to be the caller's own, for which nobody needs to be asked.
    pub fn is_known_to_own(&self, wallets: impl IntoIterator<Item = WalletId>) -> bool {
        self.own.has_all(wallets)
    }

    /// As the audit log writes it.
    pub fn actor(&self) -> String {
        match self.who {
            Who::Nobody => "nobody".to_owned(),
            Who::Operator => "operator".to_owned(),
            Who::Person { .. } => format!("account {}", self.account),
            Who::Key { key } => format!("key {key}"),
        }
    }
}
