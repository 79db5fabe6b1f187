//! What clients send: bulk bodies, JSON bodies, amounts, queries with their cursors, idempotency keys.

use florin::http::problem::Problem;
use florin::http::wire::{
    CaptureRequest, FundingRequest, HoldRequest, TransferRequest, WalletRequest, cursor_text, parse_cursor, read,
};
use florin::http::{Form, Item, Purpose, Query, bulk_items, key_id, key_text};
use florin::ledger::money::{format_minor, parse_minor};
use florin::ledger::{Currency, HoldId, Transfer, TransferId, WalletId};

const ITEM_BYTES: usize = 64;

/// The binary body. The first byte says whether there is an Idempotency-Key.
pub fn bulk(bytes: &[u8]) {
    let Some((&how, body)) = bytes.split_first() else { return };
    let items = match bulk_items(Form::Binary, body, (how & 1 != 0).then_some("fuzzed")) {
        Ok(items) => items,
        Err(problem) => return told(&problem),
    };
    assert_eq!(items.len() * ITEM_BYTES, body.len());
    for (item, bytes) in items.iter().zip(body.chunks(ITEM_BYTES)) {
        let Item::Asked(transfer) = item else { continue };
        sound(transfer);
        let at = |from: usize| u128::from_be_bytes(bytes[from..from + 16].try_into().expect("16 bytes"));
        let minor = i64::from_le_bytes(bytes[48..56].try_into().expect("8 bytes"));
        for leg in transfer.legs() {
            let expected = if leg.wallet.0 == at(16) { -minor } else { minor };
            assert!([at(16), at(32)].contains(&leg.wallet.0) && leg.amount == expected, "{leg:?}");
        }
    }
}

/// A JSON body; the first byte says of what. Objects are objects and lists are lists.
pub fn json(bytes: &[u8]) {
    let Some((&which, body)) = bytes.split_first() else { return };
    let (first, result) = match which % 7 {
        0 => (b'{', read::<TransferRequest<'_>>(body).and_then(|request| transfer(request))),
        1 => (b'{', read::<FundingRequest<'_>>(body).and_then(|request| request.parts().map(|_| ()))),
        2 => (b'{', read::<HoldRequest<'_>>(body).and_then(|request| request.authorization(HoldId(7), 1).map(|_| ()))),
        3 => (b'{', read::<CaptureRequest<'_>>(body).and_then(|request| request.amount().map(|_| ()))),
        4 => (b'{', read::<WalletRequest<'_>>(body).and_then(|request| request.opening(WalletId(7)).map(|_| ()))),
        5 => (b'[', items(Form::Array, body)),
        _ => (0, items(Form::Lines, body)),
    };
    match result {
        Ok(()) => assert!(first == 0 || body.trim_ascii_start().first() == Some(&first)),
        Err(problem) => told(&problem),
    }
}

fn transfer(request: TransferRequest<'_>) -> Result<(), Problem> {
    sound(&request.parts()?.with_id(TransferId(7))?);
    Ok(())
}

fn items(form: Form, body: &[u8]) -> Result<(), Problem> {
    for item in bulk_items(form, body, Some("fuzzed"))? {
        match item {
            Item::Asked(transfer) => sound(&transfer),
            Item::Wrong(_, problem) => told(&problem),
        }
    }
    Ok(())
}

/// The first byte is the currency, the rest the text. What is read is what the digits say, and is written the same.
pub fn amounts(bytes: &[u8]) {
    let Some((&which, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let currencies: Vec<Currency> = Currency::all().collect();
    let currency = currencies[usize::from(which) % currencies.len()];
    let Ok(minor) = parse_minor(text, currency) else { return };
    assert_eq!(Some(i128::from(minor)), by_hand(text, currency.exponent()), "{text}");
    assert_eq!(parse_minor(&format_minor(minor, currency), currency).ok(), Some(minor), "{text}");
}

/// An amount in minor units by schoolbook arithmetic.
fn by_hand(text: &str, exponent: u32) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let missing = usize::try_from(exponent).ok()?.checked_sub(fraction.len())?;
    let zeros = "0".repeat(missing);
    let mut minor: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(zeros.bytes()) {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        minor = minor.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    Some(if text.starts_with('-') { -minor } else { minor })
}

/// A query with a cursor, an id, a time and numbers.
pub fn queries(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let known = &["limit", "cursor", "from", "owner", "as_of_lsn", "as_of_time"];
    let query = match Query::parse(text, known) {
        Ok(query) => query,
        Err(problem) => return told(&problem),
    };
    for list in ['e', 'w'] {
        let Some(Ok(lsn)) = query.text("cursor").map(|text| parse_cursor(list, text)) else { continue };
        assert_eq!(parse_cursor(list, &cursor_text(list, lsn)).ok(), Some(lsn));
    }
    if let Ok(limit) = query.limit() {
        assert!((1..=200).contains(&limit));
    }
    if let Ok(Some(id)) = query.id("owner") {
        assert_ne!(id, 0);
    }
    for problem in [query.time("from").err(), query.as_of().err(), query.number("limit").err()].iter().flatten() {
        told(problem);
    }
}

/// An Idempotency-Key. Other purposes give other ids, unless the key is an id itself.
pub fn keys(bytes: &[u8]) {
    let Some(key) = key_text(bytes) else { return };
    assert!(key.len() <= 255 && key.bytes().all(|byte| byte.is_ascii_graphic()));
    let ids =
        [Purpose::Request, Purpose::Wallet, Purpose::Item(0), Purpose::Item(1)].map(|purpose| key_id(purpose, key));
    let [Ok(request), Ok(wallet), Ok(first), Ok(second)] = ids else {
        assert_eq!(key.bytes().filter(|byte| !matches!(byte, b'0' | b'-')).count(), 0, "only the nil UUID is no key");
        return;
    };
    assert!(request != 0 && wallet != 0 && first != second && first != request && second != wallet);
    assert!(request != wallet || key.len() == 36);
}

/// A transfer that was understood is one that the ledger can take.
fn sound(transfer: &Transfer) {
    let legs = transfer.legs();
    assert!((2..=16).contains(&legs.len()), "{} legs", legs.len());
    assert_eq!(legs.iter().map(|leg| i128::from(leg.amount)).sum::<i128>(), 0);
    assert!(legs.iter().all(|leg| leg.amount != 0));
    assert!(legs.windows(2).all(|pair| pair[0].wallet < pair[1].wallet));
}

/// A problem is a sentence in a document that can be read.
fn told(problem: &Problem) {
    assert!(problem.detail.ends_with('.') && problem.detail.len() > 10, "{}", problem.detail);
    let document: serde_json::Value = serde_json::from_slice(&problem.render("r")).expect("a problem is JSON");
    assert_eq!(document["code"], problem.code.name());
}
