//! The log through its public face, on the simulated disk and on the real one.

mod roundtrip;
mod workload;
