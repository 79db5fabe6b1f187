//! What a wallet company does around the ledger: people, sessions, roles, notifications. Plain functions over the store and
//! the engine; nothing here knows HTTP.

pub mod accounts;
pub mod adjustments;
pub mod api_keys;
pub mod audit;
pub mod background;
pub mod bank_moves;
pub mod clock;
pub mod codes;
pub mod contact;
pub mod crash;
pub mod doors;
pub mod fault;
pub mod handles;
pub mod history;
pub mod intentions;
pub mod keys;
pub mod money_requests;
pub mod notices;
pub mod notify;
pub mod ownership;
mod pace;
pub mod passwords;
pub mod payees;
pub mod payments;
pub mod principal;
pub mod profile;
pub mod promotions;
pub mod registration;
pub mod second_factor;
pub mod sessions;
pub mod sign_in;
pub mod spending_limits;
pub mod standing;
pub mod statements;
pub mod step_up;
pub mod tokens;
mod turns;

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::engine::Engine;
use crate::gateways::bank::Bank;
use crate::ledger::{Amount, Currency, TransferId};
use crate::store::seal::Seal;
use crate::store::{Store, StoreError};

use background::Background;
use clock::Clock;
use doors::Doors;
use notify::{Messengers, Notifier};
use passwords::Hashing;
use tokens::Tokens;
use turns::Turns;

pub use accounts::Approval;
pub use fault::{Fault, Why};
pub use principal::{Principal, Scope, Who};

/// What an operator decides once for all people.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The currency of the wallet that an account opens with.
    pub currency: Currency,
    pub approval: Approval,
    /// What a person pays above this has to be confirmed.
    pub step_up_above: Option<Amount>,
    /// Where money comes from and goes to. None: people move money among themselves only.
    pub bank: Option<Arc<dyn Bank>>,
    pub messengers: Messengers,
    /// What one person may adjust in 24 hours without another's approval, in minor units of `currency`.
    pub adjustment_alone_max: i64,
}

/// Everything that the functions of this floor work on.
pub struct Services {
    pub store: Store,
    pub seal: Seal,
    pub engine: Engine,
    pub tokens: Tokens,
    pub doors: Doors,
    pub hashing: Hashing,
    pub settings: Settings,
    pub clock: Clock,
    pub background: Background,
    pub notifier: Notifier,
    turns: Turns,
    key_turns: Turns,
}

impl Services {
    /// Reads who may come in, finishes what a crash left undone, and starts what runs in the background.
    pub async fn start(
        store: Store,
        seal: Seal,
        engine: Engine,
        settings: Settings,
        clock: Clock,
    ) -> Result<Arc<Services>, Fault> {
        let tokens = Tokens::new(seal.keyring().clone());
        let doors = Doors::load(&store, clock.now()).await?;
        let (hashing, background) = (Hashing::default(), Background::default());
        let notifier = Notifier::new(settings.messengers.clone());
        let (turns, key_turns) = (Turns::default(), Turns::default());
        let services = Services {
            store,
            seal,
            engine,
            tokens,
            doors,
            hashing,
            settings,
            clock,
            background,
            notifier,
            turns,
            key_turns,
        };
        let services = Arc::new(services);
        audit::log_head(&services).await?;
        notify::begin(&services).await?;
        if let Err(fault) = accounts::sweep(&services).await {
            // A ledger that is read-only, for one. It is tried again later, and everything else can be asked for.
            tracing::warn!(%fault, "accounts that a crash left undone wait to be finished");
        }
        background::start(&services).await?;
        Ok(services)
    }

    /// Ends what runs in the background; then the database.
    pub async fn stop(&self) {
        self.notifier.stop();
        self.background.stop().await;
        self.store.close().await;
    }

    pub fn now(&self) -> i64 {
        self.clock.now()
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A UUIDv8 (RFC 9562) made of a hash: the same for ever.
fn id_of_hash(hash: Sha256) -> u128 {
    let digest: [u8; 32] = hash.finalize().into();
    let (head, _) = digest.split_first_chunk::<16>().expect("32 bytes have a first 16");
    uuid::Builder::from_custom_bytes(*head).into_uuid().as_u128()
}

/// An id of a row: UUIDv7, so that ids rise with time (RFC 9562).
pub fn new_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

/// The id of the transfer that a row leads to: the same row, the same id. `what` tells rows of different tables, and several
/// transfers of one row, apart.
pub fn transfer_id(what: &str, row: uuid::Uuid) -> TransferId {
    TransferId(id_of_hash(Sha256::new_with_prefix(format!("florin {what} {row}"))))
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Store(error)
    }
}
