//! Dead letters: what was refused for good or tried too often, until somebody sends it again or puts it away.

use serde_json::json;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::Services;
use crate::services::audit;
use crate::services::fault::{Fault, Why};
use crate::services::principal::Principal;
use crate::store::AddressKind;
use crate::store::deliveries::{self, Delivery, DeliveryState};

/// Where a page ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct After {
    pub done_at: i64,
    pub id: Uuid,
}

/// A dead letter as staff see it: what it says is nobody's business.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub delivery: Delivery,
    /// Enough to know it again.
    pub address_shown: String,
}

/// Newest first.
pub async fn list(services: &Services, after: Option<After>, limit: usize) -> Result<Vec<DeadLetter>, Fault> {
    let (before, id) = after.map_or((i64::MAX, String::new()), |after| (after.done_at, after.id.to_string()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut c = services.store.read().await?;
    let dead = deliveries::dead(&mut c, (before, &id), limit).await?;
    dead.into_iter().map(|delivery| shown(services, delivery)).collect()
}

/// It is due now, with all its tries before it.
pub async fn send_again(services: &Services, who: &Principal, id: Uuid) -> Result<DeadLetter, Fault> {
    let now = services.now();
    let mut tx = services.store.begin().await?;
    if !deliveries::revive(&mut tx, id, now).await? {
        return Err(absent());
    }
    let delivery = deliveries::by_id(&mut tx, id).await?.ok_or_else(absent)?;
    note(services, &mut tx, who, "dead_letter.send", &delivery).await?;
    tx.commit().await?;
    if let Some(channel) = super::Channel::by_name(&delivery.channel) {
        services.background.wake(channel.name());
    }
    shown(services, delivery)
}

/// It is put away for good.
pub async fn discard(services: &Services, who: &Principal, id: Uuid) -> Result<DeadLetter, Fault> {
    let mut tx = services.store.begin().await?;
    if !deliveries::discard(&mut tx, id, services.now()).await? {
        return Err(absent());
    }
    let delivery = deliveries::by_id(&mut tx, id).await?.ok_or_else(absent)?;
    note(services, &mut tx, who, "dead_letter.discard", &delivery).await?;
    tx.commit().await?;
    shown(services, delivery)
}

async fn note(
    services: &Services,
    c: &mut AnyConnection,
    who: &Principal,
    action: &str,
    delivery: &Delivery,
) -> Result<(), Fault> {
    let detail = json!({ "channel": delivery.channel, "kind": delivery.kind, "account": delivery.account });
    audit::record(services, c, &who.actor(), action, &format!("delivery {}", delivery.id), &detail).await
}

fn absent() -> Fault {
    Fault::no(Why::NotFound, "There is no dead letter with this id; it may have been sent or put away.")
}

fn shown(services: &Services, delivery: Delivery) -> Result<DeadLetter, Fault> {
    let address = services.seal.open("deliveries.address", &delivery.address_sealed)?;
    let address_shown = match AddressKind::by_name(&delivery.channel) {
        Some(AddressKind::Email) => masked_email(&address),
        _ => masked_end(&address),
    };
    debug_assert!(matches!(
        delivery.state,
        DeliveryState::Dead | DeliveryState::Queued | DeliveryState::Sent | DeliveryState::Discarded
    ));
    Ok(DeadLetter { delivery, address_shown })
}

/// a***@example.in
fn masked_email(address: &str) -> String {
    let (name, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first: String = name.chars().take(1).collect();
    format!("{first}***@{domain}")
}

/// ***4711
fn masked_end(address: &str) -> String {
    let count = address.chars().count();
    let end: String = address.chars().skip(count.saturating_sub(4.min(count / 2))).collect();
    format!("***{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_in_part() {
        assert_eq!(masked_email("asha@example.in"), "a***@example.in");
        assert_eq!(masked_end("+919812344711"), "***4711");
        assert_eq!(masked_end("abc"), "***c");
        assert_eq!(masked_end(""), "***");
    }
}
