//! Keeps this process's memory out of core dumps: keys, codes and passwords may stand in it when it crashes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::failure::Failure;

/// Both are needed: the limit is not asked where the system hands dumps to a program.
pub fn switch_off() -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| Failure::Runtime(error.into());
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(failed)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)
}
