//! The log through its public face, on the simulated disk and on the real one.
// All of this is tests; clippy takes only functions marked as such for tests.
#![allow(clippy::unwrap_used)]

mod archive;
mod crashes;
mod encryption;
mod faults;
mod fixture;
mod flips;
mod reading;
mod roundtrip;
mod sim_disk;
mod tears;
mod workload;
