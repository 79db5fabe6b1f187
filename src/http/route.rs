//! The table of routes, in one place: what the server answers, what the metrics are called by, and
//! what the OpenAPI document lists.

use hyper::Method;

use super::access::{self, Access};

/// The methods in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Get,
    Post,
}

macro_rules! routes {
    ($($route:ident = $verb:ident $path:literal $access:ident;)*) => {
        /// One thing that the server does.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Route { $($route,)* }

        impl Route {
            pub const ALL: &[Route] = &[$(Route::$route,)*];

            pub fn verb(self) -> Verb {
                match self { $(Route::$route => Verb::$verb,)* }
            }

            /// Who may call it. A route without this does not compile.
            pub fn access(self) -> Access {
                match self { $(Route::$route => access::$access,)* }
            }

            /// With `{id}` where an id stands.
            pub fn path(self) -> &'static str {
                match self { $(Route::$route => $path,)* }
            }
        }
    };
}

// `transfers/bulk` stands before `transfers/{id}`: the first that fits is taken.
routes! {
    Transfer = Post "/v1/transfers" PAYER;
    TransfersBulk = Post "/v1/transfers/bulk" PAYER;
    TransferRead = Get "/v1/transfers/{id}" PARTY;
    Deposit = Post "/v1/deposits" OPERATOR;
    Withdrawal = Post "/v1/withdrawals" OPERATOR;
    WalletOpen = Post "/v1/wallets" OPERATOR;
    WalletList = Get "/v1/wallets" OWN_WALLETS;
    WalletRead = Get "/v1/wallets/{id}" WALLET;
    WalletBalance = Get "/v1/wallets/{id}/balance" WALLET;
    WalletEntries = Get "/v1/wallets/{id}/entries" WALLET;
    WalletFreeze = Post "/v1/wallets/{id}/freeze" GUARD;
    WalletUnfreeze = Post "/v1/wallets/{id}/unfreeze" GUARD;
    WalletClose = Post "/v1/wallets/{id}/close" ADMINISTRATOR;
    WalletLimits = Get "/v1/wallets/{id}/limits" WALLET;
    WalletLimit = Post "/v1/wallets/{id}/limits" GUARD;
    HoldAuthorize = Post "/v1/holds" HOLD_PAYER;
    HoldRead = Get "/v1/holds/{id}" HOLD_PARTY;
    HoldCapture = Post "/v1/holds/{id}/capture" HOLD_PAYEE;
    HoldVoid = Post "/v1/holds/{id}/void" HOLD_PAYEE;
    LedgerSummary = Get "/v1/ledger/summary" BOOKS;
    SnapshotTake = Post "/v1/snapshots" ADMINISTRATOR;
    Me = Get "/v1/me" ME;
    CodeSend = Post "/v1/auth/codes" OPEN;
    CodeVerify = Post "/v1/auth/verify" OPEN;
    PasswordSignIn = Post "/v1/auth/password" OPEN;
    SecondFactor = Post "/v1/auth/second-factor" OPEN;
    Refresh = Post "/v1/auth/refresh" OPEN;
    LogOut = Post "/v1/auth/logout" ME;
    LogOutEverywhere = Post "/v1/auth/logout-everywhere" ME;
    SessionList = Get "/v1/me/sessions" ME;
    SessionEnd = Post "/v1/me/sessions/{id}/end" ME;
    CredentialsRead = Get "/v1/me/credentials" ME;
    PasswordChange = Post "/v1/me/password" ME;
    TotpBegin = Post "/v1/me/totp" ME;
    TotpConfirm = Post "/v1/me/totp/confirm" ME;
    TotpRemove = Post "/v1/me/totp/remove" ME;
    RecoveryCodesRenew = Post "/v1/me/recovery-codes" ME;
    ConfirmationAsk = Post "/v1/me/confirmations" ME;
    ConfirmationVerify = Post "/v1/me/confirmations/{id}/verify" ME;
    MeChange = Post "/v1/me" ME;
    MeHandle = Post "/v1/me/handle" ME;
    MeAddressAdd = Post "/v1/me/addresses" ME;
    MeAddressRemove = Post "/v1/me/addresses/remove" ME;
    MeClose = Post "/v1/me/close" ME;
    AccountOpen = Post "/v1/accounts" OPEN;
    AccountList = Get "/v1/accounts" STAFF;
    AccountRead = Get "/v1/accounts/{id}" STAFF;
    AccountApprove = Post "/v1/accounts/{id}/approve" ADMINISTRATOR;
    AccountBlock = Post "/v1/accounts/{id}/block" GUARD;
    AccountUnblock = Post "/v1/accounts/{id}/unblock" ADMINISTRATOR;
    AccountClose = Post "/v1/accounts/{id}/close" ADMINISTRATOR;
    AccountRole = Post "/v1/accounts/{id}/role" ADMINISTRATOR;
    ApiKeyCreate = Post "/v1/api-keys" API_KEYS;
    ApiKeyList = Get "/v1/api-keys" API_KEYS;
    ApiKeyRotate = Post "/v1/api-keys/{id}/rotate" API_KEYS;
    ApiKeyRevoke = Post "/v1/api-keys/{id}/revoke" API_KEYS;
    PromotionCreate = Post "/v1/promotions" BOOKS;
    PromotionList = Get "/v1/promotions" BOOKS;
    PromotionEnd = Post "/v1/promotions/{id}/end" BOOKS;
    AdjustmentAsk = Post "/v1/adjustments" TWO_PEOPLE;
    AdjustmentList = Get "/v1/adjustments" BOOKS;
    AdjustmentRead = Get "/v1/adjustments/{id}" BOOKS;
    AdjustmentApprove = Post "/v1/adjustments/{id}/approve" TWO_PEOPLE;
    AdjustmentReject = Post "/v1/adjustments/{id}/reject" TWO_PEOPLE;
    AuditList = Get "/v1/audit" ADMINISTRATOR;
    AuditVerify = Get "/v1/audit/verify" ADMINISTRATOR;
    KeyList = Get "/v1/keys" ADMINISTRATOR;
    KeyRotate = Post "/v1/keys/rotate" ADMINISTRATOR;
    MyBalance = Get "/v1/me/balance" MY_WALLET;
    MyWallets = Get "/v1/me/wallets" MY_WALLET;
    MyHistory = Get "/v1/me/history" MY_WALLET;
    MyStatement = Get "/v1/me/statements" MY_WALLET;
    MyLimits = Get "/v1/me/limits" MY_WALLET;
    MyLimitsChange = Post "/v1/me/limits" MY_MONEY;
    Pay = Post "/v1/me/payments" MY_PAYMENTS;
    RequestAsk = Post "/v1/me/requests" MY_MONEY;
    RequestList = Get "/v1/me/requests" MY_MONEY;
    RequestRead = Get "/v1/me/requests/{id}" MY_MONEY;
    RequestPay = Post "/v1/me/requests/{id}/pay" MY_MONEY;
    RequestDecline = Post "/v1/me/requests/{id}/decline" MY_MONEY;
    RequestCancel = Post "/v1/me/requests/{id}/cancel" MY_MONEY;
    TopUpBegin = Post "/v1/me/top-ups" MY_MONEY;
    TopUpList = Get "/v1/me/top-ups" MY_MONEY;
    TopUpRead = Get "/v1/me/top-ups/{id}" MY_MONEY;
    PayOutBegin = Post "/v1/me/withdrawals" MY_MONEY;
    PayOutList = Get "/v1/me/withdrawals" MY_MONEY;
    PayOutRead = Get "/v1/me/withdrawals/{id}" MY_MONEY;
    Events = Get "/v1/me/events" ME;
    NotificationsRead = Get "/v1/me/notifications" ME;
    NotificationsChoose = Post "/v1/me/notifications" ME;
    DeviceList = Get "/v1/me/devices" ME;
    DeviceAdd = Post "/v1/me/devices" ME;
    DeviceRemove = Post "/v1/me/devices/{id}/remove" ME;
    DeadLetterList = Get "/v1/dead-letters" MAILROOM;
    DeadLetterSend = Post "/v1/dead-letters/{id}/send" MAILROOM;
    DeadLetterDiscard = Post "/v1/dead-letters/{id}/discard" MAILROOM;
    Health = Get "/healthz" OPEN;
    Ready = Get "/readyz" OPEN;
    Metrics = Get "/metrics" OPEN;
    OpenApi = Get "/openapi.json" OPEN;
    Docs = Get "/docs" OPEN;
}

/// What a method and a path come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found<'p> {
    Route(Route, &'p str),
    /// The path is known; these are its methods.
    OtherMethod {
        get: bool,
        post: bool,
    },
    Nothing,
}

impl Route {
    /// Whether it can be asked by anybody.
    pub fn is_open(self) -> bool {
        self.access().is_open()
    }

    /// Whether it moves money, or promises some, and so needs an Idempotency-Key.
    pub fn needs_key(self) -> bool {
        use Route::{AdjustmentAsk, Pay, PayOutBegin, PromotionCreate, RequestPay, TopUpBegin};
        use Route::{Deposit, HoldAuthorize, HoldCapture, Transfer, Withdrawal};
        matches!(self, Transfer | Deposit | Withdrawal | HoldAuthorize | HoldCapture)
            || matches!(self, Pay | RequestPay | TopUpBegin | PayOutBegin | AdjustmentAsk | PromotionCreate)
    }

    /// Whether there is more to ask than by its path.
    pub fn takes_query(self) -> bool {
        use Route::{AccountList, AdjustmentList, ApiKeyList, PromotionList};
        use Route::{AuditList, SessionList, TransfersBulk, WalletBalance, WalletEntries, WalletList};
        use Route::{MyBalance, MyHistory, MyStatement, MyWallets, PayOutList, RequestList, TopUpList};
        matches!(self, TransfersBulk | WalletList | WalletBalance | WalletEntries | SessionList | AuditList)
            || matches!(self, MyBalance | MyWallets | MyHistory | MyStatement | RequestList | TopUpList | PayOutList)
            || matches!(self, Route::DeadLetterList | Route::MyLimits | Route::MyLimitsChange)
            || matches!(self, AccountList | AdjustmentList | ApiKeyList | PromotionList)
    }

    pub fn takes_body(self) -> bool {
        use Route::{AccountBlock, AccountOpen, AccountRole, ApiKeyCreate, ApiKeyRotate};
        use Route::{CodeSend, CodeVerify, ConfirmationAsk, ConfirmationVerify, PasswordChange, PasswordSignIn};
        use Route::{MeAddressAdd, MeAddressRemove, MeChange, MeHandle};
        use Route::{RecoveryCodesRenew, Refresh, SecondFactor, TotpConfirm, TotpRemove};
        let takes_one = matches!(self, Route::WalletOpen | Route::WalletLimit | Route::TransfersBulk)
            || matches!(self, CodeSend | CodeVerify | PasswordSignIn | SecondFactor | Refresh | PasswordChange)
            || matches!(self, TotpConfirm | TotpRemove | RecoveryCodesRenew | ConfirmationAsk | ConfirmationVerify)
            || matches!(self, AccountBlock | AccountOpen | AccountRole | ApiKeyCreate | ApiKeyRotate)
            || matches!(self, MeAddressAdd | MeAddressRemove | MeChange | MeHandle)
            || matches!(self, Route::NotificationsChoose | Route::DeviceAdd | Route::MyLimitsChange)
            || self == Route::KeyRotate;
        (self.needs_key() && self != Route::RequestPay) || takes_one || self == Route::RequestAsk
    }
}

pub fn is_versioned(path: &str) -> bool {
    path.starts_with("/v1/")
}

/// The routes that carry the load are compared first; the rest walk the table.
pub fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    if method == Method::POST {
        match path {
            "/v1/transfers" => return Found::Route(Route::Transfer, ""),
            "/v1/transfers/bulk" => return Found::Route(Route::TransfersBulk, ""),
            "/v1/deposits" => return Found::Route(Route::Deposit, ""),
            "/v1/withdrawals" => return Found::Route(Route::Withdrawal, ""),
            _ => {}
        }
    }
    let (mut get, mut post) = (false, false);
    for &route in Route::ALL {
        let Some(id) = fits(route.path(), path) else { continue };
        let asked = match route.verb() {
            Verb::Get => method == Method::GET || method == Method::HEAD,
            Verb::Post => method == Method::POST,
        };
        if asked {
            return Found::Route(route, id);
        }
        get |= route.verb() == Verb::Get;
        post |= route.verb() == Verb::Post;
    }
    if get || post { Found::OtherMethod { get, post } } else { Found::Nothing }
}

/// Gives what stands in the place of `{id}`, or nothing where the template has none.
fn fits<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, after)) = template.split_once("{id}") else {
        return (template == path).then_some("");
    };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_own_path() {
        for &route in Route::ALL {
            let method = if route.verb() == Verb::Get { Method::GET } else { Method::POST };
            let path = route.path().replace("{id}", "x1");
            let id = if route.path().contains("{id}") { "x1" } else { "" };
            assert_eq!(find(&method, &path), Found::Route(route, id));
        }
    }

    #[test]
    fn other_methods_and_other_paths() {
        assert_eq!(find(&Method::DELETE, "/v1/wallets"), Found::OtherMethod { get: true, post: true });
        assert_eq!(find(&Method::GET, "/v1/transfers"), Found::OtherMethod { get: false, post: true });
        assert_eq!(find(&Method::HEAD, "/healthz"), Found::Route(Route::Health, ""));
        for path in ["/", "/v1", "/v1/", "/v1/wallets/", "/v1/wallets/a/b", "/v1/wallets//balance", "/v1/transfers/"] {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
    }
}
