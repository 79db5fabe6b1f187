//! What the demo came to: a table for people, one JSON object for machines.

use std::time::Duration;

use serde::Serialize;

use crate::cli::screen::{self, grouped};

#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    pub acknowledged: u64,
    pub found: u64,
    pub lost: u64,
    pub different: u64,
    /// Ids that more than one record of the log has.
    pub doubled: u64,
    pub refusals: u64,
    pub refusals_different: u64,
    /// Requests that were sent again and got their first answer.
    pub replayed: u64,
    /// Answers during the load that no answer should be.
    pub wrong_answers: u64,
    pub errors: u64,
    pub wallets_checked: u64,
    pub wallets_different: u64,
    pub sums: Vec<(String, String)>,
    pub sums_zero: bool,
    pub accepted_per_second: u64,
    pub kills: Vec<Kill>,
    pub verify: String,
    pub last_lsn: u64,
    pub state_hash: String,
    pub state_hash_by_shards: String,
    pub seconds: f64,
}

/// One kill and the recovery after it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Kill {
    /// Into the load.
    pub at_seconds: f64,
    pub recovered_in_seconds: f64,
    pub replayed_records: u64,
    pub torn_tail_bytes: u64,
}

impl Outcome {
    pub fn all_well(&self) -> bool {
        let wrong = [
            self.lost,
            self.different,
            self.doubled,
            self.refusals_different,
            self.wrong_answers,
            self.errors,
            self.wallets_different,
        ];
        wrong.iter().all(|count| *count == 0)
            && self.acknowledged > 0
            && self.found == self.acknowledged
            && self.sums_zero
            && self.verify == "fine"
            && self.state_hash == self.state_hash_by_shards
    }

    pub fn table(&self) -> String {
        let mut out = String::from("\n");
        let mut row = |name: &str, value: String| out.push_str(&format!("{name:<24}{value}\n"));
        let recoveries =
            self.kills.iter().map(|kill| screen::seconds(Duration::from_secs_f64(kill.recovered_in_seconds)));
        let recoveries: Vec<String> = recoveries.collect();
        let sums: Vec<String> = self.sums.iter().map(|(currency, sum)| format!("{sum} {currency}")).collect();
        let hashes = if self.state_hash == self.state_hash_by_shards {
            format!("{} (book and 3 shards)", self.state_hash)
        } else {
            format!("{} by the book, {} by 3 shards", self.state_hash, self.state_hash_by_shards)
        };
        row("acknowledged", format!("{}  ({} /s)", grouped(self.acknowledged), grouped(self.accepted_per_second)));
        row("found after recovery", grouped(self.found));
        row("lost", grouped(self.lost));
        row("different", grouped(self.different));
        row("doubled", grouped(self.doubled));
        row(
            "refusals",
            format!("{}, {} of them different later", grouped(self.refusals), grouped(self.refusals_different)),
        );
        row(
            "repeats",
            format!("{} got the first answer, {} a wrong one", grouped(self.replayed), grouped(self.wrong_answers)),
        );
        row("errors", grouped(self.errors));
        row(
            "wallets added up",
            format!("{}, {} of them different", grouped(self.wallets_checked), grouped(self.wallets_different)),
        );
        row("sum of the books", sums.join(", "));
        row("killed with -9", format!("{} times in the middle of the load", self.kills.len()));
        row("recovered in", recoveries.join(", "));
        row("verify", self.verify.clone());
        row("position", grouped(self.last_lsn));
        row("state hash", hashes);
        row("time", screen::seconds(Duration::from_secs_f64(self.seconds)));
        out.push_str(if self.all_well() {
            "\nNothing that was acknowledged was lost, and nothing happened twice.\n"
        } else {
            "\nNOT all is well: see above.\n"
        });
        out
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain data with text keys always serialises") + "\n"
    }
}
