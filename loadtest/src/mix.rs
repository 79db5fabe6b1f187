//! The mix of requests: how many of each kind in a hundred, read from the command line and drawn from.

use std::str::FromStr;

use crate::ids::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Transfer,
    /// Authorize, then capture or void.
    Hold,
    /// A balance or the newest entries of a wallet.
    Read,
    /// The last request again, with its key.
    Repeat,
}

const PARTS: [(&str, Part); 4] =
    [("transfers", Part::Transfer), ("holds", Part::Hold), ("reads", Part::Read), ("repeats", Part::Repeat)];

/// Weights of the parts; they need not sum to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    weights: [u64; 4],
    total: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a mix: write it as transfers=90,holds=5,reads=4,repeats=1 (whole weights, at least one above 0)")]
pub struct MixError(String);

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let wrong = || MixError(text.to_owned());
        let mut weights = [0; 4];
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or_else(wrong)?;
            let index = PARTS.iter().position(|(known, _)| *known == name.trim()).ok_or_else(wrong)?;
            weights[index] = u64::from(weight.trim().parse::<u32>().map_err(|_| wrong())?);
        }
        let total = weights.iter().sum();
        if total == 0 {
            return Err(wrong());
        }
        Ok(Self { weights, total })
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = PARTS.iter().zip(self.weights).filter(|(_, weight)| *weight > 0);
        for (index, ((name, _), weight)) in parts.enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name} {weight}")?;
        }
        Ok(())
    }
}

impl Mix {
    pub fn draw(&self, random: &mut Random) -> Part {
        if self.weights[0] == self.total {
            return Part::Transfer;
        }
        let mut drawn = random.below(self.total);
        for (weight, (_, part)) in self.weights.iter().zip(PARTS) {
            match drawn.checked_sub(*weight) {
                Some(left) => drawn = left,
                None => return part,
            }
        }
        Part::Transfer
    }

    pub fn has_repeats(&self) -> bool {
        self.weights[3] > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_drawn_by_its_weights() {
        let mix: Mix = "transfers=6,holds=1, reads=2,repeats=1".parse().unwrap();
        let (mut random, mut seen) = (Random::new(3), [0; 4]);
        for _ in 0..10_000 {
            let part = mix.draw(&mut random);
            seen[PARTS.iter().position(|(_, known)| *known == part).unwrap()] += 1;
        }
        for (seen, expected) in seen.into_iter().zip([6000_i32, 1000, 2000, 1000]) {
            assert!((seen - expected).abs() < 300, "seed 3: {seen} for {expected}");
        }
    }

    #[test]
    fn what_is_not_a_mix() {
        for wrong in ["", "transfers", "transfers=x", "deposits=5", "reads=0"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
