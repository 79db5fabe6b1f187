//! A Postgres server of a test's own: made in a temporary folder, on a port of its own, and stopped by the id of
//! its process when the test is over. Where there is none on the machine, the test says that it is skipped.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use snapshots::postgres::Address;
use tempfile::TempDir;

pub const PASSWORD: &str = "quite-secret-7";

/// Postgres refuses to run as root; this user is on every machine and owns nothing.
const NOBODY: u32 = 65_534;

pub struct Server {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// None if the machine has no server to start.
    pub fn start() -> Option<Server> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: no Postgres server in /usr/lib/postgresql (Debian: apt-get install postgresql)");
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder");
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let server = Server { programs, folder, port };
        let password = server.folder.path().join("password");
        fs::write(&password, PASSWORD).expect("writable");
        let password = password.to_str().expect("a plain path");
        let data = server.data();
        #[rustfmt::skip]
        server.run("initdb", &[
            "-D", &data, "-U", "florin", "-A", "scram-sha-256", "--pwfile", password, "--no-sync", "--locale=C", "-E", "UTF8",
        ]);
        server.up();
        Some(server)
    }

    pub fn up(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c shared_buffers=16MB",
            self.port
        );
        let log = self.folder.path().join("server.log");
        let log = log.to_str().expect("a plain path");
        self.run("pg_ctl", &["start", "-w", "-t", "60", "-D", &self.data(), "-l", log, "-o", &options]);
    }

    /// Ends it at once, as a crash would: nothing is finished, every client is cut off.
    pub fn crash(&self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate", "-D", &self.data()]);
    }

    pub fn url(&self) -> String {
        format!("postgres://florin:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    pub fn address(&self) -> Address {
        Address::parse(&self.url().into()).expect("it is one")
    }

    /// What a statement answers, by a client that is not ours.
    pub fn sql(&self, sql: &str) -> String {
        let output = self.psql().args(["-c", sql]).output().expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// A client that keeps the blocks locked until it is dropped, so that a snapshot stops in the middle.
    pub fn lock_blocks(&self) -> Client {
        let mut child = self.psql().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql runs");
        let input = child.stdin.as_mut().expect("piped");
        let sql = "BEGIN; LOCK TABLE florin_snapshot_blocks IN ACCESS EXCLUSIVE MODE; SELECT 'locked';";
        writeln!(input, "{sql}").expect("it reads");
        let lines = BufReader::new(child.stdout.as_mut().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        assert!(lines.any(|line| line == "locked"), "psql has ended");
        Client(child)
    }

    /// Returns when somebody waits for a lock.
    pub fn await_lock_waiter(&self) {
        while self.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0" {}
    }

    fn psql(&self) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.env("PGPASSWORD", PASSWORD).args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "florin", "-d", "postgres"]);
        command
    }

    fn data(&self) -> String {
        self.folder.path().join("data").to_str().expect("a plain path").to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.folder.path());
        // The server inherits these and lives on, so nobody could wait for their end.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let status = command.status().expect("it runs");
        let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        assert!(status.success(), "{program} {arguments:?}: {status}\n{log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.crash();
        }
    }
}

pub struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It may have been cut off with its server, which is no harm any more.
        drop(self.0.wait());
    }
}

/// The newest version that is installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = versions.filter(|path| path.join("bin/postgres").exists()).max_by_key(number)?;
    Some(newest.join("bin"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
