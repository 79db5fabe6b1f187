//! A small stand-in for the server: the HTTP contract over a real loopback socket, books in a map, and
//! faults on request. It lasts nothing and checks only what the tests need.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

/// What the stand-in does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Forgets every tenth transfer after it was acknowledged.
    Forgets,
    /// Tells another lsn when it is asked for a transfer later.
    OtherLsn,
    /// Gives a repeat a new answer.
    NewAnswers,
    /// Answers 500 to transfers.
    Fails,
    /// Posts one unit too much to the payee.
    Unbalanced,
    /// Shuts every connection after so many movements, the last one unanswered, and then works again.
    DropsAt(u64),
    /// The same, and refuses connections from then on.
    DiesAt(u64),
    /// Ends each connection after so many answers, whatever else was asked on it.
    EndsAfter(u32),
    /// Is too busy for every other movement.
    Overloaded,
    /// Answers nothing for a while after so many movements.
    StallsAt(u64, Duration),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) lsn: u64,
    pub(crate) fault: Fault,
    pub(crate) wallets: HashMap<String, Wallet>,
    /// By id: status and body of the first answer.
    pub(crate) answers: HashMap<String, (u16, String)>,
    pub(crate) repeats: u64,
    pub(crate) movements: u64,
    pub(crate) dead: bool,
    pub(crate) refusals: u64,
    /// How often `/readyz` still says no, after connections were dropped.
    pub(crate) not_ready: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Wallet {
    pub(crate) minor: i64,
    pub(crate) overdraft: i64,
    pub(crate) currency: String,
    pub(crate) opened: String,
    /// Newest last.
    pub(crate) entries: Vec<Value>,
}

pub(crate) struct Standin {
    pub(crate) url: String,
    pub(crate) book: Arc<Mutex<Book>>,
}

impl Standin {
    pub(crate) fn start(fault: Fault) -> Self {
        Self::with_book(Book { fault, ..Book::default() })
    }

    pub(crate) fn with_book(book: Book) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::new(Mutex::new(book));
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let served = Arc::clone(&book);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                if served.lock().unwrap().dead {
                    break;
                }
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                let (book, connections) = (Arc::clone(&served), Arc::clone(&connections));
                std::thread::spawn(move || serve(stream, &book, &connections));
            }
        });
        Self { url, book }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// What the stand-in does after an answer.
enum Then {
    Answer(u16, String, bool),
    Drop,
}

fn serve(stream: TcpStream, book: &Mutex<Book>, connections: &Mutex<Vec<TcpStream>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = BufWriter::new(stream);
    let mut answered = 0;
    while let Some((method, path, key, kind, body)) = read_request(&mut reader) {
        let then = {
            let mut book = book.lock().unwrap();
            if book.dead {
                return;
            }
            if let Fault::EndsAfter(count) = book.fault
                && answered == count
            {
                drop(writer.flush());
                drop(reader.get_ref().shutdown(Shutdown::Both));
                return;
            }
            answered += 1;
            let before = book.movements;
            let then = book.handle(&method, &path, key.as_deref(), &kind, &body);
            let crossed = |at: u64| before < at && book.movements >= at;
            match book.fault {
                Fault::DropsAt(at) if crossed(at) => {
                    book.not_ready = 5;
                    Then::Drop
                }
                Fault::DiesAt(at) if crossed(at) => {
                    book.dead = true;
                    Then::Drop
                }
                Fault::StallsAt(at, pause) if crossed(at) => {
                    // The lock is held meanwhile, so that every connection stalls: this is the fault.
                    std::thread::park_timeout(pause);
                    then
                }
                _ => then,
            }
        };
        match then {
            Then::Drop => {
                for connection in connections.lock().unwrap().drain(..) {
                    let _ = connection.shutdown(Shutdown::Both);
                }
                return;
            }
            Then::Answer(status, body, replayed) => {
                let replayed = if replayed { "Idempotent-Replayed: true\r\n" } else { "" };
                let head = format!("HTTP/1.1 {status} X\r\n{replayed}Content-Length: {}\r\n\r\n", body.len());
                if writer.write_all(head.as_bytes()).is_err() || writer.write_all(body.as_bytes()).is_err() {
                    return;
                }
                if reader.buffer().is_empty() && writer.flush().is_err() {
                    return;
                }
            }
        }
    }
}

type Request = (String, String, Option<String>, String, Vec<u8>);

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut key, mut kind, mut length) = (None, String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = Some(value.trim().to_owned()),
            "content-type" => kind = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => assert_eq!(value.trim(), "Bearer test-key"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, key, kind, body))
}

impl Book {
    fn handle(&mut self, method: &str, path: &str, key: Option<&str>, kind: &str, body: &[u8]) -> Then {
        let ok = |status, body: Value| Then::Answer(status, body.to_string(), false);
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = route.trim_matches('/').split('/').collect();
        let json = || serde_json::from_slice::<Value>(body).unwrap();
        match (method, parts.as_slice()) {
            ("GET", ["readyz"]) if self.not_ready > 0 => {
                self.not_ready -= 1;
                ok(503, json!({"code": "RECOVERING"}))
            }
            ("GET", ["readyz"]) => ok(200, json!({})),
            ("POST", ["v1", "wallets"]) => self.open(&json()),
            ("POST", ["v1", "deposits"]) => self.once(key.unwrap(), |book, id| book.deposit(id, &json(), 1)),
            ("POST", ["v1", "withdrawals"]) => self.once(key.unwrap(), |book, id| book.deposit(id, &json(), -1)),
            ("POST", ["v1", "transfers"]) if self.fault == Fault::Fails => ok(500, json!({"code": "INTERNAL"})),
            ("POST", ["v1", "transfers"]) => self.once(key.unwrap(), |book, id| book.transfer(id, &json())),
            ("POST", ["v1", "transfers", "bulk"]) => self.bulk(kind, body, query == "atomic=true"),
            ("POST", ["v1", "holds"]) => self.once(key.unwrap(), |book, id| book.hold(id, &json())),
            ("POST", ["v1", "holds", hold, "capture"]) => self.once(key.unwrap(), |book, id| book.capture(id, hold)),
            ("POST", ["v1", "holds", hold, "void"]) => {
                self.lsn += 1;
                let mut held = self.hold_json(hold);
                held["status"] = json!("voided");
                self.answers.insert((*hold).to_owned(), (201, held.to_string()));
                ok(200, held)
            }
            ("GET", ["v1", "holds", id] | ["v1", "transfers", id]) => self.look_up(id),
            ("GET", ["v1", "wallets", id, "balance"]) => match self.wallets.get(*id) {
                Some(wallet) => {
                    let money = money(wallet.minor, &wallet.currency);
                    ok(200, json!({"wallet": id, "currency": wallet.currency, "posted": money, "lsn": self.lsn}))
                }
                None => ok(404, json!({"code": "WALLET_NOT_FOUND"})),
            },
            ("GET", ["v1", "wallets", id, "entries"]) => self.entries(id, query),
            ("GET", ["v1", "ledger", "summary"]) => {
                let sum = if self.fault == Fault::Unbalanced { 1 } else { 0 };
                let currencies =
                    json!([{"currency": "INR", "wallets": 1, "sum": money(sum, "INR"), "held": money(0, "INR")}]);
                ok(200, json!({"last_lsn": self.lsn, "wallets": self.wallets.len(), "currencies": currencies}))
            }
            _ => ok(404, json!({"code": "NOT_FOUND", "detail": path})),
        }
    }

    fn open(&mut self, body: &Value) -> Then {
        let id = body["id"].as_str().unwrap().to_owned();
        let overdraft = body["overdraft_limit"].as_str().map_or(0, minor);
        let currency = body["currency"].as_str().unwrap().to_owned();
        let opened = body.to_string();
        let wallet = self.wallets.entry(id).or_insert_with(|| Wallet {
            overdraft,
            currency,
            opened: opened.clone(),
            ..Wallet::default()
        });
        if wallet.opened == opened {
            Then::Answer(201, opened, false)
        } else {
            Then::Answer(422, json!({"code": "WALLET_EXISTS"}).to_string(), false)
        }
    }

    /// The first answer again, or a new one that is kept.
    fn once(&mut self, key: &str, act: impl FnOnce(&mut Self, &str) -> (u16, Value)) -> Then {
        let id = Uuid::try_parse(key).unwrap_or_else(|_| loadtest::ids::from_name(key)).to_string();
        if let Some((status, body)) = self.answers.get(&id)
            && self.fault != Fault::NewAnswers
        {
            self.repeats += 1;
            return Then::Answer(*status, body.clone(), true);
        }
        if self.fault == Fault::Overloaded && self.refusals <= self.movements {
            self.refusals += 1;
            return Then::Answer(503, json!({"code": "OVERLOADED"}).to_string(), false);
        }
        self.movements += 1;
        let (status, body) = act(self, &id);
        self.answers.insert(id, (status, body.to_string()));
        Then::Answer(status, body.to_string(), false)
    }

    fn deposit(&mut self, id: &str, body: &Value, sign: i64) -> (u16, Value) {
        let kind = if sign > 0 { "deposit" } else { "withdrawal" };
        let currency = body["amount"]["currency"].as_str().unwrap();
        let amount = sign * minor(body["amount"]["amount"].as_str().unwrap());
        let system = Uuid::from_u128(1).to_string();
        let wallet = body["wallet"].as_str().unwrap().to_owned();
        self.post(id, kind, Value::Null, currency, &[(wallet, amount), (system, -amount)])
    }

    fn transfer(&mut self, id: &str, body: &Value) -> (u16, Value) {
        let amount = minor(body["amount"]["amount"].as_str().unwrap());
        let currency = body["amount"]["currency"].as_str().unwrap();
        let name = |field: &str| body[field].as_str().unwrap().to_owned();
        let legs = [(name("from"), -amount), (name("to"), amount)];
        self.post(id, "transfer", Value::Null, currency, &legs)
    }

    fn post(&mut self, id: &str, kind: &str, hold: Value, currency: &str, legs: &[(String, i64)]) -> (u16, Value) {
        for (name, amount) in legs {
            let system = *name == Uuid::from_u128(1).to_string();
            let Some(wallet) = self.wallets.get(name) else {
                if system {
                    continue;
                }
                return (404, json!({"code": "WALLET_NOT_FOUND"}));
            };
            if wallet.minor + amount < -wallet.overdraft && *amount < 0 && !system {
                return (422, json!({"code": "INSUFFICIENT_FUNDS", "detail": "too little"}));
            }
        }
        self.lsn += 1;
        for (name, amount) in legs {
            let wallet = self.wallets.entry(name.clone()).or_default();
            wallet.minor += amount;
            if self.fault == Fault::Unbalanced && *amount > 0 {
                wallet.minor += 1;
            }
            wallet.entries.push(json!({
                "lsn": self.lsn, "transfer_id": id, "kind": kind, "amount": money(*amount, currency),
                "direction": if *amount > 0 { "in" } else { "out" },
                "balance_after": money(wallet.minor, currency),
            }));
        }
        let legs: Vec<Value> =
            legs.iter().map(|(name, amount)| json!({"wallet": name, "amount": money(*amount, currency)})).collect();
        let body = json!({"id": id, "kind": kind, "status": "accepted", "currency": currency, "legs": legs,
            "reference": null, "hold": hold, "created_at": "2026-01-01T00:00:00.000000Z", "lsn": self.lsn});
        (201, body)
    }

    fn hold(&mut self, id: &str, body: &Value) -> (u16, Value) {
        self.lsn += 1;
        let held = json!({"id": id, "wallet": body["wallet"], "to": body["to"], "amount": body["amount"],
            "status": "authorized", "lsn": self.lsn});
        (201, held)
    }

    fn hold_json(&self, hold: &str) -> Value {
        serde_json::from_str(&self.answers[hold].1).unwrap()
    }

    fn capture(&mut self, id: &str, hold: &str) -> (u16, Value) {
        let mut held = self.hold_json(hold);
        held["status"] = json!("captured");
        self.answers.insert(hold.to_owned(), (201, held.to_string()));
        let amount = minor(held["amount"]["amount"].as_str().unwrap());
        let name = |field: &str| held[field].as_str().unwrap().to_owned();
        let legs = [(name("wallet"), -amount), (name("to"), amount)];
        let currency = held["amount"]["currency"].as_str().unwrap();
        self.post(id, "capture", json!(hold), currency, &legs)
    }

    fn look_up(&self, id: &str) -> Then {
        let found = self.answers.get(id).filter(|_| {
            // A tenth of all ids, by their last digits.
            let low = Uuid::try_parse(id).unwrap().as_u128() % 10;
            self.fault != Fault::Forgets || low != 0
        });
        match found {
            None => Then::Answer(404, json!({"code": "TRANSFER_NOT_FOUND"}).to_string(), false),
            Some((422, body)) => {
                let mut body: Value = serde_json::from_str(body).unwrap();
                body["id"] = json!(id);
                body["status"] = json!("refused");
                Then::Answer(200, body.to_string(), false)
            }
            Some((_, body)) => {
                let mut body: Value = serde_json::from_str(body).unwrap();
                if self.fault == Fault::OtherLsn {
                    body["lsn"] = json!(body["lsn"].as_u64().unwrap() + 1);
                }
                Then::Answer(200, body.to_string(), false)
            }
        }
    }

    fn bulk(&mut self, kind: &str, body: &[u8], atomic: bool) -> Then {
        let before = atomic.then(|| self.clone());
        let items: Vec<Value> = match kind {
            "application/json" => serde_json::from_slice(body).unwrap(),
            "application/x-ndjson" => {
                let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
            }
            _ => body.as_chunks::<64>().0.iter().map(binary_item).collect(),
        };
        let mut outcomes = Vec::new();
        for item in &items {
            let id = item["id"].as_str().unwrap();
            let Then::Answer(status, body, replayed) = self.once(id, |book, id| book.transfer(id, item)) else {
                unreachable!("only serving drops connections");
            };
            let body: Value = serde_json::from_str(&body).unwrap();
            outcomes.push(match status {
                201 => json!({"id": id, "status": "accepted", "lsn": body["lsn"], "replayed": replayed}),
                _ => json!({"id": id, "status": "refused", "code": body["code"], "detail": ""}),
            });
        }
        if let (Some(before), Some(index)) = (before, outcomes.iter().position(|one| one["status"] == "refused")) {
            *self = before;
            let problem = json!({"code": outcomes[index]["code"], "index": index});
            return Then::Answer(422, problem.to_string(), false);
        }
        let text = match kind {
            "application/json" => json!({"outcomes": outcomes}).to_string(),
            "application/x-ndjson" => outcomes.iter().map(|outcome| format!("{outcome}\n")).collect(),
            _ => outcomes.iter().map(binary_outcome).collect(),
        };
        Then::Answer(200, text, false)
    }

    fn entries(&self, id: &str, query: &str) -> Then {
        let setting = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<usize>().ok());
        let (limit, skip) = (setting("limit=").unwrap_or(50), setting("cursor=").unwrap_or(0));
        let entries = self.wallets.get(id).map_or(&[][..], |wallet| &wallet.entries);
        let data: Vec<&Value> = entries.iter().rev().skip(skip).take(limit).collect();
        let next = skip + data.len();
        let more = next < entries.len();
        let cursor = more.then(|| next.to_string());
        Then::Answer(200, json!({"data": data, "has_more": more, "next_cursor": cursor}).to_string(), false)
    }
}

fn binary_item(item: &[u8; 64]) -> Value {
    let id = |at: usize| Uuid::from_slice(&item[at..at + 16]).unwrap().to_string();
    let amount = i64::from_le_bytes(item[48..56].try_into().unwrap());
    assert_eq!(item[56..58], 356_u16.to_le_bytes());
    json!({"id": id(0), "from": id(16), "to": id(32), "amount": money(amount, "INR")})
}

/// Only ASCII bytes, because the stand-in's bodies are text: small numbers in their lowest seven bits.
fn binary_outcome(outcome: &Value) -> String {
    let lsn = outcome["lsn"].as_u64().unwrap_or(0) % 128;
    let accepted = outcome["status"] == "accepted";
    let replayed = outcome["replayed"] == true;
    let mut bytes = [0; 16];
    bytes[0] = u8::from(!accepted);
    bytes[2] = u8::from(replayed);
    bytes[8] = u8::try_from(lsn).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn money(minor: i64, currency: &str) -> Value {
    let sign = if minor < 0 { "-" } else { "" };
    let whole = minor.unsigned_abs();
    json!({"amount": format!("{sign}{}.{:02}", whole / 100, whole % 100), "currency": currency})
}

fn minor(text: &str) -> i64 {
    let (whole, cents) = text.split_once('.').unwrap();
    assert_eq!(cents.len(), 2, "{text}");
    whole.parse::<i64>().unwrap() * 100 + cents.parse::<i64>().unwrap()
}
