//! Questions of clients that change nothing: a wallet, its history, a hold, who took an id. They are asked at any time,
//! and above all right after a client was told something: what he then does not find, he was told too early.

use florin::engine::At;
use florin::engine::history::{lsn_at, with_older};
use florin::engine::messages::{RecentEntries, ShardMessage, WalletRead};
use florin::ledger::{HoldId, WalletId};
use rand::RngExt;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::clients::{Ask, WALLETS};
use super::life::Life;
use super::world::World;

/// A question whose answer is on its way.
pub enum Reading {
    Wallet {
        wallet: WalletId,
        floor: u64,
        reply: oneshot::Receiver<Option<WalletRead>>,
    },
    History(History, oneshot::Receiver<RecentEntries>),
    /// The shard has answered, and the index is behind it.
    Older(History, RecentEntries),
}

/// What was asked of a wallet's history.
#[derive(Clone, Copy, Debug)]
pub struct History {
    pub wallet: WalletId,
    pub before_lsn: u64,
    pub limit: usize,
    /// All entries up to here have to be in the answer.
    pub floor: u64,
}

/// What a client asks about.
pub struct About {
    pub wallet: WalletId,
    pub id: Option<u128>,
    pub hold: Option<HoldId>,
}

impl About {
    /// Something of what a client has just been told of.
    pub fn told_of(ask: &Ask, world: &mut World) -> About {
        let (wallets, ids) = (ask.wallets(), ask.ids());
        let anybody = WalletId(world.rng.random_range(0..WALLETS));
        About { wallet: pick(&wallets, world).unwrap_or(anybody), id: pick(&ids, world), hold: ask.hold() }
    }

    /// Something that some client has asked for, heard of or not.
    pub fn anything(asked: &[Ask], world: &mut World) -> About {
        match asked.len() {
            0 => About { wallet: WalletId(world.rng.random_range(0..WALLETS)), id: None, hold: None },
            count => {
                // What was asked for of late is what may be half done.
                let reach = if world.rng.random_bool(0.5) { count.min(8) } else { count };
                let back = world.rng.random_range(0..reach);
                About::told_of(&asked[count - 1 - back], world)
            }
        }
    }
}

/// Asks, and asks on when the answer is there at once. Some: the answer is on its way.
pub fn ask(client: usize, about: &About, life: &mut Life, world: &mut World) -> Option<Reading> {
    for _ in 0..QUESTIONS_MAX {
        match world.rng.random_range(0..4) {
            0 => return Some(ask_wallet(client, about.wallet, life, world)),
            1 => return ask_history(client, about.wallet, life, world),
            _ => find(about, life, world),
        }
    }
    None
}

const QUESTIONS_MAX: usize = 4;

/// The question with what has come of it; none when it is answered.
pub fn poll(reading: Reading, life: &Life, world: &mut World) -> Option<Reading> {
    match reading {
        Reading::Wallet { wallet, floor, mut reply } => match reply.try_recv() {
            Ok(read) => {
                world.figures.reads += 1;
                world.oracle.check_read(&life.desk.reader, wallet, floor, read);
                None
            }
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => Some(Reading::Wallet { wallet, floor, reply }),
        },
        Reading::History(asked, mut reply) => match reply.try_recv() {
            Ok(recent) => poll_older(asked, recent, life, world),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => Some(Reading::History(asked, reply)),
        },
        Reading::Older(asked, recent) => poll_older(asked, recent, life, world),
    }
}

fn poll_older(asked: History, recent: RecentEntries, life: &Life, world: &mut World) -> Option<Reading> {
    let History { wallet, before_lsn, limit, .. } = asked;
    match with_older(&life.indexes.entries, wallet, before_lsn, limit, &recent) {
        Ok(Some(rows)) => {
            world.figures.histories += 1;
            world.oracle.check_history(&life.desk.reader, &asked, &rows);
            None
        }
        // In a server that can only read, the index may never come so far.
        Ok(None) if life.desk.status.read_only().is_some() => None,
        Ok(None) => Some(Reading::Older(asked, recent)),
        Err(error) => {
            world.explained("history", &error);
            None
        }
    }
}

fn ask_wallet(client: usize, wallet: WalletId, life: &mut Life, world: &mut World) -> Reading {
    let (reply, read) = oneshot::channel();
    let shard = life.desk.placement.shard_of(wallet);
    life.ask_shard(client, shard, ShardMessage::ReadWallet { wallet, reply });
    hurry(client, life, world);
    Reading::Wallet { wallet, floor: world.oracle.floor(wallet), reply: read }
}

fn ask_history(client: usize, wallet: WalletId, life: &mut Life, world: &mut World) -> Option<Reading> {
    let last_lsn = life.desk.reader.durable_lsn();
    let limit = [1, 3, usize::MAX][world.rng.random_range(0..3)];
    let at = match world.rng.random_range(0..5) {
        // As it is now.
        0 | 1 => None,
        // As it was at a moment: then all of that moment has to be there.
        2 => Some(At::TimeMicros(world.clock_micros)),
        3 => Some(At::Lsn(last_lsn)),
        _ => Some(At::Lsn(world.rng.random_range(0..=last_lsn))),
    };
    let (before_lsn, floor) = match at.map(|at| lsn_at(&life.desk, at)).transpose() {
        Ok(None) => (u64::MAX, world.oracle.floor(wallet)),
        Ok(Some(lsn)) => {
            let known_lsn = world.oracle.acknowledged_lsn();
            let wanted = if let Some(At::Lsn(wanted)) = at { wanted } else { 0 };
            assert!(lsn >= wanted.min(known_lsn), "{wanted} is taken for {lsn}, and {known_lsn} was told of");
            (lsn + 1, lsn)
        }
        Err(error) => {
            world.explained("a search by time", &error);
            return None;
        }
    };
    let (reply, recent) = oneshot::channel();
    let shard = life.desk.placement.shard_of(wallet);
    life.ask_shard(client, shard, ShardMessage::ReadEntries { wallet, before_lsn, limit, reply });
    hurry(client, life, world);
    Some(Reading::History(History { wallet, before_lsn, limit, floor }, recent))
}

/// Some questions overtake everything that is on its way between other parts.
fn hurry(client: usize, life: &mut Life, world: &mut World) {
    if world.rng.random_bool(0.5) {
        while life.deliver_from_client(client) {}
    }
}

fn find(about: &About, life: &Life, world: &mut World) {
    world.figures.finds += 1;
    if let Some(hold) = about.hold
        && world.rng.random_bool(0.5)
    {
        return match life.desk.hold(hold) {
            Ok(view) => world.oracle.check_hold(&life.desk.reader, hold, view),
            Err(error) => world.explained("a hold", &error),
        };
    }
    let Some(id) = about.id else { return };
    match life.desk.find(id) {
        Ok(found) => world.oracle.check_found(&life.desk.reader, id, found),
        Err(error) => world.explained("an id", &error),
    }
}

fn pick<T: Copy>(list: &[T], world: &mut World) -> Option<T> {
    match list.len() {
        0 => None,
        count => Some(list[world.rng.random_range(0..count)]),
    }
}
