//! Where rounds take place: an ordinary folder, or one with something beside it that can go wrong.

use std::path::Path;

use super::loop_disk::LoopDisk;
use super::preload::{FailingCalls, FalseClock};

/// What a ground has beside its folder.
pub enum Site {
    Folder,
    Disk { mib: u64 },
    FailingCalls,
    FalseClock,
}

/// The same when it is there.
#[derive(Default)]
pub struct Built {
    pub disk: Option<LoopDisk>,
    pub calls: Option<FailingCalls>,
    pub clock: Option<FalseClock>,
}

impl Site {
    /// The error says what this machine lacks.
    pub fn build(&self, folder: &Path) -> Result<Built, String> {
        let nothing = Built::default();
        Ok(match self {
            Site::Folder => nothing,
            Site::Disk { mib } => Built { disk: Some(LoopDisk::make(folder, *mib)?), ..nothing },
            Site::FailingCalls => Built { calls: Some(FailingCalls::find(folder)?), ..nothing },
            Site::FalseClock => Built { clock: Some(FalseClock::find(folder)?), ..nothing },
        })
    }
}
