//! What people want to be told of, by kind and channel. Only what differs from the default is kept; codes and what tells of a
//! thief cannot be switched off.

use sqlx::AnyConnection;
use uuid::Uuid;

use super::{Channel, Services};
use crate::services::fault::{Fault, Why};
use crate::services::notices::Kind;
use crate::store::devices::{self, Choice};

pub type Choices = Vec<Choice>;

/// One row of what a person sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preference {
    pub kind: Kind,
    pub channel: Channel,
    pub is_on: bool,
    pub is_fixed: bool,
}

/// All of an account's, for every kind and channel.
pub async fn list(services: &Services, account: Uuid) -> Result<Vec<Preference>, Fault> {
    let mut c = services.store.read().await?;
    let choices = load(&mut c, account).await?;
    let of_kind = |&kind: &Kind| {
        let choices = &choices;
        Channel::ALL.iter().map(move |&channel| {
            let is_fixed = is_fixed(kind, channel);
            Preference { kind, channel, is_on: is_on(kind, channel, choices), is_fixed }
        })
    };
    Ok(Kind::ALL.iter().flat_map(of_kind).collect())
}

pub async fn choose(services: &Services, account: Uuid, choices: &[(Kind, Channel, bool)]) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    for &(kind, channel, wanted) in choices {
        if is_fixed(kind, channel) && wanted != is_on(kind, channel, &Choices::new()) {
            let detail = format!("`{}` by {} cannot be changed: it is for your safety.", kind.name(), channel.name());
            return Err(Fault::no(Why::InvalidRequest, detail));
        }
        devices::choose(&mut tx, account, (kind.name(), channel.name()), wanted).await?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn load(c: &mut AnyConnection, account: Uuid) -> Result<Choices, Fault> {
    Ok(devices::choices(c, account).await?)
}

pub(super) fn is_on(kind: Kind, channel: Channel, choices: &[Choice]) -> bool {
    let is_this = |choice: &&Choice| choice.kind == kind.name() && choice.channel == channel.name();
    let default = match channel {
        Channel::Email => true,
        // A lock screen is no place for codes.
        Channel::Push => kind != Kind::Code,
        // It costs money, and codes come by it.
        Channel::Sms => kind.is_wanted_always(),
    };
    if is_fixed(kind, channel) {
        return default;
    }
    choices.iter().find(is_this).map_or(default, |choice| choice.is_on)
}

fn is_fixed(kind: Kind, _: Channel) -> bool {
    kind.is_wanted_always()
}
