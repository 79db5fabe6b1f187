//! The log of a data folder, played from its first record: read only, beside a running server too, and
//! without keeping more of it in memory than one group.

use std::path::Path;
use std::sync::Arc;

use florin::engine::{EngineConfig, record};
use florin::ledger::Event;
use indicatif::ProgressBar;
use vault::Encryption;
use wal::Reader;
use wal::disk::RealDisk;

use super::failure::Failure;
use super::screen;

/// Records between two looks at the progress bar.
const RECORDS_PER_STEP: u64 = 16_384;

/// An open log.
#[derive(Clone, Debug)]
pub struct Tape {
    reader: Reader,
}

/// One record of it, as an event.
#[derive(Debug)]
pub struct Played {
    pub lsn: u64,
    pub time_micros: u64,
    pub event: Event,
}

/// The end of a group: here the log's running hash is known.
#[derive(Clone, Copy, Debug)]
pub struct GroupEnd {
    pub last_lsn: u64,
    pub chain: wal::Chain,
}

/// What whoever listens to a tape is told.
#[derive(Debug)]
pub enum Step {
    Record(Played),
    GroupEnd(GroupEnd),
}

impl Tape {
    /// Without keys only the log's files and its chain can be asked for, if it is encrypted.
    pub fn open(data_dir: &Path, encryption: &Encryption) -> Result<Tape, Failure> {
        let config = EngineConfig::new(data_dir);
        let archive_dir = config.archive_dir();
        let bar = screen::bar("finding the log's end", 0);
        let (disk, log_dir, keys) = (Arc::new(RealDisk), config.log_dir(), encryption.clone());
        let reader = Reader::open_with_keys(disk, &log_dir, Some(&archive_dir), keys, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        let reader = reader.ok_or_else(|| Failure::NoLedger { data_dir: data_dir.to_owned() })?;
        if reader.first_lsn() > 1 {
            return Err(Failure::Usage(format!(
                "the log in {} begins at record {}: the segments before it are neither in its folder nor in the \
                 archive. Bring them back to {}, because the books can only be built from the first record on",
                data_dir.display(),
                reader.first_lsn(),
                archive_dir.display()
            )));
        }
        Ok(Tape { reader })
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// 0 while there are no records.
    pub fn last_lsn(&self) -> u64 {
        self.reader.durable_lsn()
    }

    /// Plays every record up to `until_lsn`; the bar, if any, follows.
    pub fn play(
        &self,
        until_lsn: u64,
        bar: &ProgressBar,
        mut each: impl FnMut(Step) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut scan = self.reader.scan(1);
        let mut next_look = 0;
        let mut played_lsn = 0;
        while played_lsn < until_lsn
            && let Some(group) = scan.next_group()?
        {
            for (lsn, body) in group.records().take_while(|(lsn, _)| *lsn <= until_lsn) {
                let event = record::decode(body).map_err(|source| Failure::Record { lsn, source })?;
                each(Step::Record(Played { lsn, time_micros: group.time_micros, event }))?;
                played_lsn = lsn;
            }
            if group.last_lsn == played_lsn {
                each(Step::GroupEnd(GroupEnd { last_lsn: played_lsn, chain: group.chain }))?;
            }
            if played_lsn >= next_look {
                next_look = played_lsn + RECORDS_PER_STEP;
                bar.set_position(played_lsn);
            }
        }
        bar.set_position(played_lsn);
        Ok(())
    }
}
