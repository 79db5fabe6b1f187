//! Writes requests: fixed bytes prepared once, the ids and amounts put between them. Nothing is read here.

use uuid::Uuid;

use crate::endpoint::Endpoint;
use crate::ids::{Wallets, write_id};
use crate::money::Currency;

/// How a bulk request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Json,
    Ndjson,
    /// 64 bytes an item.
    Binary,
}

/// One movement of money between two wallets of the run.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub id: Uuid,
    pub from: u32,
    pub to: u32,
    pub amount_minor: u64,
}

/// The prepared bytes for one run.
#[derive(Debug)]
pub struct Wire {
    pub endpoint: Endpoint,
    pub currency: Currency,
    pub wallets: Wallets,
    pub format: Format,
    transfer_head: Vec<u8>,
    hold_head: Vec<u8>,
    bulk_head: Vec<u8>,
    money_tail: String,
}

impl Wire {
    pub fn new(endpoint: Endpoint, currency: Currency, wallets: Wallets, format: Format, atomic: bool) -> Self {
        let json = "Content-Type: application/json\r\nIdempotency-Key: ";
        let bulk_path = if atomic { "/v1/transfers/bulk?atomic=true" } else { "/v1/transfers/bulk" };
        let bulk_type = match format {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Binary => "application/vnd.florin.transfers",
        };
        let bulk = format!("Content-Type: {bulk_type}\r\nContent-Length: ");
        Self {
            transfer_head: endpoint.head("POST", "/v1/transfers", json),
            hold_head: endpoint.head("POST", "/v1/holds", json),
            bulk_head: endpoint.head("POST", bulk_path, &bulk),
            money_tail: format!("\",\"currency\":\"{}\"}}}}", currency.code),
            endpoint,
            currency,
            wallets,
            format,
        }
    }

    pub fn transfer(&self, order: &Order, out: &mut Vec<u8>) {
        self.keyed(&self.transfer_head, b"{\"from\":\"", order, out);
    }

    pub fn authorize(&self, order: &Order, out: &mut Vec<u8>) {
        self.keyed(&self.hold_head, b"{\"wallet\":\"", order, out);
    }

    pub fn capture(&self, hold: &Uuid, key: &Uuid, out: &mut Vec<u8>) {
        let path = format!("/v1/holds/{hold}/capture");
        self.endpoint.post(&path, Some(&key.to_string()), b"{}", out);
    }

    pub fn void(&self, hold: &Uuid, key: &Uuid, out: &mut Vec<u8>) {
        let path = format!("/v1/holds/{hold}/void");
        self.endpoint.post(&path, Some(&key.to_string()), b"{}", out);
    }

    pub fn balance(&self, wallet: u32, out: &mut Vec<u8>) {
        let path = format!("/v1/wallets/{}/balance", self.wallets.id(wallet));
        self.endpoint.get(&path, out);
    }

    pub fn entries(&self, wallet: u32, out: &mut Vec<u8>) {
        let path = format!("/v1/wallets/{}/entries?limit=20", self.wallets.id(wallet));
        self.endpoint.get(&path, out);
    }

    pub fn bulk(&self, orders: &[Order], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bulk_head);
        // The length stands before the body, so its digits are written last, over these blanks
        // (a header's value may begin with spaces).
        let digits_at = out.len();
        out.extend_from_slice(b"         \r\n\r\n");
        let body_at = out.len();
        match self.format {
            Format::Binary => orders.iter().for_each(|order| self.binary_item(order, out)),
            Format::Ndjson => {
                for order in orders {
                    self.json_item(order, out);
                    out.push(b'\n');
                }
            }
            Format::Json => {
                out.push(b'[');
                for (index, order) in orders.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.json_item(order, out);
                }
                out.push(b']');
            }
        }
        let length = format!("{:>9}", out.len() - body_at);
        out[digits_at..digits_at + 9].copy_from_slice(length.as_bytes());
    }

    /// A POST whose id is its idempotency key: head, id, length, and a body of two wallets and money.
    fn keyed(&self, head: &[u8], open: &[u8], order: &Order, out: &mut Vec<u8>) {
        const TO: &[u8] = b"\",\"to\":\"";
        const AMOUNT: &[u8] = b"\",\"amount\":{\"amount\":\"";
        out.extend_from_slice(head);
        write_id(&order.id, out);
        out.extend_from_slice(b"\r\nContent-Length: ");
        let digits_at = out.len();
        out.extend_from_slice(b"000\r\n\r\n");
        let body_at = out.len();
        out.extend_from_slice(open);
        write_id(&self.wallets.id(order.from), out);
        out.extend_from_slice(TO);
        write_id(&self.wallets.id(order.to), out);
        out.extend_from_slice(AMOUNT);
        self.currency.write(order.amount_minor, out);
        out.extend_from_slice(self.money_tail.as_bytes());
        let mut length = out.len() - body_at;
        for digit in out[digits_at..digits_at + 3].iter_mut().rev() {
            *digit = b'0' + u8::try_from(length % 10).expect("a digit fits a byte");
            length /= 10;
        }
    }

    fn json_item(&self, order: &Order, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        write_id(&order.id, out);
        out.extend_from_slice(b"\",\"from\":\"");
        write_id(&self.wallets.id(order.from), out);
        out.extend_from_slice(b"\",\"to\":\"");
        write_id(&self.wallets.id(order.to), out);
        out.extend_from_slice(b"\",\"amount\":{\"amount\":\"");
        self.currency.write(order.amount_minor, out);
        out.extend_from_slice(self.money_tail.as_bytes());
    }

    /// id 0..16, from 16..32, to 32..48, amount u64 48..56, currency u16 56..58, flags u16 58..60,
    /// reserved u32 60..64; little endian.
    fn binary_item(&self, order: &Order, out: &mut Vec<u8>) {
        out.extend_from_slice(order.id.as_bytes());
        out.extend_from_slice(self.wallets.id(order.from).as_bytes());
        out.extend_from_slice(self.wallets.id(order.to).as_bytes());
        out.extend_from_slice(&order.amount_minor.to_le_bytes());
        out.extend_from_slice(&self.currency.number.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(format: Format) -> Wire {
        let endpoint = Endpoint::new("http://a:1", "k").unwrap();
        let wallets = Wallets { seed: 1, count: 9 };
        let currency = Currency::from_code("INR").unwrap();
        Wire::new(endpoint, currency, wallets, format, false)
    }

    fn split(request: &[u8]) -> (String, Vec<u8>) {
        let text = String::from_utf8_lossy(request);
        let at = text.find("\r\n\r\n").unwrap() + 4;
        (text[..at].to_owned(), request[at..].to_vec())
    }

    fn length(head: &str) -> usize {
        let line = head.lines().find_map(|line| line.strip_prefix("Content-Length:"));
        line.unwrap().trim().parse().unwrap()
    }

    const ORDER: Order = Order { id: Uuid::from_u128(0x77), from: 3, to: 4, amount_minor: 1250 };

    #[test]
    fn a_transfer_is_json_of_the_stated_length() {
        let (wire, mut out) = (wire(Format::Json), Vec::new());
        wire.transfer(&ORDER, &mut out);
        let (head, body) = split(&out);
        assert!(head.starts_with("POST /v1/transfers HTTP/1.1\r\nHost: a:1\r\n"));
        assert!(head.contains(&format!("Idempotency-Key: {}\r\n", ORDER.id)));
        assert_eq!(length(&head), body.len());
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["amount"]["amount"], "12.50");
        assert_eq!(json["from"], wire.wallets.id(3).to_string());
        assert_eq!(json["to"], wire.wallets.id(4).to_string());
    }

    #[test]
    fn a_batch_in_each_format() {
        for (format, bytes) in [(Format::Json, None), (Format::Ndjson, None), (Format::Binary, Some(128))] {
            let (wire, mut out) = (wire(format), Vec::new());
            wire.bulk(&[ORDER, ORDER], &mut out);
            let (head, body) = split(&out);
            assert_eq!(length(&head), body.len());
            assert!(bytes.is_none_or(|bytes| body.len() == bytes));
            let items = match format {
                Format::Json => serde_json::from_slice::<Vec<serde_json::Value>>(&body).unwrap().len(),
                Format::Ndjson => String::from_utf8(body).unwrap().lines().count(),
                Format::Binary => {
                    assert_eq!(&body[48..58], &[0xE2, 4, 0, 0, 0, 0, 0, 0, 0x64, 1]);
                    body.len() / 64
                }
            };
            assert_eq!(items, 2);
        }
    }
}
