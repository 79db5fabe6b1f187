//! Stand-ins for the world around Florin. They share no code with it: what they speak is written down in docs/people.md, and
//! each keeps books of its own that Florin's can be compared with.

pub mod bank;
