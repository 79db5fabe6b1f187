//! Snapshots in a real Postgres server: what holds in every store, and what only a database can do to them.

use super::stores::*;
use super::*;
use crate::postgres_server::{PASSWORD, Server};
use snapshots::Store;
use snapshots::postgres::{Address, Database};
use vault::Encryption;

fn store(address: Address, log: u8) -> Store {
    store_with(address, log, Encryption::Without)
}

fn store_with(address: Address, log: u8, encryption: Encryption) -> Store {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    Store::Postgres(Database { address, log_id: [log; 16], disk, outgoing_dir: PathBuf::from("/outgoing"), encryption })
}

fn outgoing(store: &Store) -> Vec<String> {
    let Store::Postgres(database) = store else { panic!("it is in Postgres") };
    database.disk.list(&database.outgoing_dir).unwrap()
}

#[test]
fn in_postgres() {
    let Some(server) = Server::start() else { return };
    for (number, (name, check)) in CHECKS.iter().enumerate() {
        eprintln!("{name}, encrypted");
        check(&store_with(server.address(), 200 + number as u8, encryption::on()));
        eprintln!("{name}");
        let store = store(server.address(), number as u8);
        check(&store);
        assert_eq!(outgoing(&store), Vec::<String>::new(), "{name}: nothing stays on this machine");
    }
    let tables = "SELECT count(*) FROM florin_snapshots; SELECT count(*) FROM florin_snapshots WHERE NOT complete";
    let counts = server.sql(tables);
    assert!(counts.ends_with("\n0") && !counts.starts_with('0'), "{counts}");

    same_as_a_file(&server);
    encrypted_rows_say_nothing(&server);
    every_change_is_noticed(&server);
    damaged_ones_do_not_count(&server);
    cut_off_in_the_middle(&server);
    newer_tables_are_left_alone(&server);
}

/// The tables keep all that is in a file, so the hash is the same.
fn same_as_a_file(server: &Server) {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let on_disk = Store::Disk { disk, dir: dir().to_owned(), encryption: Encryption::Without };
    let Store::Postgres(mut database) = store(server.address(), 0) else { panic!("it is in Postgres") };
    database.log_id = header(1).log_id;
    assert_eq!(put_small(&on_disk, 5), put_small(&Store::Postgres(database), 5));
}

fn encrypted_rows_say_nothing(server: &Server) {
    let store = store_with(server.address(), 199, encryption::on());
    put_small(&store, 43);
    check_small_in(&store, 43);
    let like = |what: &str| {
        let sql = "SELECT count(*) FROM florin_snapshot_blocks b JOIN florin_snapshots s ON s.id = b.snapshot \
                   WHERE s.lsn = 43 AND position(convert_to('one hold', 'UTF8') IN b.bytes) > 0 AND s.data_key";
        server.sql(&format!("{sql} {what}"))
    };
    put_small(&self::store(server.address(), 198), 43);
    assert_eq!((like("IS NOT NULL").as_str(), like("IS NULL").as_str()), ("0", "1"));
    for encryption in [Encryption::Without, encryption::other()] {
        let error = store_with(server.address(), 199, encryption).open(43).unwrap_err();
        assert!(matches!(error, Error::Key { .. }), "{error}");
    }
}

fn every_change_is_noticed(server: &Server) {
    let store = store(server.address(), 100);
    put_small(&store, 42);
    let id = server.sql("SELECT id FROM florin_snapshots WHERE lsn = 42");
    let change = |table: &str, key: &str, what: &str| {
        server.sql(&format!("UPDATE {table} SET {what} WHERE {key} = {id}"));
    };
    let flip = |column: &str| format!("{column} = set_bit({column}, 9, 1 - get_bit({column}, 9))");
    let (header, blocks) = ("florin_snapshots", "florin_snapshot_blocks");
    let changes = [
        (header, "id", flip("chain_hash"), flip("chain_hash")),
        (header, "id", flip("state"), flip("state")),
        (header, "id", flip("hash"), flip("hash")),
        (header, "id", "time_micros = time_micros + 1".into(), "time_micros = time_micros - 1".into()),
        (header, "id", "bytes = bytes + 1".into(), "bytes = bytes - 1".into()),
        (header, "id", "block_count = block_count + 1".into(), "block_count = block_count - 1".into()),
        (header, "id", "block_count = block_count - 1".into(), "block_count = block_count + 1".into()),
        (header, "id", "kind_rows[1] = 6".into(), "kind_rows[1] = 5".into()),
        (header, "id", "kinds[3] = 300".into(), "kinds[3] = 7".into()),
        (header, "id", "kinds = kinds || 9::smallint".into(), "kinds = kinds[1:3]".into()),
        (header, "id", "crc = crc + 1".into(), "crc = crc - 1".into()),
        (blocks, "block_no = 1 AND snapshot", flip("bytes"), flip("bytes")),
        (blocks, "block_no = 1 AND snapshot", "bytes = bytes || '\\x00'".into(), "bytes = 'one hold'".into()),
        (blocks, "block_no = 1 AND snapshot", "rows = rows + 1".into(), "rows = rows - 1".into()),
        (blocks, "block_no = 1 AND snapshot", "kind = 3".into(), "kind = 2".into()),
        (blocks, "block_no = 1 AND snapshot", "kind = -1".into(), "kind = 2".into()),
        (blocks, "block_no = 1 AND snapshot", "crc = crc + 1".into(), "crc = crc - 1".into()),
        (blocks, "block_no = 2 AND snapshot", "block_no = 9".into(), String::new()),
    ];
    for (table, key, there, back) in changes {
        change(table, key, &there);
        let error = get_from(&store, 42).expect_err(&there);
        assert!(is_damage(&error), "{there}: {error}");
        if back.is_empty() {
            change(blocks, "block_no = 9 AND snapshot", "block_no = 2");
        } else {
            change(table, key, &back);
        }
        check_small_in(&store, 42);
    }
    change(header, "id", "version = 3");
    let error = get_from(&store, 42).unwrap_err();
    assert!(matches!(error, Error::Version { version: 3, known: 2, .. }), "{error}");
    change(header, "id", "version = 1");
    // Blocks that are right each by itself, in another order.
    for (from, to) in [(0, 8), (1, 0), (8, 1)] {
        let key = format!("block_no = {from} AND snapshot");
        change(blocks, &key, &format!("block_no = {to}"));
    }
    assert!(is_damage(&get_from(&store, 42).unwrap_err()));
}

fn damaged_ones_do_not_count(server: &Server) {
    let store = store(server.address(), 101);
    for lsn in 1..=4 {
        put_small(&store, lsn);
    }
    let mine = "log_id = decode(repeat('65', 16), 'hex')";
    server.sql(&format!("UPDATE florin_snapshots SET crc = crc + 1 WHERE lsn = 4 AND {mine}"));
    store.prune(2).unwrap();
    assert_eq!(lsns_in(&store), [4, 3, 2]);
    let of_removed =
        "SELECT count(*) FROM florin_snapshot_blocks WHERE snapshot NOT IN (SELECT id FROM florin_snapshots)";
    assert_eq!(server.sql(of_removed), "0");
}

/// A snapshot is stopped half way by a lock, and there the server dies.
fn cut_off_in_the_middle(server: &Server) {
    let store = store(server.address(), 102);
    put_small(&store, 1);
    let lock = server.lock_blocks();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| put_in(&store, 2, &large_blocks(), b"new"));
        server.await_lock_waiter();
        server.crash();
        let error = writing.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Database { doing: "copy a snapshot to", .. }), "{error}");
    });
    drop(lock);
    let error = store.list().unwrap_err();
    assert!(matches!(error, Error::Database { doing: "connect to", .. }), "{error}");
    assert!(!format!("{error} {error:?} {store:?}").contains(PASSWORD), "{error:?}");
    assert_eq!(outgoing(&store), Vec::<String>::new());

    server.up();
    assert_eq!(lsns_in(&store), [1]);
    check_small_in(&store, 1);
    put_small(&store, 2);
    assert_eq!(lsns_in(&store), [2, 1]);
}

fn newer_tables_are_left_alone(server: &Server) {
    server.sql("INSERT INTO florin_snapshot_schema (version) VALUES (7)");
    let error = store(server.address(), 103).list().unwrap_err();
    assert!(matches!(error, Error::Version { version: 7, known: 2, .. }), "{error}");
}

/// It accepts, and then says nothing.
#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://florin:{PASSWORD}@{}/florin", listener.local_addr().unwrap());
    let began = std::time::Instant::now();
    let error = store(Address::parse(&url.into()).unwrap(), 1).list().unwrap_err();
    assert!(error.to_string().ends_with("no answer within 5 seconds"), "{error}");
    assert!(began.elapsed().as_secs() < 30);
}

#[test]
fn addresses_show_no_password_and_refuse_what_they_do_not_know() {
    let address = Address::parse(&format!("postgres://me:{PASSWORD}@db:99/books?sslmode=require").into()).unwrap();
    assert_eq!(format!("{address} {address:?}"), "postgres://db:99/books Address(postgres://db:99/books)");
    for wrong in [
        format!("mysql://me:{PASSWORD}@db/books"),
        format!("postgres://me:{PASSWORD}@db:port/books"),
        format!("postgres://me@db/books?pasword={PASSWORD}"),
        "postgres://db/books?sslmode=maybe".to_owned(),
    ] {
        let error = Address::parse(&wrong.clone().into()).expect_err(&wrong);
        assert!(matches!(error, Error::Address(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    }
}
