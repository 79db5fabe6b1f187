//! An encrypted ledger from the outside: what the disk shows, what every command does with the key, without it and with
//! another, how keys are rotated under load, and how a ledger in clear becomes an encrypted one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use florin::engine::{Engine, EngineConfig, Outcome};
use florin::ledger::{Currency, Kind, Leg, Limits, Opening, OwnerId, Transfer, TransferId, TransferKind, WalletId};
use tempfile::TempDir;
use vault::{Encryption, KEYS_FILE_NAME, Keyring, MasterSource};

use crate::cli_rig::{Said, florin, on};
use crate::cli_serve::Server;
use crate::rig::{config, start};

const REFERENCE: &str = "rent of a flat that nobody should know of";
const WALLET: u128 = 0x0102_0304_a1b2_c3d4_e5f6_0718_293a_4b5c;
const OTHER: u128 = WALLET + 1;

struct Ground {
    data: TempDir,
    keys: TempDir,
}

impl Ground {
    fn new() -> Ground {
        let ground = Ground { data: folder(), keys: folder() };
        ground.write_key("master", 'a');
        ground.write_key("other", 'b');
        ground
    }

    fn write_key(&self, name: &str, digit: char) {
        let path = self.key(name);
        fs::write(&path, digit.to_string().repeat(64)).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    fn key(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    fn key_text(&self, name: &str) -> String {
        self.key(name).display().to_string()
    }

    fn on(&self) -> Encryption {
        let path = self.data.path().join(KEYS_FILE_NAME);
        Encryption::On(Keyring::open_or_create(&path, MasterSource::File(self.key("master"))).expect("keys"))
    }

    fn config(&self, encryption: Encryption) -> EngineConfig {
        let mut config = config(&self.data, 2);
        config.segment_bytes = wal::SEGMENT_BYTES_MIN;
        config.encryption = encryption;
        config
    }

    fn asked(&self, command: &str, more: &[&str]) -> Said {
        on(command, self.data.path(), more)
    }

    /// Wherever records and rows lie, and what is in there in any form that somebody might look for.
    fn shows(&self, dir: &Path) -> bool {
        let looked_for = [REFERENCE.as_bytes().to_vec(), WALLET.to_le_bytes().to_vec(), WALLET.to_be_bytes().to_vec()];
        let mut shown = false;
        for name in ["log", "archive", "snapshots"] {
            let Ok(files) = fs::read_dir(dir.join(name)) else { continue };
            for file in files {
                let bytes = fs::read(file.expect("listed").path()).expect("readable");
                shown |= looked_for.iter().any(|what| bytes.windows(what.len()).any(|window| window == what));
            }
        }
        shown
    }

    /// The data keys of the segments, none for one in clear.
    fn keys_of_segments(&self) -> Vec<Option<Vec<u8>>> {
        let mut paths = Vec::new();
        for name in ["archive", "log"] {
            let Ok(files) = fs::read_dir(self.data.path().join(name)) else { continue };
            paths.extend(files.map(|file| file.expect("listed").path()));
        }
        paths.retain(|path| path.extension().is_some_and(|end| end == "wal"));
        paths.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
        let headers = paths.iter().map(|path| fs::read(path).expect("readable")).filter(|bytes| bytes[0] == b'F');
        headers.map(|bytes| (bytes[8] == 2).then(|| bytes[104..120].to_vec())).collect()
    }
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn inr() -> Currency {
    Currency::by_code("INR").expect("in the list")
}

async fn open_wallets(engine: &Engine) {
    let system = engine.system_wallet(inr()).await.expect("it opens").0;
    for wallet in [WALLET, OTHER] {
        let opening = Opening {
            wallet: WalletId(wallet),
            owner: OwnerId(WALLET),
            currency: inr(),
            kind: Kind::Personal,
            may_send: true,
            may_receive: true,
            limits: Limits::PLAIN,
        };
        assert!(matches!(engine.open_wallet(opening).await, Outcome::Accepted(_)));
    }
    pay(engine, 1, system, WALLET, 1_000_000).await;
}

fn transfer(id: u128, from: u128, to: u128, minor: i64) -> Transfer {
    let legs = [(from, -minor), (to, minor)].map(|(wallet, amount)| Leg { wallet: WalletId(wallet), amount });
    let legs = legs.into_iter().collect();
    Transfer::new(TransferId(id), TransferKind::Transfer, inr(), legs, Some(REFERENCE.into())).expect("it adds up")
}

async fn pay(engine: &Engine, id: u128, from: u128, to: u128, minor: i64) {
    let outcome = engine.transfer(transfer(id, from, to, minor)).await;
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
}

async fn write_ledger(ground: &Ground, encryption: Encryption) {
    let engine = start(ground.config(encryption)).await;
    open_wallets(&engine).await;
    pay(&engine, 2, WALLET, OTHER, 10).await;
    engine.snapshot().await.expect("a snapshot is taken");
    pay(&engine, 3, WALLET, OTHER, 10).await;
    engine.stop().await;
}

#[tokio::test]
async fn log_and_snapshots_show_a_canary_in_clear_only() {
    let clear = Ground::new();
    write_ledger(&clear, Encryption::Without).await;
    assert!(clear.shows(clear.data.path()));
    assert!(!clear.data.path().join(KEYS_FILE_NAME).exists());

    let ground = Ground::new();
    write_ledger(&ground, ground.on()).await;
    assert!(!ground.shows(ground.data.path()));
    let state = |ground: &Ground, more: &[&str]| {
        let said = ground.asked("replay", &[more, &["--json"]].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let last: serde_json::Value = serde_json::from_str(said.out.lines().last().expect("a line")).expect("JSON");
        last["state_hash"].clone()
    };
    let key = ["--master-key-file", &ground.key_text("master")];
    assert_eq!(state(&ground, &key), state(&clear, &[]), "the same ledger, encrypted or not");
    assert_eq!(ground.asked("verify", &key).code, 0);
}

#[tokio::test]
async fn commands_say_when_the_key_is_missing_or_another() {
    let ground = Ground::new();
    write_ledger(&ground, ground.on()).await;
    let (master, other) = (ground.key_text("master"), ground.key_text("other"));
    let target = folder();
    let to = target.path().join("copy").display().to_string();
    for (command, more) in [("verify", vec![]), ("replay", vec![]), ("snapshot", vec![]), ("backup", vec!["--to", &to])]
    {
        let missing = ground.asked(command, &more);
        assert_eq!(missing.code, 2, "{command}: {missing:?}");
        assert!(missing.err.contains("--master-key-file"), "{command}: {missing:?}");
        let wrong = ground.asked(command, &[more.clone(), vec!["--master-key-file", &other]].concat());
        assert_eq!(wrong.code, 2, "{command}: {wrong:?}");
        assert!(wrong.err.contains("are wrapped by the master key"), "{command}: {wrong:?}");
        let right = ground.asked(command, &[more, vec!["--master-key-file", &master]].concat());
        assert_eq!(right.code, 0, "{command}: {right:?}");
    }
    assert!(!ground.shows(Path::new(&to)), "a backup is encrypted as well");
    let copy = florin(&["verify", "--data-dir", &to, "--master-key-file", &master]);
    assert_eq!(copy.code, 0, "{copy:?}");
}

#[tokio::test]
async fn a_ledger_in_clear_goes_on_encrypted() {
    let ground = Ground::new();
    write_ledger(&ground, Encryption::Without).await;
    let before = ground.keys_of_segments();
    assert!(before.iter().all(Option::is_none));
    let engine = start(ground.config(ground.on())).await;
    pay(&engine, 4, WALLET, OTHER, 10).await;
    engine.snapshot().await.expect("a snapshot is taken");
    engine.stop().await;
    let after = ground.keys_of_segments();
    assert_eq!(after[..before.len()], before[..]);
    assert!(after.len() > before.len() && after[before.len()..].iter().all(Option::is_some), "{after:?}");
    let verified = ground.asked("verify", &["--master-key-file", &ground.key_text("master")]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[tokio::test]
async fn keys_are_rotated_and_wrapped_anew_under_load() {
    let ground = Ground::new();
    let engine = start(ground.config(ground.on())).await;
    open_wallets(&engine).await;
    let (master, other) = (ground.key_text("master"), ground.key_text("other"));
    for round in 0..12_u128 {
        let transfers = (0..4_000).map(|number| transfer(10_000 * (round + 1) + number, WALLET, OTHER, 1)).collect();
        let outcomes = engine.transfer_each(transfers).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
        if round == 3 || round == 7 {
            let rotated = ground.asked("keys", &[]);
            assert_ne!(rotated.code, 0, "what is to be done has to be said");
            let data = ground.data.path().to_str().expect("a plain path");
            let rotated = florin(&["keys", "rotate", "--data-dir", data, "--master-key-file", &master]);
            assert_eq!(rotated.code, 0, "{rotated:?}");
        }
    }
    let data = ground.data.path().to_str().expect("a plain path");
    let rewrapped =
        florin(&["keys", "rewrap", "--data-dir", data, "--old-key-file", &master, "--new-key-file", &other]);
    assert_eq!(rewrapped.code, 0, "{rewrapped:?}");
    engine.snapshot().await.expect("a server goes on with the keys that it has");
    engine.stop().await;

    let named: BTreeSet<Vec<u8>> = ground.keys_of_segments().into_iter().flatten().collect();
    assert_eq!(named.len(), 3, "one key before the first rotation and one after each");
    let refused = ground.asked("verify", &["--master-key-file", &master]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let verified = ground.asked("verify", &["--master-key-file", &other]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let listed = florin(&["keys", "list", "--json", "--data-dir", data, "--master-key-file", &other]);
    let listed: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    let of_log = listed["keys"].as_array().expect("a list").iter().filter(|key| key["purpose"] == "log");
    assert_eq!(of_log.count(), 3);
}

#[test]
fn a_server_is_killed_goes_on_and_leaves_no_core_dump() {
    let ground = Ground::new();
    let master = ground.key_text("master");
    let arguments = ["--json", "--encrypt", "--master-key-file", &master];
    for kill in [true, false] {
        let mut server = Server::start(ground.data.path(), &arguments);
        server.json("listening");
        server.json("ready");
        let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("it runs");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        server.signal(if kill { "KILL" } else { "TERM" });
        assert_eq!(server.code(), if kill { None } else { Some(0) });
    }
    assert!(ground.keys_of_segments().iter().all(Option::is_some));
    assert_eq!(ground.asked("verify", &["--master-key-file", &master]).code, 0);
}

#[test]
fn a_server_refuses_a_key_that_protects_nothing() {
    let ground = Ground::new();
    let inside = ground.data.path().join("master.key");
    fs::copy(ground.key("master"), &inside).expect("copied");
    let exposed = ground.key("exposed");
    fs::copy(ground.key("master"), &exposed).expect("copied");
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let said = ground.asked("serve", &["--listen", "127.0.0.1:0", "--encrypt"]);
    assert!(said.code == 2 && said.err.contains("takes a master key"), "{said:?}");
    for (path, told) in [(inside, "lies in the data folder"), (exposed, "chmod 600")] {
        let path = path.display().to_string();
        let said = ground.asked("serve", &["--listen", "127.0.0.1:0", "--encrypt", "--master-key-file", &path]);
        assert!(said.code == 2 && said.err.contains(told), "{said:?}");
    }
    assert!(!ground.data.path().join(KEYS_FILE_NAME).exists());
}
