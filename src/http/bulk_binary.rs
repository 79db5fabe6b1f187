//! The binary form of bulk transfers, for those who need the speed. All numbers are little endian,
//! but for ids, which are the 16 bytes of a UUID in its own order (RFC 9562).
//!
//! | item byte | length | meaning | | outcome byte | length | meaning |
//! |---|---|---|---|---|---|---|
//! | 0 | 16 | id, or zeros with an Idempotency-Key | | 0 | 2 | code: 0 accepted, else a problem's number |
//! | 16 | 16 | from | | 2 | 2 | flags: 1 replayed |
//! | 32 | 16 | to | | 4 | 4 | reserved, zeros |
//! | 48 | 8 | amount in minor units | | 8 | 8 | LSN, or zero |
//! | 56 | 2 | currency, ISO 4217 number | | | | |
//! | 58 | 2 | flags, zero | | | | |
//! | 60 | 4 | reserved, zeros | | | | |

use hyper::StatusCode;

use super::answer::Answer;
use super::bulk::{Item, ItemOutcome, item_id, too_many};
use super::problem::{Code, Problem};
use crate::config::BULK_ITEMS_MAX;
use crate::ledger::{Amount, Currency, Transfer, TransferId, TransferKind, WalletId};

pub(super) const TRANSFERS: &str = "application/vnd.florin.transfers";
pub(super) const OUTCOMES: &str = "application/vnd.florin.outcomes";
pub(super) const ITEM_BYTES: usize = 64;
pub(super) const OUTCOME_BYTES: usize = 16;

const FLAG_REPLAYED: u16 = 1;

pub(super) fn items(body: &[u8], key: Option<&str>) -> Result<Vec<Item>, Problem> {
    let (items, rest) = body.as_chunks::<ITEM_BYTES>();
    if !rest.is_empty() {
        let detail = format!("The body is {} bytes, which is no multiple of {ITEM_BYTES}.", body.len());
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    if items.len() > BULK_ITEMS_MAX {
        return Err(too_many());
    }
    Ok(items.iter().enumerate().map(|(index, bytes)| item(bytes, key, index)).collect())
}

pub(super) fn answer(outcomes: &[ItemOutcome]) -> Answer {
    let mut body = Vec::with_capacity(outcomes.len() * OUTCOME_BYTES);
    for outcome in outcomes {
        let (code, flags, lsn) = match outcome {
            ItemOutcome::Accepted(_, receipt) => (0, if receipt.replayed { FLAG_REPLAYED } else { 0 }, receipt.lsn),
            ItemOutcome::Refused(_, problem) => {
                (problem.code.number(), if problem.replayed { FLAG_REPLAYED } else { 0 }, 0)
            }
        };
        body.extend_from_slice(&code.to_le_bytes());
        body.extend_from_slice(&flags.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&lsn.to_le_bytes());
    }
    Answer::bytes(StatusCode::OK, OUTCOMES, body)
}

fn item(bytes: &[u8; ITEM_BYTES], key: Option<&str>, index: usize) -> Item {
    let own = (id_at(bytes, 0) != 0).then(|| id_at(bytes, 0));
    match item_id(own, key, index) {
        Ok(id) => Item::new(Some(id), transfer(bytes, TransferId(id))),
        Err(problem) => Item::Wrong(None, problem),
    }
}

fn transfer(bytes: &[u8; ITEM_BYTES], id: TransferId) -> Result<Transfer, Problem> {
    let wrong = |code, detail: &'static str| Problem::new(code, detail);
    if bytes[58..] != [0; 6] {
        return Err(wrong(Code::InvalidRequest, "The flags and the reserved bytes are zero."));
    }
    let (from, to) = (id_at(bytes, 16), id_at(bytes, 32));
    if from == 0 || to == 0 {
        return Err(wrong(Code::InvalidId, "`from` or `to` is the nil UUID."));
    }
    let minor = u64::from_le_bytes(bytes[48..56].try_into().expect("eight bytes"));
    let number = u16::from_le_bytes(bytes[56..58].try_into().expect("two bytes"));
    let currency = Currency::by_number(number)
        .ok_or_else(|| wrong(Code::InvalidCurrency, "`currency` is not a number of ISO 4217."))?;
    let amount = i64::try_from(minor)
        .ok()
        .and_then(Amount::new)
        .ok_or_else(|| wrong(Code::InvalidAmount, "`amount_minor` is zero or above 2^63 - 1."))?;
    let (from, to) = (WalletId(from), WalletId(to));
    Ok(Transfer::between(id, TransferKind::Transfer, currency, from, to, amount, None)?)
}

fn id_at(bytes: &[u8; ITEM_BYTES], offset: usize) -> u128 {
    u128::from_be_bytes(bytes[offset..offset + 16].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Receipt;

    fn bytes(id: u128, from: u128, to: u128, minor: u64, currency: u16, tail: [u8; 6]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for id in [id, from, to] {
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        bytes.extend_from_slice(&minor.to_le_bytes());
        bytes.extend_from_slice(&currency.to_le_bytes());
        bytes.extend_from_slice(&tail);
        bytes
    }

    #[test]
    fn an_item_is_read_byte_by_byte() {
        let items = items(&bytes(7, 3, 2, 500, 356, [0; 6]), None).unwrap();
        let [Item::Asked(transfer)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(transfer.id(), TransferId(7));
        assert_eq!(transfer.currency().code(), "INR");
        let legs: Vec<(u128, i64)> = transfer.legs().iter().map(|leg| (leg.wallet.0, leg.amount)).collect();
        assert_eq!(legs, [(2, 500), (3, -500)]);
    }

    #[test]
    fn a_wrong_item_is_its_own_outcome() {
        for (bytes, code) in [
            (bytes(0, 3, 2, 500, 356, [0; 6]), Code::IdempotencyKeyRequired),
            (bytes(7, 0, 2, 500, 356, [0; 6]), Code::InvalidId),
            (bytes(7, 3, 0, 500, 356, [0; 6]), Code::InvalidId),
            (bytes(7, 3, 3, 500, 356, [0; 6]), Code::SameWallet),
            (bytes(7, 3, 2, 0, 356, [0; 6]), Code::InvalidAmount),
            (bytes(7, 3, 2, 1 << 63, 356, [0; 6]), Code::InvalidAmount),
            (bytes(7, 3, 2, 500, 1, [0; 6]), Code::InvalidCurrency),
            (bytes(7, 3, 2, 500, 356, [1, 0, 0, 0, 0, 0]), Code::InvalidRequest),
            (bytes(7, 3, 2, 500, 356, [0, 0, 0, 0, 0, 1]), Code::InvalidRequest),
        ] {
            let items = items(&bytes, None).unwrap();
            let [Item::Wrong(_, problem)] = &items[..] else { panic!("{items:?}") };
            assert_eq!(problem.code, code);
        }
        assert_eq!(items(&[0; 63], None).unwrap_err().code, Code::InvalidRequest);
        assert_eq!(items(&[0; 64 * 8191], None).unwrap_err().code, Code::BodyTooLarge);
        assert!(matches!(items(&bytes(0, 3, 2, 1, 356, [0; 6]), Some("k")).unwrap()[..], [Item::Asked(_)]));
    }

    #[test]
    fn an_outcome_is_written_byte_by_byte() {
        let receipt = Receipt { lsn: 0x0102, time_micros: 0, replayed: true };
        let problem = Problem::new(Code::InsufficientFunds, "");
        let answer = answer(&[ItemOutcome::Accepted(Some(7), receipt), ItemOutcome::Refused(None, problem)]);
        let expected: [u8; 32] = [
            0, 0, 1, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, //
            9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(answer.body, expected[..]);
    }
}
