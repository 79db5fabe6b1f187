//! A Postgres server of its own that does Florin's job: one stored function for each transfer, or a transaction driven
//! by the client. Both lock the two wallets in the order of their ids, keep an idempotency key with a unique index, and
//! write two entries; pgbench drives them with prepared statements. It is made in a temporary folder with everything
//! that makes it last switched on, and it is stopped with this program.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process;
use crate::error::Error;
use crate::figures::{Figures, RATE, figures};

/// Postgres refuses to run as root; this user is on every machine and owns nothing.
const NOBODY: u32 = 65_534;
const START_SECONDS_MAX: u64 = 60;

const SCHEMA: &str = include_str!("postgres/schema.sql");
const FUNCTION: &str = include_str!("postgres/function.sql");
const CLIENT: &str = include_str!("postgres/client.sql");

/// How a transfer is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Function,
    ClientTransaction,
}

pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    wallets: u32,
    server: Child,
}

/// The programs of the newest version that is installed.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let bins = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = bins.filter(|path| path.join("bin/postgres").exists()).max_by_key(number)?.join("bin");
    newest.join("pgbench").exists().then_some(newest)
}

impl Postgres {
    /// Makes a cluster with so many wallets in `folder`, which is not there yet.
    pub fn start(programs: PathBuf, folder: PathBuf, wallets: u32) -> Result<Postgres, Error> {
        fs::create_dir(&folder).map_err(Error::io("make a folder for Postgres"))?;
        if is_root() {
            // The folder itself and nothing above it: those only have to let others through.
            chown(&folder, Some(NOBODY), Some(NOBODY)).map_err(Error::io("give the folder away"))?;
        }
        let data = folder.join("data");
        let mut initdb = as_nobody(programs.join("initdb"));
        initdb.args(["-U", "florin", "-A", "trust", "--locale=C", "-E", "UTF8", "-D"]).arg(&data);
        process::output(initdb.current_dir("/"))?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("find a free port"))?;
        let port = listener.local_addr().map_err(Error::io("find a free port"))?.port();
        drop(listener);
        let server = start(&programs, &folder, port)?;
        let postgres = Postgres { programs, folder, port, wallets, server };
        postgres.wait_until_up()?;
        let schema = SCHEMA.replace(":wallets", &wallets.to_string());
        let mut psql = postgres.client("psql");
        process::output(psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &schema]))?;
        let mut psql = postgres.client("psql");
        process::output(psql.args(["-X", "-q", "-c", "VACUUM ANALYZE", "-c", "CHECKPOINT"]))?;
        Ok(postgres)
    }

    /// Puts load on it; random pairs, or everybody pays wallet 1.
    pub fn load(&self, way: Way, clients: u32, merchant: bool, time: Duration) -> Result<(Figures, String), Error> {
        let (name, sql) = match way {
            Way::Function => ("function.sql", FUNCTION),
            Way::ClientTransaction => ("client.sql", CLIENT),
        };
        let payee = if merchant { "\\set b 1".to_owned() } else { format!("\\set b random(1, {})", self.wallets) };
        let payer = format!("\\set a random(2, {})", self.wallets);
        // Whoever would pay itself pays its neighbour.
        let other = "\\set a case when :a = :b then :b - 1 else :a end";
        let script = self.folder.join(name);
        fs::write(&script, format!("{payer}\n{payee}\n{other}\n{sql}")).map_err(Error::io("write a script"))?;
        // pgbench takes whole seconds.
        let seconds = time.as_secs_f64().ceil().to_string();
        let clients_text = clients.to_string();
        let arguments = ["-n", "-M", "prepared", "-j", "2", "-c", &clients_text, "-T", &seconds];
        let printed = process::output(self.client("pgbench").args(arguments).arg("-f").arg(&script))?;
        let pairs = if merchant { "one merchant" } else { "random pairs" };
        Ok((read(&printed)?, format!("pgbench {} -f {name} ({pairs})", arguments.join(" "))))
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args(["-h", "127.0.0.1", "-U", "florin", "-p", &self.port.to_string()]);
        command.env("PGDATABASE", "postgres").current_dir("/");
        command
    }

    fn wait_until_up(&self) -> Result<(), Error> {
        let began = Instant::now();
        let is_up = || process::output(self.client("psql").args(["-X", "-q", "-c", "SELECT 1"])).is_ok();
        // A refused connection costs nothing; psql asks only when somebody listens.
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() || !is_up() {
            if began.elapsed().as_secs() > START_SECONDS_MAX {
                let said = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
                return Err(Error::Failed(format!("Postgres did not start: {said}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        // Nothing of it is needed any more, so it does not matter how it ended.
        drop(self.server.wait());
    }
}

/// Ends Postgres when the standard input ends, which it does however this program ends.
const END_WITH_STDIN: &str = r#""$@" < /dev/null & cat > /dev/null; kill -INT $!; wait $!"#;

/// With memory for the whole ledger, and checkpoints rarely, as one would set it up for this.
fn start(programs: &Path, folder: &Path, port: u16) -> Result<Child, Error> {
    let log = fs::File::create(folder.join("server.log")).map_err(Error::io("make a log for Postgres"))?;
    let mut command = as_nobody(PathBuf::from("sh"));
    command.args(["-c", END_WITH_STDIN, "sh"]).arg(programs.join("postgres"));
    command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "synchronous_commit=on",
        "fsync=on",
        "shared_buffers=1GB",
        "max_wal_size=16GB",
        "checkpoint_timeout=1h",
    ] {
        command.args(["-c", setting]);
    }
    let said = log.try_clone().map_err(Error::io("make a log for Postgres"))?;
    command.stdin(Stdio::piped()).stdout(said).stderr(log).current_dir("/");
    command.spawn().map_err(Error::io("start Postgres"))
}

fn as_nobody(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process: fs::Metadata| process.uid() == 0)
}

/// What pgbench prints for people.
fn read(printed: &str) -> Result<Figures, Error> {
    let number = |line_start: &str| {
        let line = printed.lines().find(|line| line.starts_with(line_start))?;
        let value = line.split_once('=')?.1.split_whitespace().next()?;
        value.parse::<f64>().ok()
    };
    let wrong =
        || Error::Io { what: "read what pgbench printed".to_owned(), source: io::ErrorKind::InvalidData.into() };
    let (rate, latency) = (number("tps").ok_or_else(wrong)?, number("latency average").ok_or_else(wrong)?);
    Ok(figures([(RATE, rate), ("mean_micros", latency * 1e3)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints() {
        let printed = "pgbench (15.1)\nlatency average = 2.500 ms\ninitial connection time = 9 ms\n\
                       tps = 12800.5 (without initial connection time)\n";
        let found = read(printed).unwrap();
        assert_eq!((found[RATE], found["mean_micros"]), (12_800.5, 2_500.0));
        assert!(read("oops").is_err());
    }
}
