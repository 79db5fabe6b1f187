//! Random batches, merges and restarts, each step held against the model.

use super::*;
use crate::engine::runs::Error;

#[test]
fn answers_as_a_map_does() {
    for seed in 0..12 {
        println!("seed {seed}");
        let disk = SimDisk::new(seed);
        let mut batches = Batches::new(seed);
        let mut model = Model::default();
        let mut runs = open(&disk);
        for _ in 0..30 {
            match batches.rng.random_range(0..6) {
                0 => while runs.merge_if_due().unwrap() {},
                1 => runs = open(&disk),
                _ => {
                    let (rows, to) = batches.next(150);
                    model.add(&rows, to);
                    runs.add(rows, to).unwrap();
                }
            }
            assert_eq!(runs.covered_lsn(), model.covered);
            assert_eq!(runs.durable_lsn(), model.covered);
            let key = batches.key();
            let limit = batches.rng.random_range(0..40);
            model.check_key(&runs, key, limit);
        }
        model.check_all(&runs);
        for key in [0, 1, 5, u128::MAX, u128::MAX - 1, 7 << 100, 12345] {
            model.check_key(&runs, key, 1000);
        }
    }
}

#[test]
fn an_empty_folder_covers_nothing() {
    let runs = open(&SimDisk::new(1));
    assert_eq!(runs.covered_lsn(), 0);
    Model::default().check_key(&runs, 7, 10);
    assert!(!runs.merge_if_due().unwrap());
}

#[test]
fn a_batch_without_rows_covers_its_lsns() {
    let disk = SimDisk::new(1);
    open(&disk).add(Vec::new(), 500).unwrap();
    let runs = open(&disk);
    assert_eq!((runs.covered_lsn(), runs.durable_lsn()), (500, 500));
    assert!(!runs.contains(7).unwrap());
}

#[test]
fn rows_given_again_are_the_same_rows() {
    let runs = open(&SimDisk::new(1));
    runs.add(vec![row(7, 1), row(7, 2)], 2).unwrap();
    runs.add(vec![row(7, 2), row(7, 3), row(7, 3)], 3).unwrap();
    let mut out = Vec::new();
    runs.rows_before(7, u64::MAX, 10, &mut out).unwrap();
    assert_eq!(out, [row(7, 3), row(7, 2), row(7, 1)]);
}

#[test]
fn batches_that_cannot_be_are_refused_and_change_nothing() {
    let runs = open(&SimDisk::new(1));
    runs.add(vec![row(7, 10)], 10).unwrap();
    let refusals = [
        runs.add(vec![row(8, 12)], 11),
        runs.add(vec![row(8, 10)], 10),
        runs.add(Vec::new(), 9),
        runs.add(Vec::new(), u64::MAX),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. } | Error::Coverage { .. }), "{error}");
    }
    assert_eq!(runs.covered_lsn(), 10);
    assert!(!runs.contains(8).unwrap());
    // Nothing new is no mistake.
    runs.add(Vec::new(), 10).unwrap();
}

#[test]
fn the_filter_has_no_false_no_and_few_false_yes() {
    use crate::engine::runs::filter::Filter;
    // Small numbers in a row, and ids that differ in the upper bits only.
    let families: [fn(u128) -> u128; 2] = [|n| n, |n| n << 80];
    for family in families {
        let mut filter = Filter::new(20_000);
        filter.insert_all(&(0..20_000).map(family).collect::<Vec<_>>());
        assert!((0..20_000).all(|n| filter.may_contain(family(n))));
        let false_yes = (20_000..40_000).filter(|&n| filter.may_contain(family(n))).count();
        assert!(false_yes < 20_000 / 40, "{false_yes} of 20000");
    }
}

#[test]
fn a_folded_filter_is_as_one_that_was_made_smaller() {
    use crate::engine::runs::filter::Filter;
    let keys: Vec<u128> = (0..5_000).map(|n| n * 77).collect();
    for key_count_max in [5_000, 9_000, 40_000, 100_000] {
        let mut folded = Filter::foldable(key_count_max);
        folded.insert_all(&keys);
        folded.fold(5_000);
        let mut made = Filter::with_lines(folded.line_count());
        made.insert_all(&keys);
        let line_count = made.line_count() as usize;
        let [mut folded_bytes, mut made_bytes] = [Vec::new(), Vec::new()];
        folded.append_lines(0, line_count, &mut folded_bytes);
        made.append_lines(0, line_count, &mut made_bytes);
        assert!(folded_bytes == made_bytes, "for at most {key_count_max}");
        assert!(keys.iter().all(|&key| folded.may_contain(key)));
        assert!((98..=245).contains(&line_count), "{line_count} lines for at most {key_count_max}");
    }
}

/// The pieces in which rows come must not show in the index.
#[test]
fn an_index_made_in_pieces_is_as_one_made_at_once() {
    use crate::engine::runs::run::Index;
    let rows: Vec<Row> = (1..=1000).map(|lsn| row(u128::from(lsn / 3), lsn)).collect();
    let mut whole = Index::new(1, 1000, 334);
    whole.extend(&rows);
    for piece in [1, 7, 127, 128, 129, 300] {
        let mut index = Index::new(1, 1000, 334);
        rows.chunks(piece).for_each(|rows| index.extend(rows));
        let counts = |index: &Index| (index.row_count, index.key_count, index.min_key, index.max_key);
        assert_eq!(counts(&index), counts(&whole), "pieces of {piece}");
        assert_eq!(index.fences, whole.fences, "pieces of {piece}");
    }
    assert_eq!(whole.fences[3], rows[384].place());
    assert_eq!((whole.row_count, whole.key_count), (1000, 334));
}
