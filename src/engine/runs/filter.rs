//! A blocked Bloom filter over the distinct keys of a run: a key's bits lie in
//! one line of 64 bytes, so that a look costs one cache miss. About one look
//! in sixty is a false yes. The hash is part of the format on disk.

const BITS_PER_KEY: u64 = 10;
const LINE_BITS: u64 = 512;
const PROBES: u32 = 6;
pub(super) const LINE_BYTES: usize = 64;

/// Nine bits choose one of the 512 of a line.
const PROBE_BITS: u32 = 9;
const _: () = assert!(1 << PROBE_BITS == LINE_BITS);
const _: () = assert!(PROBES * PROBE_BITS <= 64);

/// The memory system has about this many fetches under way at once.
const HANDFUL: usize = 32;

#[derive(Clone)]
#[repr(align(64))]
struct Line([u64; 8]);

#[derive(Clone)]
pub(super) struct Filter {
    lines: Vec<Line>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter of {} lines", self.lines.len())
    }
}

impl Filter {
    /// An empty filter with room for `key_count` keys.
    pub(super) fn new(key_count: u64) -> Filter {
        Filter::with_lines(lines_for(key_count))
    }

    /// An empty filter for at most `key_count_max` keys, which `fold` can make
    /// up to eight times smaller.
    pub(super) fn foldable(key_count_max: u64) -> Filter {
        Filter::with_lines(lines_for(key_count_max).next_multiple_of(8))
    }

    /// Makes the filter smaller while there is still room for `key_count`
    /// keys. A line's number is the upper part of the hash, scaled, so two
    /// neighbours taken together are the line of a filter half as long: the
    /// same as if it had been made so at first.
    pub(super) fn fold(&mut self, key_count: u64) {
        let line_count_min = lines_for(key_count) as usize;
        let mut line_count = self.lines.len();
        while line_count > 0 && line_count.is_multiple_of(2) && line_count / 2 >= line_count_min {
            line_count /= 2;
            for at in 0..line_count {
                let (low, high) = (&self.lines[2 * at].0, &self.lines[2 * at + 1].0);
                self.lines[at] = Line(std::array::from_fn(|word| low[word] | high[word]));
            }
        }
        self.lines.truncate(line_count);
        self.lines.shrink_to_fit();
    }

    /// An empty filter of so many lines, to be filled by `set_lines`.
    pub(super) fn with_lines(line_count: u64) -> Filter {
        Filter { lines: vec![Line([0; 8]); line_count as usize] }
    }

    /// Inserts keys a handful at a time. Filters of millions of keys lie
    /// beyond the caches: first touching all lines of a handful lets the
    /// memory fetch them side by side.
    pub(super) fn insert_all(&mut self, keys: &[u128]) {
        let mut probes = [(0, 0); HANDFUL];
        for keys in keys.chunks(HANDFUL) {
            let probes = &mut probes[..keys.len()];
            let mut touched = 0;
            for (probe, &key) in probes.iter_mut().zip(keys) {
                *probe = self.probe(key);
                touched ^= self.lines[probe.0].0[0];
            }
            std::hint::black_box(touched);
            for &mut (line_index, mut bits) in probes {
                let line = &mut self.lines[line_index].0;
                for _ in 0..PROBES {
                    let bit = bits as usize & (LINE_BITS as usize - 1);
                    line[bit / 64] |= 1 << (bit % 64);
                    bits >>= PROBE_BITS;
                }
            }
        }
    }

    /// Touches the lines of keys that will be asked for, so that the memory
    /// fetches them side by side.
    pub(super) fn fetch(&self, keys: impl Iterator<Item = u128>) {
        if !self.lines.is_empty() {
            let touched = keys.fold(0, |sum, key| sum ^ self.lines[self.probe(key).0].0[0]);
            std::hint::black_box(touched);
        }
    }

    /// False means that the key was never inserted.
    pub(super) fn may_contain(&self, key: u128) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        let (line_index, mut bits) = self.probe(key);
        let line = &self.lines[line_index].0;
        let mut all = true;
        for _ in 0..PROBES {
            let bit = bits as usize & (LINE_BITS as usize - 1);
            all &= line[bit / 64] >> (bit % 64) & 1 == 1;
            bits >>= PROBE_BITS;
        }
        all
    }

    pub(super) fn line_count(&self) -> u64 {
        self.lines.len() as u64
    }

    pub(super) fn append_lines(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        for word in self.lines[from..to].iter().flat_map(|line| line.0) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Takes in the next lines, as `append_lines` has written them.
    pub(super) fn set_lines(&mut self, from: usize, bytes: &[u8]) {
        for (line, bytes) in self.lines[from..].iter_mut().zip(bytes.chunks(LINE_BYTES)) {
            for (word, bytes) in line.0.iter_mut().zip(bytes.chunks(8)) {
                *word = u64::from_le_bytes(bytes.try_into().expect("a line is eight words"));
            }
        }
    }

    fn probe(&self, key: u128) -> (usize, u64) {
        let hash = hash(key);
        let line_index = (u128::from(hash) * self.lines.len() as u128) >> 64;
        (line_index as usize, mix(hash ^ 0x9e37_79b9_7f4a_7c15))
    }
}

/// No keys need no lines.
fn lines_for(key_count: u64) -> u64 {
    key_count.saturating_mul(BITS_PER_KEY).div_ceil(LINE_BITS)
}

/// Both halves of the key are folded in one multiplication, then mixed: keys
/// may be random, or small numbers in a row.
fn hash(key: u128) -> u64 {
    let low = key as u64 ^ 0x2d35_8dcc_aa6c_78a5;
    let high = (key >> 64) as u64 ^ 0x8bb8_4b93_962e_acc9;
    let product = u128::from(low) * u128::from(high);
    mix(product as u64 ^ (product >> 64) as u64)
}

/// The finisher of MurmurHash3: each bit of the input moves half of the output.
fn mix(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}
