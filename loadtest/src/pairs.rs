//! Who pays whom: evenly, by Zipf's law, or everyone one merchant. Wallets are numbers here.

use crate::ids::Random;

/// The shape of the pairs, as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Each wallet as likely as any other.
    Uniform,
    /// A few wallets take part in most transfers.
    Zipf,
    /// Everyone pays wallet 0.
    Merchant,
}

/// Draws pairs of different wallets.
#[derive(Clone, Debug)]
pub struct Pairs {
    shape: Shape,
    count: u32,
    zipf: Zipf,
}

impl Pairs {
    /// `count` must be 2 or more.
    pub fn new(shape: Shape, count: u32, exponent: f64) -> Self {
        assert!(count >= 2, "a pair needs two wallets");
        Self { shape, count, zipf: Zipf::new(count, exponent) }
    }

    /// Payer and payee.
    pub fn draw(&self, random: &mut Random) -> (u32, u32) {
        match self.shape {
            Shape::Merchant => (1 + below(random, self.count - 1), 0),
            Shape::Uniform => {
                let from = below(random, self.count);
                // The payee is drawn from the others, so that no draw is thrown away.
                let to = below(random, self.count - 1);
                (from, if to >= from { to + 1 } else { to })
            }
            Shape::Zipf => {
                let from = self.zipf.draw(random);
                let mut to = self.zipf.draw(random);
                // With steep exponents the same wallet comes up often: step on instead of drawing for ever.
                if to == from {
                    to = (from + 1) % self.count;
                }
                (from, to)
            }
        }
    }
}

fn below(random: &mut Random, bound: u32) -> u32 {
    u32::try_from(random.below(u64::from(bound))).expect("a number below a u32 is one")
}

/// Zipf's law by rejection-inversion (W. Hörmann, G. Derflinger 1996): constant time and memory for
/// any number of wallets. `h` is the density x^-e, `integral` its antiderivative.
#[derive(Clone, Debug)]
struct Zipf {
    count: f64,
    exponent: f64,
    low: f64,
    high: f64,
    sure: f64,
}

impl Zipf {
    fn new(count: u32, exponent: f64) -> Self {
        let count = f64::from(count);
        let low = integral(1.5, exponent) - 1.0;
        let high = integral(count + 0.5, exponent);
        let sure = 2.0 - inverse(integral(2.5, exponent) - density(2.0, exponent), exponent);
        Self { count, exponent, low, high, sure }
    }

    /// A rank from 0; 0 comes most often.
    fn draw(&self, random: &mut Random) -> u32 {
        loop {
            let u = self.high + random.unit() * (self.low - self.high);
            let x = inverse(u, self.exponent);
            let rank = (x + 0.5).floor().clamp(1.0, self.count);
            let accepted =
                rank - x <= self.sure || u >= integral(rank + 0.5, self.exponent) - density(rank, self.exponent);
            if accepted {
                return rank as u32 - 1;
            }
        }
    }
}

fn density(x: f64, exponent: f64) -> f64 {
    x.powf(-exponent)
}

fn integral(x: f64, exponent: f64) -> f64 {
    if (exponent - 1.0).abs() < 1e-9 { x.ln() } else { (x.powf(1.0 - exponent) - 1.0) / (1.0 - exponent) }
}

fn inverse(u: f64, exponent: f64) -> f64 {
    if (exponent - 1.0).abs() < 1e-9 { u.exp() } else { (1.0 + u * (1.0 - exponent)).powf(1.0 / (1.0 - exponent)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 200_000;

    fn payers(shape: Shape, count: u32, exponent: f64) -> Vec<f64> {
        let pairs = Pairs::new(shape, count, exponent);
        let mut random = Random::new(42);
        let mut seen = vec![0.0; count as usize];
        for _ in 0..DRAWS {
            let (from, to) = pairs.draw(&mut random);
            assert!(from != to && from < count && to < count);
            seen[from as usize] += 1.0 / f64::from(DRAWS);
        }
        seen
    }

    #[test]
    fn zipf_follows_its_law() {
        for exponent in [0.8, 1.0, 1.5] {
            let seen = payers(Shape::Zipf, 100, exponent);
            let total: f64 = (1..=100).map(|rank| f64::from(rank).powf(-exponent)).sum();
            for rank in [1_u32, 2, 3, 10] {
                let expected = f64::from(rank).powf(-exponent) / total;
                let found = seen[rank as usize - 1];
                assert!(
                    (found / expected - 1.0).abs() < 0.06,
                    "seed 42, exponent {exponent}, rank {rank}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn uniform_and_merchant() {
        let seen = payers(Shape::Uniform, 10, 1.0);
        assert!(seen.iter().all(|share| (share - 0.1).abs() < 0.01), "{seen:?}");
        let pairs = Pairs::new(Shape::Merchant, 5, 1.0);
        let mut random = Random::new(1);
        assert!((0..100).all(|_| pairs.draw(&mut random).1 == 0));
        payers(Shape::Uniform, 2, 1.0);
    }
}
