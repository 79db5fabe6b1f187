//! What replays the events: the book, or the shards of the server. Either gives the same wallets, holds and hash.

use std::path::Path;
use std::sync::Arc;

use florin::engine::claims::Claims;
use florin::engine::placement::Placement;
use florin::engine::runs::Runs;
use florin::engine::shard::Shard;
use florin::ledger::{Book, Opening, StateHash, Status};
use wal::disk::SimDisk;

use crate::cli::failure::Failure;
use crate::cli::tape::Played;

#[derive(Debug)]
pub enum Target {
    Book(Box<Book>),
    Shards(Vec<Shard>),
}

/// A wallet where the replay ended.
#[derive(Clone, Copy, Debug)]
pub struct WalletLine {
    pub opening: Opening,
    pub status: Status,
    pub posted: i64,
    pub held: i64,
}

impl Target {
    pub fn new(shards: Option<usize>) -> Target {
        let Some(count) = shards else { return Target::Book(Box::default()) };
        // Replay asks no index and takes no claim; a shard only wants to know where it would.
        let index = Runs::open_read_only(Arc::new(SimDisk::new(0)), Path::new("/")).map(|(index, _)| index);
        let claims = Arc::new(Claims::new(Arc::new(index.expect("an empty disk in memory can be listed"))));
        let placement = Placement::new(count);
        // Entries up to the last position there can be count as indexed, so that none are collected.
        let shard = |index| Shard::new(index, placement, Arc::clone(&claims), u64::MAX);
        Target::Shards((0..count).map(shard).collect())
    }

    pub fn apply(&mut self, played: &Played) -> Result<(), Failure> {
        match self {
            Target::Book(book) => {
                book.apply(played.lsn, played.time_micros, &played.event)?;
            }
            Target::Shards(shards) => {
                shards.iter_mut().for_each(|shard| shard.replay(played.lsn, played.time_micros, &played.event))
            }
        }
        Ok(())
    }

    /// In ascending order of their ids.
    pub fn wallets(&self) -> Vec<WalletLine> {
        match self {
            Target::Book(book) => {
                let wallets = book.wallets.values();
                wallets
                    .map(|wallet| WalletLine {
                        opening: wallet.opening,
                        status: wallet.status,
                        posted: wallet.posted,
                        held: wallet.held,
                    })
                    .collect()
            }
            Target::Shards(shards) => {
                let mut lines = Vec::new();
                for shard in shards {
                    shard.for_each(
                        |wallet, owner, limits, _| {
                            lines.push(WalletLine {
                                opening: wallet.opening(owner, limits),
                                status: wallet.status(),
                                posted: wallet.posted(),
                                held: wallet.held(),
                            });
                        },
                        |_| {},
                    );
                }
                lines.sort_unstable_by_key(|line| line.opening.wallet);
                lines
            }
        }
    }

    pub fn open_holds(&self) -> u64 {
        match self {
            Target::Book(book) => book.holds.len() as u64,
            Target::Shards(shards) => {
                let mut count = 0;
                shards.iter().for_each(|shard| shard.for_each(|_, _, _, _| {}, |_| count += 1));
                count
            }
        }
    }

    pub fn state_hash(&self) -> StateHash {
        match self {
            Target::Book(book) => book.state_hash(),
            Target::Shards(shards) => {
                let mut hash = StateHash::default();
                shards.iter().for_each(|shard| shard.add_to(&mut hash));
                hash
            }
        }
    }
}
