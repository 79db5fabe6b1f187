//! What is merged when, and that a merge loses nothing.

use super::*;
use crate::engine::runs::merge::due_of_tiers;

/// One character a run, oldest first: its tier, or `-` for one that cannot be
/// merged. Brackets stand where the merge is expected.
fn check(picture: &str) {
    let tier_of = |sign: char| sign.to_digit(10);
    let tiers: Vec<Option<u32>> = picture.chars().filter(|sign| !"[]".contains(*sign)).map(tier_of).collect();
    let start = picture.find('[');
    let end = picture.find(']').map(|at| at - 1);
    let expected = start.zip(end).map(|(start, end)| start..end);
    assert_eq!(due_of_tiers(&tiers, 8), expected, "{picture}");
}

#[test]
fn eight_or_more_of_a_kind_are_due() {
    check("");
    check("0000000");
    check("[00000000]");
    check("[00000000000]");
    check("21[000000000]");
    check("00001[00000000]");
    check("0000-0000");
    check("11111110000000");
    check("[11111111]0000000");
    check("1111111[00000000]");
    // Small ones between larger ones go with them, but do not count.
    check("[1110111001011]");
    check("20000000");
    check("[22222222]");
    check("[2102222222]1");
    // A larger one between smaller ones keeps them apart.
    check("000010000");
    // Not more at once than there is memory for.
    let many = "0".repeat(64);
    check(&format!("[{many}]00000000"));
    check(&format!("1111111[{many}]{many}1"));
}

#[test]
fn a_merge_replaces_its_runs_by_one() {
    let disk = SimDisk::new(3);
    let mut batches = Batches::new(3);
    let mut model = Model::default();
    let runs = open(&disk);
    for _ in 0..8 {
        assert!(!runs.merge_if_due().unwrap());
        let (rows, to) = batches.next(400);
        model.add(&rows, to);
        runs.add(rows, to).unwrap();
    }
    assert!(runs.merge_if_due().unwrap());
    assert!(!runs.merge_if_due().unwrap());
    assert_eq!(names(&disk), [run_name(1, model.covered)]);
    model.check_all(&runs);
    model.check_all(&open(&disk));
}

/// Runs whose keys do not overlap are merged by whole stretches, which is
/// another way through the code than row by row.
#[test]
fn runs_that_do_not_overlap_are_merged_too() {
    let disk = SimDisk::new(4);
    let runs = open(&disk);
    let mut model = Model::default();
    for batch in 0..8u64 {
        let lsns = batch * 1000 + 1..=batch * 1000 + 1000;
        // The last batch has the least keys, so that the order of the runs is
        // not the order of the keys.
        let rows: Vec<Row> = lsns.clone().map(|lsn| row(u128::from(lsn % 8000) << 64, lsn)).collect();
        model.add(&rows, *lsns.end());
        runs.add(rows, *lsns.end()).unwrap();
    }
    assert!(runs.merge_if_due().unwrap());
    model.check_all(&runs);
}

#[test]
fn a_merge_that_is_stopped_leaves_everything() {
    let disk = SimDisk::new(5);
    let runs = open(&disk);
    let mut model = Model::default();
    for lsn in 1..=8 {
        model.add(&[row(1, lsn)], lsn);
        runs.add(vec![row(1, lsn)], lsn).unwrap();
    }
    runs.stop_merging();
    assert!(!runs.merge_if_due().unwrap());
    assert_eq!(names(&disk).len(), 8);
    model.check_all(&runs);
    assert!(open(&disk).merge_if_due().unwrap());
}
