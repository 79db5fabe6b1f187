//! A clock that jumps under a running server, and what must come of it: a hold ends when the clock says so, neither
//! before nor never; payments go on. That the log's time never goes back is seen when the log is played in the end.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::Value;

use super::broken_disk::{self, WITNESS};
use super::plan::End;
use super::preload::FalseClock;
use crate::cli::ask::exchange_once;
use crate::cli::failure::Failure;
use crate::cli::trial::LOOK_PERIOD;

const HOUR_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;
/// Longer than an hour's jump, shorter than a day's.
const HOLD_SECONDS: i64 = 2 * HOUR_SECONDS;
/// The server looks for holds that have expired several times a second.
const EXPIRY_MAX: Duration = Duration::from_secs(10);

const PAYEE: &str = "019a9000-0000-7000-8000-00000000beef";
const FUNDS_KEY: &str = "019a9000-0000-7000-8000-00000000f00d";

/// For the holds of all rounds.
pub fn give_money_to_hold(url: &str, key: &SecretString) -> Result<(), Failure> {
    broken_disk::open_wallet(url, key, PAYEE)?;
    let body = format!(r#"{{"wallet":"{WITNESS}","amount":{{"amount":"1000.00","currency":"INR"}}}}"#);
    must("POST", url, "/v1/deposits", key, Some(FUNDS_KEY), &body).map(drop)
}

/// Lets the clock jump, and waits for what comes of it; gives what was wrong.
pub fn jump(end: End, clock: &FalseClock, url: &str, key: &SecretString) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    let hold = authorize(url, key)?;
    let lsn = broken_disk::last_lsn(url)?;
    let (offset_seconds, expected) = match end {
        End::ClockAhead => (DAY_SECONDS, "expired"),
        _ => (-HOUR_SECONDS, "authorized"),
    };
    clock.set(offset_seconds).map_err(Failure::Runtime)?;
    // One that was authorized after the jump has its whole time before it, by the clock as it is now.
    let later = authorize(url, key)?;
    let began = Instant::now();
    while status(url, key, &hold)? != expected && began.elapsed() < EXPIRY_MAX {
        std::thread::sleep(LOOK_PERIOD);
    }
    for (which, hold, expected) in [("before", &hold, expected), ("after", &later, "authorized")] {
        let found = status(url, key, hold)?;
        if found != expected {
            problems.push(format!("a hold from {which} the jump is {found}, and should be {expected}"));
        }
    }
    let path = format!("/v1/holds/{later}/void");
    must("POST", url, &path, key, None, "")?;
    if status(url, key, &later)? != "voided" {
        problems.push("a hold from after the jump could not be voided".to_owned());
    }
    // The load goes on: more has become durable than the three steps that were made here.
    let began = Instant::now();
    while broken_disk::last_lsn(url)? < lsn + 100 {
        if began.elapsed() > EXPIRY_MAX {
            problems.push("payments do not go on after the jump".to_owned());
            break;
        }
        std::thread::sleep(LOOK_PERIOD);
    }
    Ok(problems)
}

fn authorize(url: &str, key: &SecretString) -> Result<String, Failure> {
    let hold = uuid::Uuid::now_v7().to_string();
    let body = format!(
        r#"{{"wallet":"{WITNESS}","to":"{PAYEE}","amount":{{"amount":"1.00","currency":"INR"}},"expires_in_seconds":{HOLD_SECONDS}}}"#
    );
    must("POST", url, "/v1/holds", key, Some(&hold), &body)?;
    Ok(hold)
}

fn status(url: &str, key: &SecretString, hold: &str) -> Result<String, Failure> {
    let answer = must("GET", url, &format!("/v1/holds/{hold}"), key, None, "")?;
    Ok(answer["status"].as_str().unwrap_or_default().to_owned())
}

fn must(
    verb: &str,
    url: &str,
    path: &str,
    key: &SecretString,
    once: Option<&str>,
    body: &str,
) -> Result<Value, Failure> {
    let (status, answer) = exchange_once(verb, url, path, Some(key), once, body)?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    if status < 300 { Ok(answer) } else { Err(Failure::Usage(format!("{verb} {path} was answered {status} {answer}"))) }
}
