//! Events: what the log keeps, and the only way in which money changes.

use super::hold::{Authorization, Capture, HoldEnd};
use super::ids::{HoldId, TransferId, WalletId};
use super::reject::Reject;
use super::spending::SpendingLimits;
use super::transfer::Transfer;
use super::wallet::{Opening, Status};

/// One durable fact. Its position (LSN) and time come from the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    WalletOpened(Opening),
    StatusChanged {
        wallet: WalletId,
        status: Status,
    },
    Transferred(Transfer),
    HoldAuthorized(Authorization),
    HoldCaptured(Capture),
    /// Voided or expired: what remained is available again.
    HoldReleased {
        hold: HoldId,
        payer: WalletId,
        released: i64,
        end: HoldEnd,
    },
    /// A request with an id was refused. Changes nothing; a repeat gets the same answer.
    Refused {
        id: TransferId,
        fingerprint: u64,
        reject: Reject,
    },
    /// These limits take the place of those that the wallet had; none at all: it has none any more.
    SpendingLimited {
        wallet: WalletId,
        limits: SpendingLimits,
    },
}

impl Event {
    /// The id that the request carried, and its fingerprint.
    pub fn request(&self) -> Option<(TransferId, u64)> {
        match self {
            Event::Transferred(transfer) => Some((transfer.id(), transfer.fingerprint())),
            Event::HoldAuthorized(hold) => Some((TransferId(hold.hold.0), hold.fingerprint)),
            Event::HoldCaptured(capture) => Some((capture.id, capture.fingerprint)),
            Event::Refused { id, fingerprint, .. } => Some((*id, *fingerprint)),
            Event::WalletOpened(_)
            | Event::StatusChanged { .. }
            | Event::HoldReleased { .. }
            | Event::SpendingLimited { .. } => None,
        }
    }
}
