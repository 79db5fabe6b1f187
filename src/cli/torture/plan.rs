//! Which end and which fault each round has. Fixed by the round's number, so that every end meets every fault and a
//! short torture has some of everything; only the moments are random.

use serde::Serialize;

/// How the server ends in the middle of a round's load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Kill,
    KillInRecovery,
    KillInSnapshot,
    Terminate,
    WritesFail,
    PowerCut,
    DiskFull,
    SyncErrors,
    WriteErrors,
    ReadErrors,
    ClockBack,
    ClockAhead,
}

/// What is done to the folder of the server that has ended, or beside the one that has started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    SnapshotFlipped,
    SegmentDamaged,
    HistoryIndexLost,
    SecondServer,
    SnapshotCut,
    IdsIndexLost,
    TailCut,
    TailGarbled,
}

const ENDS: [End; 7] = [
    End::Kill,
    End::KillInRecovery,
    End::KillInSnapshot,
    End::Terminate,
    End::WritesFail,
    End::Kill,
    End::KillInRecovery,
];

const FAULTS: [Fault; 8] = [
    Fault::SnapshotFlipped,
    Fault::SegmentDamaged,
    Fault::HistoryIndexLost,
    Fault::SecondServer,
    Fault::SnapshotCut,
    Fault::TailCut,
    Fault::TailGarbled,
    Fault::IdsIndexLost,
];

const DISK_ERRORS: [End; 3] = [End::SyncErrors, End::WriteErrors, End::ReadErrors];
const CLOCK_JUMPS: [End; 2] = [End::ClockBack, End::ClockAhead];

/// The round's end and fault; rounds count from 0.
pub fn round(number: u32) -> (End, Fault) {
    let number = number as usize;
    (ENDS[number % ENDS.len()], FAULTS[number % FAULTS.len()])
}

pub fn disk_error(number: u32) -> End {
    DISK_ERRORS[number as usize % DISK_ERRORS.len()]
}

pub fn clock_jump(number: u32) -> End {
    CLOCK_JUMPS[number as usize % CLOCK_JUMPS.len()]
}

impl End {
    /// Whether what has to be read from the disk cannot be read any more: with the power it is gone, on a full disk the
    /// history index may lack what it could not write, and a disk may give errors.
    pub fn has_no_disk(self) -> bool {
        matches!(self, End::PowerCut | End::DiskFull | End::ReadErrors)
    }

    pub fn name(self) -> &'static str {
        match self {
            End::Kill => "kill -9",
            End::KillInRecovery => "kill -9, and again in recovery",
            End::KillInSnapshot => "kill -9 during a snapshot",
            End::Terminate => "SIGTERM",
            End::WritesFail => "writes failed, then kill -9",
            End::PowerCut => "power cut",
            End::DiskFull => "disk full, then kill -9",
            End::SyncErrors => "EIO on fdatasync, then kill -9",
            End::WriteErrors => "EIO on writes, then kill -9",
            End::ReadErrors => "EIO on reads, then kill -9",
            End::ClockBack => "clock an hour back, then kill -9",
            End::ClockAhead => "clock a day on, then kill -9",
        }
    }
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::SnapshotFlipped => "a bit of the newest snapshot flipped",
            Fault::SnapshotCut => "the newest snapshot cut off",
            Fault::HistoryIndexLost => "the history index deleted",
            Fault::IdsIndexLost => "the index of ids deleted",
            Fault::SegmentDamaged => "a copy of the log damaged in its middle",
            Fault::SecondServer => "a second server on the folder",
            Fault::TailCut => "half a group behind the log's end",
            Fault::TailGarbled => "a group with blocks missing behind the log's end",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_meets_every_fault() {
        let mut met = Vec::new();
        for number in 0..56 {
            let pair = round(number);
            assert!(!met.contains(&pair) || pair.0 == End::Kill || pair.0 == End::KillInRecovery, "{number}");
            met.push(pair);
        }
        for end in ENDS {
            for fault in FAULTS {
                assert!(met.contains(&(end, fault)), "{end:?} with {fault:?}");
            }
        }
    }
}
