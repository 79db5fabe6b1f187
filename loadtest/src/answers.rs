//! Reads what the server's bodies say, as far as a load test must know it: the id and LSN of what was
//! accepted, the code of what was refused, the outcomes of a batch.

use serde::Deserialize;
use uuid::Uuid;

use crate::http::Answer;
use crate::wire::Format;

/// What one answer amounts to.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Accepted,
    /// A rule of the ledger said no (422 with a code): an answer like any other.
    Refused(String),
    /// Not now: 503 or 409; the same request may be sent again.
    Busy(String),
    /// Anything else: the request was well formed, so this should not have come.
    Unexpected(String),
}

/// A problem document, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub code: String,
    pub detail: String,
    pub index: Option<u64>,
}

/// One item's outcome in a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted { lsn: u64, replayed: bool },
    Refused { code: String },
}

impl Outcome {
    /// The item was not decided at all, or nobody knows how: it may be sent again, and is no refusal of the ledger.
    pub fn is_undecided(&self) -> bool {
        const NAMES: [&str; 7] = [
            "REQUEST_IN_PROGRESS",
            "STORAGE_FAILED",
            "OVERLOADED",
            "READ_ONLY",
            "RECOVERING",
            "STOPPING",
            "ANSWER_TIMEOUT",
        ];
        // The same in the binary form.
        const NUMBERS: [&str; 7] = ["#1012", "#1018", "#1019", "#1020", "#1021", "#1022", "#1023"];
        let Outcome::Refused { code } = self else { return false };
        NAMES.contains(&code.as_str()) || NUMBERS.contains(&code.as_str())
    }
}

pub fn meaning(answer: &Answer<'_>) -> Meaning {
    if matches!(answer.status, 200 | 201) {
        return Meaning::Accepted;
    }
    let problem: Problem = serde_json::from_slice(answer.body).unwrap_or_default();
    let code = if problem.code.is_empty() { format!("HTTP_{}", answer.status) } else { problem.code };
    match answer.status {
        // A key used for another request is our fault or the server's, never the ledger's.
        422 if code != "IDEMPOTENCY_KEY_REUSED" => Meaning::Refused(code),
        409 | 429 | 503 => Meaning::Busy(code),
        status => Meaning::Unexpected(format!("{status} {code}: {}", problem.detail)),
    }
}

/// The LSN of a transfer or hold, after its id was found to be the one that was asked for.
pub fn accepted_lsn(body: &[u8], id: &Uuid) -> Option<u64> {
    #[derive(Deserialize)]
    struct Identified {
        id: Uuid,
        lsn: u64,
    }
    // The quick way looks for the two fields as they are usually written; a transfer has no other
    // field of these names. Where that fails, the body is parsed in full before it is called wrong.
    let quick = quick_id(body).and_then(|found| {
        let mut text = [0; 36];
        let same = found == id.hyphenated().encode_lower(&mut text).as_bytes();
        if same { quick_lsn(body) } else { None }
    });
    quick.or_else(|| {
        let parsed: Identified = serde_json::from_slice(body).ok()?;
        (parsed.id == *id).then_some(parsed.lsn)
    })
}

fn quick_id(body: &[u8]) -> Option<&[u8]> {
    body.strip_prefix(b"{\"id\":\"")?.get(..36)
}

fn quick_lsn(body: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"lsn\":";
    // The LSN is usually the last field but one, so the search begins at the end.
    let at = (0..body.len().saturating_sub(NAME.len())).rev().find(|&at| body[at..].starts_with(NAME))?;
    let digits = &body[at + NAME.len()..];
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&digits[..count]).ok()?.parse().ok()
}

/// The outcomes of a batch, in its order; an error in words if they do not fit the batch.
pub fn outcomes(format: Format, body: &[u8], ids: impl ExactSizeIterator<Item = Uuid>) -> Result<Vec<Outcome>, String> {
    let count = ids.len();
    let found: Vec<Outcome> = match format {
        Format::Binary => binary_outcomes(body),
        Format::Json => {
            let parsed: JsonOutcomes<'_> = serde_json::from_slice(body).map_err(unreadable)?;
            let items = parsed.outcomes.into_iter().zip(ids);
            items.map(|(item, id)| item.check(&id)).collect::<Result<_, _>>()?
        }
        Format::Ndjson => {
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines
                .zip(ids)
                .map(|(line, id)| {
                    let item: JsonOutcome<'_> = serde_json::from_slice(line).map_err(unreadable)?;
                    item.check(&id)
                })
                .collect::<Result<_, _>>()?
        }
    };
    if found.len() == count { Ok(found) } else { Err(format!("{} outcomes for a batch of {count}", found.len())) }
}

fn unreadable(source: serde_json::Error) -> String {
    format!("outcomes cannot be read: {source}")
}

/// code u16 0..2 (0 = accepted), flags u16 2..4 (1 = replayed), reserved 4..8, lsn u64 8..16.
fn binary_outcomes(body: &[u8]) -> Vec<Outcome> {
    let (items, _) = body.as_chunks::<16>();
    let read = |item: &[u8; 16]| {
        let code = u16::from_le_bytes([item[0], item[1]]);
        let mut lsn = [0; 8];
        lsn.copy_from_slice(&item[8..]);
        if code == 0 {
            Outcome::Accepted { lsn: u64::from_le_bytes(lsn), replayed: item[2] & 1 == 1 }
        } else {
            Outcome::Refused { code: format!("#{code}") }
        }
    };
    items.iter().map(read).collect()
}

#[derive(Deserialize)]
struct JsonOutcomes<'a> {
    #[serde(borrow)]
    outcomes: Vec<JsonOutcome<'a>>,
}

#[derive(Deserialize)]
struct JsonOutcome<'a> {
    id: Uuid,
    status: &'a str,
    #[serde(default)]
    lsn: u64,
    #[serde(default)]
    replayed: bool,
    #[serde(default)]
    code: Option<&'a str>,
}

impl JsonOutcome<'_> {
    fn check(self, id: &Uuid) -> Result<Outcome, String> {
        if self.id != *id {
            return Err(format!("an outcome is for {}, where {id} was asked", self.id));
        }
        match (self.status, self.code) {
            ("accepted", _) if self.lsn > 0 => Ok(Outcome::Accepted { lsn: self.lsn, replayed: self.replayed }),
            ("refused", Some(code)) => Ok(Outcome::Refused { code: code.to_owned() }),
            (status, _) => Err(format!("an outcome of {id} says '{status}' and no more")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0xABC);

    #[test]
    fn the_lsn_of_an_accepted_transfer() {
        let check = |body: &str| accepted_lsn(body.as_bytes(), &ID);
        assert_eq!(check(&format!("{{\"id\":\"{ID}\",\"hold\":null,\"lsn\":42}}")), Some(42));
        assert_eq!(check(&format!("{{ \"lsn\" : 43 , \"id\" : \"{ID}\" }}")), Some(43));
        assert_eq!(check(&format!("{{\"id\":\"{}\",\"lsn\":42}}", Uuid::nil())), None);
        assert_eq!(check(&format!("{{\"id\":\"{ID}\"}}")), None);
    }

    #[test]
    fn what_statuses_mean() {
        let check =
            |status, body: &str| meaning(&Answer { status, replayed: false, close: false, body: body.as_bytes() });
        assert_eq!(check(201, "{}"), Meaning::Accepted);
        let no = check(422, "{\"code\":\"INSUFFICIENT_FUNDS\"}");
        assert_eq!(no, Meaning::Refused("INSUFFICIENT_FUNDS".to_owned()));
        let busy = check(503, "{\"code\":\"OVERLOADED\"}");
        assert_eq!(busy, Meaning::Busy("OVERLOADED".to_owned()));
        let reused = check(422, "{\"code\":\"IDEMPOTENCY_KEY_REUSED\"}");
        assert!(matches!(reused, Meaning::Unexpected(_)));
        assert!(matches!(check(500, "oops"), Meaning::Unexpected(_)));
    }

    #[test]
    fn what_was_not_decided_is_no_refusal() {
        let check = |code: &str| Outcome::Refused { code: code.to_owned() }.is_undecided();
        assert!(check("READ_ONLY") && check("#1019"));
        assert!(!check("INSUFFICIENT_FUNDS") && !check("#4"));
        assert!(!Outcome::Accepted { lsn: 1, replayed: false }.is_undecided());
    }

    #[test]
    fn outcomes_must_fit_the_batch() {
        let json = |id: Uuid| {
            format!("{{\"outcomes\":[{{\"id\":\"{id}\",\"status\":\"accepted\",\"lsn\":5,\"replayed\":true}}]}}")
        };
        let one = [Outcome::Accepted { lsn: 5, replayed: true }];
        let check = |text: &str, ids: &[Uuid]| outcomes(Format::Json, text.as_bytes(), ids.iter().copied());
        assert_eq!(check(&json(ID), &[ID]).unwrap(), one);
        assert!(check(&json(ID), &[ID, ID]).is_err());
        assert!(check(&json(Uuid::nil()), &[ID]).is_err());
        let mut binary = vec![0, 0, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        binary.extend_from_slice(&[7; 16]);
        let found = outcomes(Format::Binary, &binary, [ID, ID].into_iter()).unwrap();
        assert_eq!(found[..1], one);
        assert_eq!(found[1], Outcome::Refused { code: "#1799".to_owned() });
        let lines = format!("{{\"id\":\"{ID}\",\"status\":\"refused\",\"code\":\"SAME_WALLET\",\"detail\":\"x\"}}\n");
        let found = outcomes(Format::Ndjson, lines.as_bytes(), [ID].into_iter()).unwrap();
        assert_eq!(found, [Outcome::Refused { code: "SAME_WALLET".to_owned() }]);
    }
}
