//! Ids: 128 bits each, UUIDs on the wire (version 7 where Florin makes them, RFC 9562).
//! A type for each meaning, so that a wallet can never be passed where an owner is meant.

use std::fmt;

use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_u128(self.0).as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A wallet. Transfers visit wallets in ascending order of this id.
    WalletId
);
id!(
    /// Whoever a wallet belongs to. The ledger only stores it.
    OwnerId
);
id!(
    /// A transfer; unique for ever, and the idempotency key of the request that made it.
    TransferId
);
id!(
    /// A customer's hold. Holds and transfers share one space of ids.
    HoldId
);
