//! What `perf script` prints, folded: each stack once, from its root, with the number of its samples.

use std::collections::BTreeMap;

pub type Stacks = BTreeMap<Vec<String>, u64>;

/// A sample is a line that begins with the thread's name, and its frames, indented, the innermost first.
pub fn fold(printed: &str) -> Stacks {
    let mut stacks = Stacks::new();
    let mut frames: Vec<String> = Vec::new();
    let mut thread = None;
    for line in printed.lines().chain([""]) {
        if line.trim().is_empty() {
            if let Some(thread) = thread.take() {
                frames.push(thread);
                frames.reverse();
                *stacks.entry(std::mem::take(&mut frames)).or_default() += 1;
            }
        } else if line.starts_with(char::is_whitespace) {
            let symbol = line.trim().split_once(' ').map_or("", |(_, symbol)| symbol);
            frames.push(name(symbol));
        } else {
            // Numbered threads of one kind belong together.
            let kind = line.trim().trim_end_matches(|character: char| character.is_ascii_digit() || character == '-');
            thread = Some(kind.to_owned());
        }
    }
    stacks
}

/// Without the hash that the compiler puts behind a name.
fn name(symbol: &str) -> String {
    let symbol = symbol.trim();
    match symbol.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            plain.to_owned()
        }
        _ if symbol.is_empty() => "[unknown]".to_owned(),
        _ => symbol.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_stack_are_counted_together() {
        let printed = "shard-0 \n\t  55d1 wal::append::h0123456789abcdef\n\t  55d0 main\n\n\
                       shard-1 \n\t  55d1 wal::append::h0123456789abcdef\n\t  55d0 main\n\n\
                       journal \n\t  7f00 [unknown]\n";
        let stacks = fold(printed);
        let stack = |frames: &[&str]| frames.iter().map(|frame| (*frame).to_owned()).collect::<Vec<_>>();
        assert_eq!(stacks.len(), 2);
        assert_eq!(stacks[&stack(&["shard", "main", "wal::append"])], 2);
        assert_eq!(stacks[&stack(&["journal", "[unknown]"])], 1);
    }
}
