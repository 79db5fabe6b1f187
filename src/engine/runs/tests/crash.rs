//! The power goes at each disk operation in turn. What was durable is there
//! afterwards, whole, and what is there is right.

use super::*;

#[test]
fn a_crash_at_any_operation_loses_nothing_durable() {
    for seed in 0..3 {
        println!("seed {seed}");
        let base = SimDisk::new(seed);
        let mut batches = Batches::new(seed);
        let mut before = Model::default();
        let runs = open(&base);
        for _ in 0..6 {
            let (rows, to) = batches.next(60);
            before.add(&rows, to);
            runs.add(rows, to).unwrap();
        }
        let (ninth, tenth) = {
            let mut next = || batches.next(60);
            ([next(), next()], next())
        };
        let mut after = before.clone();
        for (rows, to) in ninth.iter().chain([&tenth]) {
            after.add(rows, *to);
        }

        // Opening, two batches, the merge that they make due, one batch more.
        let life = |disk: &SimDisk, durable: &mut u64| -> crate::engine::runs::Result<()> {
            let runs = Runs::open(Arc::new(disk.clone()), dir())?;
            for (rows, to) in &ninth {
                runs.add(rows.clone(), *to)?;
                *durable = runs.durable_lsn();
            }
            assert!(runs.merge_if_due()?);
            runs.add(tenth.0.clone(), tenth.1)?;
            *durable = runs.durable_lsn();
            Ok(())
        };
        let mut operation = 0;
        loop {
            operation += 1;
            let disk = base.fork(seed * 1000 + operation);
            put(&disk, &(run_name(1, 9) + ".tmp"), b"left over");
            disk.crash_at(operation);
            let mut durable = before.covered;
            let survived = life(&disk, &mut durable).is_ok();
            disk.crash();
            // Twice: what the first does must not spoil the second.
            for _ in 0..2 {
                let runs = open(&disk);
                let covered = runs.covered_lsn();
                assert!(durable <= covered && covered <= after.covered, "operation {operation}");
                after.up_to(covered).check_all(&runs);
            }
            assert!(names(&disk).iter().all(|name| name.ends_with(".run")), "operation {operation}");
            if survived {
                break;
            }
        }
        assert!(operation > 40, "only {operation} operations: the crashes did not reach the merge");
    }
}
