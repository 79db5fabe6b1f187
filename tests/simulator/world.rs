//! One seed's world: a disk, clients, the oracle, and one life of the engine after another.

use std::fmt;
use std::sync::Arc;

use florin::engine::EngineConfig;
use florin::engine::recovery::recover;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vault::{Encryption, Keyring, Purpose};
use wal::disk::{Disk, SimDisk};

use super::clients::Clients;
use super::faults;
use super::life::Life;
use super::oracle::Oracle;
use super::rot;

/// Lives of the engine in one world. Each but the last ends badly.
const LIVES: u64 = 12;
const STEPS_MAX: u64 = 1_500;

pub struct World {
    pub rng: StdRng,
    pub disk: SimDisk,
    pub config: EngineConfig,
    pub is_bulky: bool,
    pub clock_micros: u64,
    pub clients: Clients,
    pub oracle: Oracle,
    pub figures: Figures,
    pub trace: bool,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub lives: u64,
    pub crashes: u64,
    pub starts_failed: u64,
    pub read_only: u64,
    pub read_errors: u64,
    pub flips: u64,
    pub flips_refused: u64,
    pub misplaced: u64,
    pub misplaced_refused: u64,
    pub ends_torn: u64,
    pub ends_lost: u64,
    pub steps: u64,
    pub requests: u64,
    pub accepted: u64,
    pub refused: u64,
    pub over_limit: u64,
    pub repeats: u64,
    pub reads: u64,
    pub histories: u64,
    pub finds: u64,
    pub snapshots: u64,
    pub disk_operations: u64,
    pub segments: u64,
}

impl World {
    pub fn new(seed: u64, trace: bool) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(rng.random());
        let mut config = EngineConfig::new("/florin");
        config.shards = rng.random_range(1..=3);
        config.segment_bytes = wal::SEGMENT_BYTES_MIN;
        config.work_ahead = false;
        config.log_identity = Some(wal::Identity { log_id: rng.random::<u128>().to_le_bytes(), created_micros: 1 });
        config.recent_rows_max = rng.random_range(10..200);
        config.snapshots_kept = rng.random_range(1..=2);
        // In a few worlds so much is written that segments are sealed, archived and read again.
        let is_bulky = rng.random_bool(0.05);
        config.in_flight_max = rng.random_range(20..200) + if is_bulky { 600 } else { 0 };
        if seed % 4 == 3 {
            config.encryption = Encryption::On(Keyring::for_simulation(seed).expect("keys of a seed"));
        }
        World {
            oracle: Oracle::new(disk.clone()),
            rng,
            disk,
            config,
            is_bulky,
            clock_micros: 1_000_000,
            clients: Clients::default(),
            figures: Figures::default(),
            trace,
        }
    }

    /// In an encrypted world keys are rotated, and now and then a life is written in clear.
    fn turn_keys(&mut self) {
        let Some(keys) = self.config.encryption.keys().cloned() else { return };
        for purpose in [Purpose::Log, Purpose::Snapshots] {
            if self.rng.random_bool(0.4) {
                keys.rotate(purpose).expect("keys in memory are rotated");
            }
        }
        let is_on = self.rng.random_bool(0.8);
        self.config.encryption = if is_on { Encryption::On(keys) } else { Encryption::ReadOnly(keys) };
    }

    pub fn run(mut self) -> Figures {
        for life in 0..LIVES {
            let is_last = life + 1 == LIVES;
            self.say(|| format!("--- life {life}"));
            // The number of shards may change from one start to the next.
            self.config.shards = self.rng.random_range(1..=3);
            if self.rng.random_bool(0.2) {
                // A clock that jumps back.
                self.clock_micros = self.clock_micros.saturating_sub(self.rng.random_range(0..2_000_000));
            }
            self.turn_keys();
            let Some(mut life) = self.start() else { continue };
            life.check_recovered(&mut self);
            if !is_last {
                faults::arm(&mut self);
            }
            let steps = self.rng.random_range(1..=STEPS_MAX);
            let mut ended = false;
            for _ in 0..steps {
                self.figures.steps += 1;
                if !life.step(&mut self) {
                    ended = true;
                    break;
                }
            }
            if !ended && (is_last || self.rng.random_bool(0.3)) && self.disk.disarm() {
                life.finish(&mut self);
            }
            drop(life);
            self.clients.forget_pending();
            if self.rng.random_bool(0.8) {
                self.disk.crash();
            } else {
                self.disk.kill();
            }
            self.figures.crashes += 1;
            self.figures.lives += 1;
            self.disk.disarm();
            faults::lose_an_index(&mut self);
            rot::rot_somewhere(&mut self);
        }
        self.figures.disk_operations = self.disk.operations();
        self.figures.read_errors = self.disk.read_errors();
        self.figures.segments = rot::segments_of(&self.disk).len() as u64;
        self.figures
    }

    /// Recovers; a crash may come in the middle of it, and then there is no life this time.
    fn start(&mut self) -> Option<Life> {
        faults::arm_for_start(&mut self.rng, &self.disk);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        match recover(&disk, &self.config, &mut |_| {}) {
            Ok(recovered) => Some(Life::new(recovered, self)),
            Err(error) => {
                self.say(|| format!("recovery ended: {error}"));
                let is_explained = self.disk.failures() > 0 && faults::comes_from_the_disk(&error);
                assert!(is_explained, "recovery failed without a fault: {error}");
                // A start that failed for a read that did is tried again; the machine may go down before that, or not.
                if self.disk.disarm() && self.rng.random_bool(0.5) {
                    self.disk.kill();
                } else {
                    self.disk.crash();
                    self.figures.crashes += 1;
                }
                self.figures.starts_failed += 1;
                None
            }
        }
    }

    /// A moment; at times a day or a month, or a clock that is set back.
    pub fn let_time_go_on(&mut self) {
        const HOUR_MICROS: u64 = 3_600_000_000;
        self.clock_micros += match self.rng.random_range(0..100) {
            0..80 => self.rng.random_range(0..400_000),
            80..90 => self.rng.random_range(0..20 * HOUR_MICROS),
            90..92 => self.rng.random_range(0..700 * HOUR_MICROS),
            _ => {
                let back_micros = self.rng.random_range(0..20 * HOUR_MICROS);
                self.clock_micros = self.clock_micros.saturating_sub(back_micros);
                0
            }
        };
    }

    /// Something failed. Only a fault of the disk explains that.
    pub fn explained(&self, what: &str, error: &dyn fmt::Display) {
        self.say(|| format!("{what} failed: {error}"));
        assert!(self.disk.failures() > 0, "{what} failed without a fault: {error}");
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{}", what());
        }
    }
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.lives += other.lives;
        self.crashes += other.crashes;
        self.starts_failed += other.starts_failed;
        self.read_only += other.read_only;
        self.read_errors += other.read_errors;
        self.flips += other.flips;
        self.flips_refused += other.flips_refused;
        self.misplaced += other.misplaced;
        self.misplaced_refused += other.misplaced_refused;
        self.ends_torn += other.ends_torn;
        self.ends_lost += other.ends_lost;
        self.steps += other.steps;
        self.requests += other.requests;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.over_limit += other.over_limit;
        self.repeats += other.repeats;
        self.reads += other.reads;
        self.histories += other.histories;
        self.finds += other.finds;
        self.snapshots += other.snapshots;
        self.disk_operations += other.disk_operations;
        self.segments += other.segments;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lives, {} crashes, {} starts that failed, {} turned read-only, {} reads that failed, {} steps\n\
             {} bit flips: {} refused, the rest harmless; {} misplaced or lost sectors: {} refused, {} took hit groups \
             off the end as torn, {} as if never written\n\
             {} requests: {} accepted, {} refused ({} by spending limits), {} repeats; {} reads, {} histories, {} lookups; {} snapshots; \
             {} segments; {} disk operations",
            self.lives,
            self.crashes,
            self.starts_failed,
            self.read_only,
            self.read_errors,
            self.steps,
            self.flips,
            self.flips_refused,
            self.misplaced,
            self.misplaced_refused,
            self.ends_torn,
            self.ends_lost,
            self.requests,
            self.accepted,
            self.refused,
            self.over_limit,
            self.repeats,
            self.reads,
            self.histories,
            self.finds,
            self.snapshots,
            self.segments,
            self.disk_operations
        )
    }
}
