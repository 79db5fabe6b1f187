//! What a server whose disk has failed must do: say so, acknowledge nothing more, and go on to be read. One that cannot
//! read says so to whoever asks for what only the disk has, and goes on with the rest.

use std::time::{Duration, Instant};

use secrecy::SecretString;

use crate::cli::ask::exchange;
use crate::cli::failure::Failure;
use crate::cli::trial::LOOK_PERIOD;

/// Under load the first write after the fault comes at once.
const NOTICE_MAX: Duration = Duration::from_secs(20);

/// A wallet that was opened for this, so that it is there to be read.
pub const WITNESS: &str = "019a9000-0000-7000-8000-00000000feed";
const NEWCOMER: &str = "019a9000-0000-7000-8000-00000000dead";
const OWNER: &str = "019a9000-0000-7000-8000-0000000000aa";

/// Opens the witness.
pub fn open_witness(url: &str, key: &SecretString) -> Result<(), Failure> {
    open_wallet(url, key, WITNESS)
}

pub fn open_wallet(url: &str, key: &SecretString, wallet: &str) -> Result<(), Failure> {
    let (status, body) = exchange("POST", url, "/v1/wallets", Some(key), &opening(wallet))?;
    if status < 300 { Ok(()) } else { Err(Failure::Usage(format!("{wallet} could not be opened: {status} {body}"))) }
}

/// Whether the server has noticed yet.
pub fn has_noticed(url: &str) -> Result<bool, Failure> {
    let (status, body) = exchange("GET", url, "/readyz", None, "")?;
    Ok(status == 503 && body.contains("READ_ONLY"))
}

/// Waits until the server has noticed, then asks it for all that it must and must not do; gives what was wrong.
pub fn check(url: &str, key: &SecretString, history_is_readable: bool) -> Result<Vec<String>, Failure> {
    let began = Instant::now();
    while !has_noticed(url)? {
        if began.elapsed() > NOTICE_MAX {
            return Ok(vec!["its disk failed, and /readyz does not say so".to_owned()]);
        }
        std::thread::sleep(LOOK_PERIOD);
    }
    let mut problems = Vec::new();
    let mut expect = |what: &str, verb: &str, path: &str, body: &str, status: u16, words: &str| {
        let (found, answer) = exchange(verb, url, path, Some(key), body)?;
        if found != status || !answer.contains(words) {
            problems.push(format!("{what}: {verb} {path} was answered {found} {}", answer.trim()));
        }
        Ok::<(), Failure>(())
    };
    expect("the cause is told", "GET", "/readyz", "", 503, "could not be written")?;
    expect("the process lives", "GET", "/healthz", "", 200, "ok")?;
    expect("the metrics say so", "GET", "/metrics", "", 200, "florin_read_only 1")?;
    expect("nothing more is acknowledged", "POST", "/v1/wallets", &opening(NEWCOMER), 503, "READ_ONLY")?;
    expect("balances are read", "GET", &format!("/v1/wallets/{WITNESS}/balance"), "", 200, "posted")?;
    expect("the totals are made", "GET", "/v1/ledger/summary", "", 200, "state_hash")?;
    if history_is_readable {
        expect("history is read", "GET", &format!("/v1/wallets/{WITNESS}/entries"), "", 200, "has_more")?;
        expect("totals are read", "GET", "/v1/ledger/summary", "", 200, "currencies")?;
    }
    expect("what was refused is not there", "GET", &format!("/v1/wallets/{NEWCOMER}"), "", 404, "")?;
    Ok(problems)
}

/// The last position that the server calls durable.
pub fn last_lsn(url: &str) -> Result<u64, Failure> {
    figure(url, "florin_last_lsn ")
}

/// Waits until reads have failed, then asks for what must be answered all the same; gives what was wrong.
pub fn check_reads_fail(url: &str, key: &SecretString) -> Result<Vec<String>, Failure> {
    let began = Instant::now();
    while figure(url, STORAGE_FAILED)? == 0 {
        if began.elapsed() > NOTICE_MAX {
            return Ok(vec!["its disk gives errors, and no answer says so".to_owned()]);
        }
        std::thread::sleep(LOOK_PERIOD);
    }
    let mut problems = Vec::new();
    let mut expect = |verb: &str, path: &str, words: &str| {
        let (found, answer) = exchange(verb, url, path, Some(key), "")?;
        if found != 200 || !answer.contains(words) {
            problems.push(format!("while reads fail, {verb} {path} was answered {found} {}", answer.trim()));
        }
        Ok::<(), Failure>(())
    };
    expect("GET", "/healthz", "ok")?;
    expect("GET", &format!("/v1/wallets/{WITNESS}/balance"), "posted")?;
    Ok(problems)
}

/// The same server when reads work again: it has lost nothing, so it needs no new start.
pub fn check_reads_work(url: &str, key: &SecretString) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for path in ["/readyz".to_owned(), format!("/v1/wallets/{WITNESS}/entries")] {
        let (found, answer) = exchange("GET", url, &path, Some(key), "")?;
        if found != 200 {
            problems.push(format!("when reads worked again, GET {path} was answered {found} {}", answer.trim()));
        }
    }
    Ok(problems)
}

const STORAGE_FAILED: &str = "florin_http_problems_total{code=\"STORAGE_FAILED\"} ";

fn figure(url: &str, name: &str) -> Result<u64, Failure> {
    let (_, text) = exchange("GET", url, "/metrics", None, "")?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.parse().ok());
    value.ok_or_else(|| Failure::Usage(format!("the metrics do not have {}", name.trim())))
}

fn opening(wallet: &str) -> String {
    format!(r#"{{"id":"{wallet}","owner":"{OWNER}","currency":"INR"}}"#)
}
