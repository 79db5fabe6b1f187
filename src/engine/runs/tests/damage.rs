//! Damaged, missing and left-over files: never a wrong row, and what can be
//! kept is kept.

use super::*;
use crate::engine::runs::Error;
use wal::disk::SimFaults;

/// Three runs of LSNs 1 to 10, 11 to 20 and 21 to 30; key 1 is in all.
fn three_runs() -> (SimDisk, Model) {
    let disk = SimDisk::new(9);
    let mut model = Model::default();
    let runs = open(&disk);
    for to in [10, 20, 30] {
        let rows: Vec<Row> = (to - 9..=to).flat_map(|lsn| [row(1, lsn), row(u128::from(lsn) << 70, lsn)]).collect();
        model.add(&rows, to);
        runs.add(rows, to).unwrap();
    }
    (disk, model)
}

#[test]
fn every_flipped_bit_is_noticed() {
    let disk = SimDisk::new(1);
    let mut model = Model::default();
    // Two blocks, the second of them not full.
    let rows: Vec<Row> = (1..=131).map(|lsn| row(u128::from(lsn % 5) << 90, lsn)).collect();
    model.add(&rows, 131);
    open(&disk).add(rows, 131).unwrap();
    let name = run_name(1, 131);
    let whole = get(&disk, &name);
    for bit in 0..whole.len() as u64 * 8 {
        disk.flip_bit(&path(&name), bit).unwrap();
        let runs = open(&disk);
        if runs.covered_lsn() > 0 {
            let mut noticed = false;
            for key in (0..5).map(|n| n << 90) {
                let mut out = Vec::new();
                match runs.rows_after(key, 0, usize::MAX, &mut out) {
                    Ok(()) => assert_eq!(out, model.of_key(key), "bit {bit}"),
                    Err(Error::Damaged { .. }) => noticed = true,
                    Err(error) => panic!("bit {bit}: {error}"),
                }
            }
            assert!(noticed, "bit {bit} of {name}");
            assert_eq!(open(&disk).covered_lsn(), 0, "bit {bit}: the next life does without it");
        }
        let aside = format!("{name}.bad");
        assert_eq!(names(&disk), std::slice::from_ref(&aside), "bit {bit}");
        disk.rename(&path(&aside), &path(&name)).unwrap();
        disk.flip_bit(&path(&name), bit).unwrap();
    }
    model.check_all(&open(&disk));
}

#[test]
fn every_shorter_length_is_noticed() {
    let (disk, _) = three_runs();
    let name = run_name(1, 10);
    let whole = get(&disk, &name);
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let disk = disk.fork(1);
        put(&disk, &name, &whole[..length]);
        assert_eq!(open(&disk).covered_lsn(), 0, "{length} bytes");
    }
    put(&disk, &name, &[&whole[..], &[0]].concat());
    assert_eq!(open(&disk).covered_lsn(), 0, "one byte more");
}

#[test]
fn coverage_ends_before_a_damaged_run_and_is_filled_again() {
    let (disk, model) = three_runs();
    disk.flip_bit(&path(&run_name(11, 20)), 3).unwrap();
    let runs = open(&disk);
    model.up_to(10).check_all(&runs);
    assert_eq!(names(&disk), [run_name(1, 10), run_name(11, 20) + ".bad"]);

    let again: Vec<Row> = (0..40).flat_map(|n| model.of_key(n << 70)).chain(model.of_key(1)).collect();
    runs.add(again, 30).unwrap();
    model.check_all(&runs);
    model.check_all(&open(&disk));
}

#[test]
fn coverage_ends_before_a_missing_run() {
    let (disk, model) = three_runs();
    disk.remove(&path(&run_name(11, 20))).unwrap();
    model.up_to(10).check_all(&open(&disk));
    assert_eq!(names(&disk), [run_name(1, 10)]);

    let (disk, _) = three_runs();
    disk.remove(&path(&run_name(1, 10))).unwrap();
    assert_eq!(open(&disk).covered_lsn(), 0);
    assert_eq!(names(&disk), Vec::<String>::new());
}

#[test]
fn damage_met_while_reading_is_told_and_ends_coverage_in_the_next_life() {
    let (disk, model) = three_runs();
    let in_the_rows = 8 * (4096 + 100);
    disk.flip_bit(&path(&run_name(11, 20)), in_the_rows).unwrap();
    let runs = open(&disk);
    assert_eq!(runs.newest(1, u64::MAX).unwrap(), Some(row(1, 30)), "found before the damaged run");
    for _ in 0..2 {
        let error = runs.newest(1, 15).unwrap_err();
        assert!(matches!(error, Error::Damaged { offset: 4096, .. }), "{error}");
    }
    assert!(matches!(runs.verify(), Err(Error::Damaged { .. })));
    model.up_to(10).check_all(&open(&disk));
}

#[test]
fn a_damaged_run_keeps_merges_away_and_nothing_else() {
    let disk = SimDisk::new(2);
    let runs = open(&disk);
    for lsn in 1..=9 {
        runs.add(vec![row(1, lsn)], lsn).unwrap();
    }
    disk.flip_bit(&path(&run_name(4, 4)), 8 * 4096).unwrap();
    assert!(matches!(runs.merge_if_due(), Err(Error::Damaged { .. })));
    assert!(!runs.merge_if_due().unwrap(), "not tried again and again");
    assert!(names(&disk).iter().all(|name| !name.ends_with(".tmp")));
    runs.add(vec![row(1, 10)], 10).unwrap();
    assert_eq!(runs.newest(1, 10).unwrap(), Some(row(1, 10)));
}

#[test]
fn leftovers_are_removed_and_other_files_left_alone() {
    let (disk, model) = three_runs();
    put(&disk, &(run_name(31, 40) + ".tmp"), b"half");
    put(&disk, "notes.txt", b"hello");
    put(&disk, "1-2.run", b"no run by its name");
    put(&disk, &run_name(7, 3), b"backwards");
    model.check_all(&open(&disk));
    let left: Vec<String> = names(&disk).into_iter().filter(|name| !name.ends_with("0.run")).collect();
    assert_eq!(left, [run_name(7, 3), "1-2.run".into(), "notes.txt".into()]);
}

/// A crash between a merge's rename and the removal of its sources leaves
/// both. The merged one is taken, but if it is damaged the sources are.
#[test]
fn of_a_merged_run_and_its_sources_the_largest_sound_one_is_taken() {
    let disk = SimDisk::new(6);
    let mut model = Model::default();
    let runs = open(&disk);
    let mut sources = Vec::new();
    for lsn in 1..=8 {
        model.add(&[row(1, lsn)], lsn);
        runs.add(vec![row(1, lsn)], lsn).unwrap();
        sources.push((run_name(lsn, lsn), get(&disk, &run_name(lsn, lsn))));
    }
    assert!(runs.merge_if_due().unwrap());
    sources.iter().for_each(|(name, bytes)| put(&disk, name, bytes));
    let damaged = disk.fork(7);

    model.check_all(&open(&disk));
    assert_eq!(names(&disk), [run_name(1, 8)]);

    damaged.flip_bit(&path(&run_name(1, 8)), 100).unwrap();
    model.check_all(&open(&damaged));
    assert_eq!(names(&damaged).len(), 9, "eight sources and the one set aside");
}

#[test]
fn what_could_not_be_written_stays_readable_and_is_written_later() {
    let disk = SimDisk::new(8);
    let runs = open(&disk);
    runs.add(vec![row(1, 1)], 1).unwrap();
    disk.set_faults(SimFaults { sync_error: 1.0, ..SimFaults::default() });
    assert!(matches!(runs.add(vec![row(1, 2)], 2), Err(Error::Io { .. })));
    assert_eq!((runs.covered_lsn(), runs.durable_lsn()), (2, 1));
    assert_eq!(runs.newest(1, 9).unwrap(), Some(row(1, 2)));
    assert!(matches!(runs.add(vec![row(1, 3)], 3), Err(Error::Io { .. })));
    assert_eq!(runs.covered_lsn(), 2, "no second batch is taken while one waits");

    disk.set_faults(SimFaults::default());
    runs.add(vec![row(1, 3)], 3).unwrap();
    assert_eq!((runs.covered_lsn(), runs.durable_lsn()), (3, 3));
    let mut out = Vec::new();
    open(&disk).rows_after(1, 0, 9, &mut out).unwrap();
    assert_eq!(out, [row(1, 1), row(1, 2), row(1, 3)]);
}

/// A folder may be a running server's: whoever only looks sees the same rows and leaves everything as it is.
#[test]
fn reading_only_changes_nothing() {
    let (disk, model) = three_runs();
    let whole = Runs::open_read_only(Arc::new(disk.clone()), dir()).unwrap();
    assert!(whole.1.is_empty());
    model.check_all(&whole.0);
    let mut rows = Vec::new();
    whole.0.for_each(5, 25, |row| rows.push(row)).unwrap();
    let between = |row: &Row| (5..=25).contains(&row.lsn);
    let mut expected: Vec<Row> =
        model.up_to(30).rows.iter().map(|(&(key, lsn), &value)| Row { key, lsn, value }).collect();
    expected.retain(between);
    rows.sort_by_key(Row::place);
    assert_eq!(rows, expected);

    put(&disk, "00000000000000000031-00000000000000000040.run.tmp", b"unfinished");
    put(&disk, &run_name(50, 60), b"after a gap");
    disk.flip_bit(&path(&run_name(21, 30)), 5_000).unwrap();
    disk.flip_bit(&path(&run_name(11, 20)), 8 * 4_100).unwrap();
    let before = names(&disk);
    let (runs, damage) = Runs::open_read_only(Arc::new(disk.clone()), dir()).unwrap();
    assert_eq!((runs.covered_lsn(), damage.len()), (20, 1), "the header of the third is damaged: {damage:?}");
    assert!(matches!(runs.verify(), Err(Error::Damaged { .. })), "and a block of the second");
    assert_eq!(names(&disk), before);
    assert_eq!(
        Runs::open_read_only(Arc::new(SimDisk::new(3)), dir()).unwrap().0.covered_lsn(),
        0,
        "no folder, no rows"
    );
}
