//! To which addresses something goes, and how a delivery is written: by what a person has, chose, and cannot switch off.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::preferences::{self, Choices};
use super::{Channel, Services};
use crate::services::fault::Fault;
use crate::services::notices::Kind;
use crate::store::deliveries::{Delivery, DeliveryState};
use crate::store::{Account, AddressKind, Role, accounts, deliveries, devices};

/// Somebody who can be told something.
pub(super) struct Recipient {
    pub account: Account,
    pub emails: Vec<String>,
    pub phones: Vec<String>,
    pub devices: Vec<String>,
    pub choices: Choices,
    /// As others may see it.
    pub display_name: String,
}

/// Those who were looked up for one batch.
#[derive(Default)]
pub(super) struct Recipients {
    known: HashMap<Uuid, Option<Recipient>>,
}

/// What a delivery says, and until when it is of use.
pub(super) struct Matter<'m> {
    /// The same source, channel and address is the same delivery.
    pub source: &'m [u8],
    pub kind: Kind,
    pub params: &'m Value,
    pub created_at: i64,
    pub expires_at: Option<i64>,
}

impl Recipients {
    /// None: there is no such account.
    pub(super) async fn get(
        &mut self,
        services: &Services,
        c: &mut AnyConnection,
        id: Uuid,
    ) -> Result<Option<&Recipient>, Fault> {
        let known = match self.known.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(load(services, c, id).await?),
        };
        Ok(known.as_ref())
    }
}

impl Recipient {
    /// Where a notice of this kind goes.
    pub(super) fn addresses(&self, services: &Services, kind: Kind) -> Vec<(Channel, &str)> {
        let (email, phone) = (self.emails.first(), self.phones.first());
        if kind == Kind::Code {
            // One code goes one way: to the phone where it can.
            let has_sms = services.notifier.messengers.sms.is_some();
            let by_sms = phone.map(|phone| (Channel::Sms, phone.as_str()));
            let by_email = email.map(|email| (Channel::Email, email.as_str()));
            let way = if has_sms { by_sms.or(by_email) } else { by_email.or(by_sms) };
            return way.into_iter().collect();
        }
        let mut all = Vec::new();
        all.extend(email.map(|email| (Channel::Email, email.as_str())));
        all.extend(phone.map(|phone| (Channel::Sms, phone.as_str())));
        all.extend(self.devices.iter().map(|token| (Channel::Push, token.as_str())));
        all.retain(|(channel, _)| preferences::is_on(kind, *channel, &self.choices));
        all
    }
}

/// Writes the delivery; without a provider it is only noted that there was none.
pub(super) async fn put(
    services: &Services,
    c: &mut AnyConnection,
    account: Option<Uuid>,
    locale: &str,
    (channel, address): (Channel, &str),
    matter: &Matter<'_>,
) -> Result<(), Fault> {
    let is_suppressed = services.notifier.messengers.get(channel).is_none();
    let (seal, now) = (&services.seal, services.now());
    let params = if is_suppressed { String::new() } else { seal.seal("deliveries.params", &matter.params.to_string()) };
    let delivery = Delivery {
        id: id_of(matter.source, channel, address),
        account,
        channel: channel.name().to_owned(),
        address_sealed: seal.seal("deliveries.address", address),
        locale: locale.to_owned(),
        kind: matter.kind.name().to_owned(),
        params_sealed: params,
        state: if is_suppressed { DeliveryState::Suppressed } else { DeliveryState::Queued },
        urgency: i64::from(matter.kind != Kind::Code),
        attempts: 0,
        next_attempt_at: now,
        last_error: is_suppressed.then(|| format!("no provider for {} is configured", channel.name())),
        provider_id: None,
        created_at: matter.created_at,
        expires_at: matter.expires_at,
        done_at: is_suppressed.then_some(now),
    };
    if is_suppressed {
        super::deliver::count(channel, "suppressed");
    }
    Ok(deliveries::insert(c, &delivery).await?)
}

/// "Asha R.": enough to know whom one deals with. Merchants are known by their whole name.
pub(super) fn display_name(role: Role, name: &str) -> String {
    let mut words = name.split_whitespace();
    match (words.next(), words.next_back()) {
        (Some(first), Some(last)) if role != Role::Merchant => {
            format!("{first} {}.", last.chars().next().unwrap_or_default())
        }
        _ => name.to_owned(),
    }
}

async fn load(services: &Services, c: &mut AnyConnection, id: Uuid) -> Result<Option<Recipient>, Fault> {
    let Some(account) = accounts::by_id(c, id).await? else { return Ok(None) };
    let (mut emails, mut phones) = (Vec::new(), Vec::new());
    for row in accounts::addresses_of(c, id).await? {
        let list = match row.kind {
            AddressKind::Email => &mut emails,
            AddressKind::Phone => &mut phones,
            AddressKind::Handle => continue,
        };
        list.push(services.seal.open("addresses.address", &row.address_sealed)?);
    }
    let mut tokens = Vec::new();
    for device in devices::of(c, id).await? {
        tokens.push(services.seal.open("devices.token", &device.token_sealed)?);
    }
    let choices = preferences::load(c, id).await?;
    let name = services.seal.open("accounts.name", &account.name_sealed)?;
    let display_name = display_name(account.role, &name);
    Ok(Some(Recipient { account, emails, phones, devices: tokens, choices, display_name }))
}

/// A UUIDv8 (RFC 9562): whoever makes the same delivery again makes this one.
fn id_of(source: &[u8], channel: Channel, address: &str) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"florin delivery\0");
    hash.update(source);
    hash.update([0]);
    hash.update(channel.name());
    hash.update([0]);
    hash.update(address);
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_in_part() {
        for (role, name, shown) in [
            (Role::User, "Asha Rao", "Asha R."),
            (Role::User, "Asha Devi Rao", "Asha R."),
            (Role::User, "asha", "asha"),
            (Role::User, "", ""),
            (Role::Merchant, "Chai and More", "Chai and More"),
        ] {
            assert_eq!(display_name(role, name), shown);
        }
    }
}
