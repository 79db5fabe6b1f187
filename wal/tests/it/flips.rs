//! Every single flipped bit is reported, or repaired as a torn tail; it never shows as other data.

use std::sync::Arc;

use wal::disk::{Disk, SimDisk};
use wal::{Error, Reader};

use crate::workload::{Group, append, dir, groups, open, read_all, segment_path};

fn small_group(time_micros: u64, byte: u8) -> Group {
    Group { time_micros, records: vec![vec![byte; 30], vec![byte + 100; 50]] }
}

fn open_to_read(disk: &SimDisk) -> Result<Reader, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Ok(Reader::open(disk, dir(), None, &mut |_, _| {})?.expect("there is a log"))
}

#[test]
fn each_bit_of_a_small_log() {
    let original = SimDisk::new(1);
    let all: Vec<Group> = (0..3).map(|index| small_group(10 + index, index as u8)).collect();
    let (mut log, _) = open(&original).unwrap();
    for group in &all {
        append(&mut log, group).unwrap();
    }
    drop(log);
    let (mut reported, mut cut) = (0, 0);
    // Header, three groups of one block, and a block of the empty rest.
    for bit in 0..5 * 512 * 8 {
        let disk = original.fork(1);
        disk.flip_bit(&segment_path(1), bit).unwrap();
        match open(&disk) {
            Err(Error::Corrupt { segment, .. }) => {
                assert_eq!(segment, segment_path(1));
                reported += 1;
            }
            Err(error) => panic!("bit {bit}: {error}"),
            Ok((log, recovered)) => {
                let read = read_all(&log.reader()).unwrap();
                assert!(recovered.torn.is_some(), "bit {bit}: silent");
                let in_last_group = (3 * 512 * 8..4 * 512 * 8).contains(&bit);
                assert_eq!(read, all[..if in_last_group { 2 } else { 3 }], "bit {bit}");
                cut += 1;
            }
        }
    }
    assert_eq!((reported, cut), (3 * 4096, 2 * 4096));
}

#[test]
fn bits_of_a_sealed_segment() {
    let disk = SimDisk::new(2);
    let (mut log, _) = open(&disk).unwrap();
    let mut all = vec![small_group(10, 1), small_group(11, 2)];
    all.extend(groups(2, 3, 500_000).into_iter().map(|group| Group { records: vec![vec![9; 600_000]], ..group }));
    for group in &all {
        append(&mut log, group).unwrap();
    }
    drop(log);
    let sidecar = dir().join("0000000000000001.marks");
    let sidecar_bits = disk.open_read(&sidecar).unwrap().bytes().unwrap() * 8;
    // Of the groups every 13th bit, which falls on each place within a byte.
    for bit in (0..512 * 8).chain((512 * 8..3 * 512 * 8).step_by(13)) {
        disk.flip_bit(&segment_path(1), bit).unwrap();
        let result = open_to_read(&disk).and_then(|reader| {
            let mut scan = reader.scan(1);
            while scan.next_group()?.is_some() {}
            Ok(())
        });
        assert!(matches!(result, Err(Error::Corrupt { .. })), "bit {bit}: {result:?}");
        if bit >= 512 * 8 {
            let lsn = if bit < 1024 * 8 { 2 } else { 4 };
            let point = open_to_read(&disk).and_then(|reader| reader.read(lsn));
            assert!(matches!(point, Err(Error::Corrupt { .. })), "bit {bit}: {point:?}");
        }
        disk.flip_bit(&segment_path(1), bit).unwrap();
    }
    // A bad sidecar is only a shortcut less.
    for bit in 0..sidecar_bits {
        disk.flip_bit(&sidecar, bit).unwrap();
        let reader = open_to_read(&disk).unwrap();
        assert_eq!(reader.read(4).unwrap().unwrap().bytes, all[1].records[1], "bit {bit}");
        disk.flip_bit(&sidecar, bit).unwrap();
    }
    assert_eq!(read_all(&open_to_read(&disk).unwrap()).unwrap(), all);
}
