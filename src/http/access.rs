//! Who may call what: the rules that the table of routes is made of. Denied is whatever a rule does not allow. The server
//! enforces them in one place, the documents print them, and a test walks them all.

use crate::services::{Principal, Scope, Who};
use crate::store::Role;

/// One rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Roles of people. Merchants' API keys have the role merchant.
    pub roles: &'static [Role],
    /// Whether the operator's key may.
    pub operator: bool,
    /// Whether anybody may, without credentials.
    pub open: bool,
    pub own: Own,
    /// What an API key needs; nothing: API keys may not.
    pub scope: Option<Scope>,
}

/// What a user or merchant must own. Staff and operator see everybody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Own {
    /// It is about nobody in particular.
    Nothing,
    /// It is about the caller's account and nobody else's, for every role.
    Caller,
    /// The wallet in the path.
    Wallet,
    /// What the handler says: a payer in the body, a party of a transfer.
    Named(&'static str),
}

use Role::{Administrator, Finance, Merchant, Risk, Support, User};

const ALL: &[Role] = Role::ALL;
const CUSTOMERS: &[Role] = &[User, Merchant];
const NOBODY: &[Role] = &[];

const fn rule(roles: &'static [Role], own: Own, scope: Option<Scope>) -> Access {
    Access { roles, operator: true, open: false, own, scope }
}

/// No credentials are needed.
pub const OPEN: Access = Access { open: true, ..rule(NOBODY, Own::Nothing, None) };
/// The operator's key only: systems that the company runs itself.
pub const OPERATOR: Access = rule(NOBODY, Own::Nothing, None);
pub const ADMINISTRATOR: Access = rule(&[Administrator], Own::Nothing, None);
/// Freezing and unfreezing, and spending limits.
pub const GUARD: Access = rule(&[Risk, Administrator], Own::Nothing, None);
/// The ledger as a whole.
pub const BOOKS: Access = rule(&[Finance, Administrator], Own::Nothing, None);
/// Looking after accounts.
pub const STAFF: Access = rule(&[Support, Risk, Finance, Administrator], Own::Nothing, None);
/// Messages that could not be delivered.
pub const MAILROOM: Access = rule(&[Support, Administrator], Own::Nothing, None);
/// One of two people: never a key, which is nobody.
pub const TWO_PEOPLE: Access = Access { operator: false, ..rule(&[Finance, Administrator], Own::Nothing, None) };
/// A merchant's own keys; an administrator sees everybody's.
pub const API_KEYS: Access = rule(&[Merchant, Administrator], Own::Named("account"), None);
/// The caller's own account, whoever it is.
pub const ME: Access = Access { operator: false, ..rule(ALL, Own::Caller, None) };

/// The caller's own wallet.
pub const MY_WALLET: Access = Access { operator: false, ..rule(ALL, Own::Caller, Some(Scope::WalletsRead)) };
/// Paying out of it.
pub const MY_PAYMENTS: Access = Access { operator: false, ..rule(CUSTOMERS, Own::Caller, Some(Scope::PaymentsWrite)) };
/// What a person with a wallet does himself, and no program of his.
pub const MY_MONEY: Access = Access { operator: false, ..rule(CUSTOMERS, Own::Caller, None) };

pub const WALLET: Access = rule(ALL, Own::Wallet, Some(Scope::WalletsRead));
pub const OWN_WALLETS: Access = rule(ALL, Own::Named("owner"), Some(Scope::WalletsRead));
pub const PAYER: Access = rule(CUSTOMERS, Own::Named("payer's wallet"), Some(Scope::TransfersWrite));
pub const PARTY: Access = rule(ALL, Own::Named("wallet of a leg"), Some(Scope::TransfersRead));
pub const HOLD_PAYER: Access = rule(CUSTOMERS, Own::Named("payer's wallet"), Some(Scope::HoldsWrite));
pub const HOLD_PAYEE: Access = rule(CUSTOMERS, Own::Named("payee's wallet"), Some(Scope::HoldsWrite));
pub const HOLD_PARTY: Access = rule(ALL, Own::Named("payer's or payee's wallet"), Some(Scope::HoldsRead));

impl Access {
    pub fn is_open(self) -> bool {
        self.open
    }

    /// Whether a caller of this kind may at all; what is his own is looked at afterwards.
    pub fn admits(self, principal: &Principal) -> bool {
        match principal.who {
            Who::Nobody => self.open,
            Who::Operator => self.operator,
            Who::Person { .. } => self.roles.contains(&principal.role),
            Who::Key { .. } => {
                self.roles.contains(&Merchant) && self.scope.is_some_and(|scope| principal.has_scope(scope))
            }
        }
    }
}
