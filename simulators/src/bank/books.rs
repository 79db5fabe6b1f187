//! The bank's books: every order that it took, in a file of JSON lines that is on the disk before anybody is told. What an
//! order will come to, and when, is decided when it is taken, so that a crash changes nothing about it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::faults::Faults;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    Collection,
    Payout,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    pub id: Uuid,
    pub way: Way,
    #[serde(with = "as_text")]
    pub amount: Decimal,
    pub currency: String,
    pub account: String,
    pub reference: String,
    pub settles_at_micros: u64,
    /// Why it will fail, if it will.
    pub fails_because: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    Pending,
    Settled,
    Failed(String),
}

#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    #[error("the bank's books cannot be read or written")]
    File(#[from] io::Error),
    #[error("line {line} of the bank's books is not an order")]
    Line { line: usize, source: serde_json::Error },
    #[error("an order with this id and other content was taken before")]
    Other,
}

/// What is asked of the bank, as it came in.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(with = "as_text")]
    pub amount: Decimal,
    pub currency: String,
    pub account: String,
    pub reference: String,
}

pub(super) struct Books {
    file: File,
    orders: BTreeMap<Uuid, Order>,
}

impl Books {
    pub(super) fn open(path: &Path) -> Result<Books, BooksError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A line that a crash cut off was told to nobody.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
        file.seek(io::SeekFrom::End(0))?;
        let mut orders = BTreeMap::new();
        for (index, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let order: Order =
                serde_json::from_slice(line).map_err(|source| BooksError::Line { line: index + 1, source })?;
            orders.insert(order.id, order);
        }
        Ok(Books { file, orders })
    }

    /// Takes an order, once for each id.
    pub(super) fn take(&mut self, id: Uuid, way: Way, asked: &Asked, faults: &Faults) -> Result<&Order, BooksError> {
        if let Some(known) = self.orders.get(&id) {
            let is_same = known.way == way
                && known.amount == asked.amount
                && known.currency == asked.currency
                && known.account == asked.account;
            if !is_same {
                return Err(BooksError::Other);
            }
        } else {
            let fails_because = match asked.account.as_bytes() {
                // As test cards do: these numbers always come to the same.
                [.., b'0', b'0', b'0', b'0'] => Some("there is no such account".to_owned()),
                _ => faults.fails(id).then(|| "the account's bank said no".to_owned()),
            };
            let delay_micros = u64::try_from(faults.delay.as_micros()).unwrap_or(u64::MAX / 2);
            let order = Order {
                id,
                way,
                amount: asked.amount,
                currency: asked.currency.clone(),
                account: asked.account.clone(),
                reference: asked.reference.clone(),
                settles_at_micros: now_micros().saturating_add(delay_micros),
                fails_because,
            };
            let mut line = serde_json::to_vec(&order).expect("an order is JSON");
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.file.sync_data()?;
            self.orders.insert(id, order);
        }
        Ok(self.orders.get(&id).expect("it was there, or was put there"))
    }

    pub(super) fn find(&self, id: Uuid, way: Way) -> Option<&Order> {
        self.orders.get(&id).filter(|order| order.way == way)
    }

    /// All orders, and for each currency what was really moved.
    pub(super) fn report(&self) -> Value {
        let mut moved: BTreeMap<&str, (Decimal, Decimal)> = BTreeMap::new();
        for order in self.orders.values().filter(|order| order.state() == State::Settled) {
            let (collected, paid_out) = moved.entry(&order.currency).or_default();
            match order.way {
                Way::Collection => *collected += order.amount,
                Way::Payout => *paid_out += order.amount,
            }
        }
        let sums = moved.into_iter().map(|(currency, (collected, paid_out))| {
            let net = (collected - paid_out).to_string();
            let (collected, paid_out) = (collected.to_string(), paid_out.to_string());
            json!({ "currency": currency, "collected": collected, "paid_out": paid_out, "net": net })
        });
        let orders = self.orders.values().map(|order| {
            let (state, reason) = order.state().told();
            json!({
                "id": order.id, "way": order.way, "amount": order.amount.to_string(), "currency": order.currency,
                "account": order.account, "reference": order.reference, "state": state, "reason": reason,
            })
        });
        json!({ "sums": sums.collect::<Vec<_>>(), "orders": orders.collect::<Vec<_>>() })
    }
}

impl Order {
    pub fn state(&self) -> State {
        if now_micros() < self.settles_at_micros {
            return State::Pending;
        }
        self.fails_because.clone().map_or(State::Settled, State::Failed)
    }
}

impl State {
    pub(super) fn told(self) -> (&'static str, Option<String>) {
        match self {
            State::Pending => ("pending", None),
            State::Settled => ("settled", None),
            State::Failed(reason) => ("failed", Some(reason)),
        }
    }
}

/// Amounts are decimal strings, exact, as they are on the wire.
mod as_text {
    use rust_decimal::Decimal;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(deserializer)?;
        let amount = Decimal::from_str_exact(&text).map_err(D::Error::custom)?;
        if amount <= Decimal::ZERO {
            return Err(D::Error::custom("an amount is above zero"));
        }
        Ok(amount)
    }
}

fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
