//! Where nonces, salts and keys come from: the system, or for a simulation a seed, so that it runs the same way twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{digest, rand};

use crate::Result;

#[derive(Clone, Debug)]
pub(crate) enum Random {
    System,
    Seeded { seed: u64, drawn: Arc<AtomicU64> },
}

impl Random {
    pub(crate) fn seeded(seed: u64) -> Random {
        Random::Seeded { seed, drawn: Arc::new(AtomicU64::new(0)) }
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        match self {
            Random::System => rand::fill(bytes)?,
            Random::Seeded { seed, drawn } => {
                for chunk in bytes.chunks_mut(digest::SHA256_OUTPUT_LEN) {
                    let count = drawn.fetch_add(1, Ordering::Relaxed);
                    let input = [seed.to_le_bytes(), count.to_le_bytes()].concat();
                    let block = digest::digest(&digest::SHA256, &input);
                    chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn array<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
