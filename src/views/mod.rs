//! What is derived from the log by reading along with it. Each view knows the last position that it has seen, and whoever keeps
//! what it found keeps that with it, in one step: so each event counts once, whatever dies in between.

pub mod payments;
