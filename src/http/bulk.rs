//! Bulk transfers: a JSON array, NDJSON, or the binary form of `bulk_binary`. The three differ in
//! how items are read and outcomes written; what happens between is the same.

use std::borrow::Cow;

use hyper::StatusCode;
use serde_json::value::RawValue;

use super::answer::{Answer, JSON, NDJSON};
use super::bulk_binary;
use super::call::{Call, Purpose, key_id, media_type};
use super::problem::{Code, Problem};
use super::transfers::{must_own_payers, paid, payers};
use super::wire::{BulkItem, BulkOutcome, Id, Raw, read_item, read_list};
use crate::config::BULK_ITEMS_MAX;
use crate::engine::{AtomicRefusal, Outcome, Receipt};
use crate::ledger::{Amount, Currency, Transfer, TransferId};
use crate::services::step_up;

/// An item as it was read: a transfer, or why it is none, with its id if that could be read.
#[derive(Debug)]
pub enum Item {
    Asked(Transfer),
    Wrong(Option<u128>, Problem),
}

/// What became of an item.
#[derive(Debug)]
pub(super) enum ItemOutcome {
    Accepted(Option<u128>, Receipt),
    Refused(Option<u128>, Problem),
}

/// How items are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Array,
    Lines,
    Binary,
}

pub(super) async fn transfers(call: &Call<'_>) -> Result<Answer, Problem> {
    let form = form(call)?;
    let is_atomic = match call.query {
        None => false,
        Some(_) => is_atomic(call.query(&["atomic"])?.text("atomic"))?,
    };
    let key = call.optional_key()?.map(|key| own_key(call, key));
    let mut items = bulk_items(form, &call.body, key.as_deref())?;
    if call.principal.is_bound_to_own() {
        must_be_below_step_up(call, &items)?;
        // As a rule the payers are known from earlier requests.
        let asked =
            items.iter().filter_map(|item| if let Item::Asked(transfer) = item { Some(transfer) } else { None });
        let is_known = call.principal.is_known_to_own(asked.flat_map(payers));
        for item in items.iter_mut().filter(|_| !is_known) {
            let Item::Asked(transfer) = item else { continue };
            if let Err(problem) = must_own_payers(call, transfer).await {
                *item = Item::Wrong(Some(transfer.id().0), problem);
            }
        }
    }
    let outcomes = if is_atomic { all(call, items).await? } else { each(call, items).await };
    Ok(match form {
        Form::Array => array_answer(&outcomes),
        Form::Lines => line_answer(&outcomes),
        Form::Binary => bulk_binary::answer(&outcomes),
    })
}

/// A person confirms payments one by one, so many small ones at once may not come to what would have to be confirmed.
fn must_be_below_step_up(call: &Call<'_>, items: &[Item]) -> Result<(), Problem> {
    let Some(services) = call.services else { return Ok(()) };
    let mut totals: Vec<(Currency, i64)> = Vec::new();
    for item in items {
        let Item::Asked(transfer) = item else { continue };
        let (currency, minor) = (transfer.currency(), paid(transfer).map_or(0, Amount::minor));
        match totals.iter_mut().find(|(known, _)| *known == currency) {
            Some((_, total)) => *total = total.saturating_add(minor),
            None => totals.push((currency, minor)),
        }
    }
    let is_above = |(currency, total): &(Currency, i64)| {
        Amount::new(*total).is_some_and(|total| step_up::is_needed(services, call.principal, total, *currency))
    };
    if totals.iter().any(is_above) {
        let detail = "Together the items come to more than may be paid without a confirmation; send them one by one.";
        return Err(Problem::new(Code::StepUpRequired, detail));
    }
    Ok(())
}

/// Two merchants may use the same key without knowing of each other.
fn own_key<'c>(call: &Call<'c>, key: &'c str) -> Cow<'c, str> {
    let account = call.principal.account;
    if account.is_nil() { Cow::Borrowed(key) } else { Cow::Owned(format!("{account} {key}")) }
}

/// Reads a body. Where items have no ids of their own, `key` and their position stand for them.
pub fn bulk_items(form: Form, body: &[u8], key: Option<&str>) -> Result<Vec<Item>, Problem> {
    match form {
        Form::Array => array_items(body, key),
        Form::Lines => line_items(body, key),
        Form::Binary => bulk_binary::items(body, key),
    }
}

/// The id that an item has by itself, or by the request's key and its position.
pub(super) fn item_id(own: Option<u128>, key: Option<&str>, index: usize) -> Result<u128, Problem> {
    match (own, key) {
        (Some(id), _) => Ok(id),
        (None, Some(key)) => key_id(Purpose::Item(index), key),
        (None, None) => Err(Problem::new(
            Code::IdempotencyKeyRequired,
            "`id` is missing: give each item one, or the request an Idempotency-Key.",
        )),
    }
}

pub(super) fn too_many() -> Problem {
    Problem::new(Code::BodyTooLarge, format!("A bulk request has at most {BULK_ITEMS_MAX} items."))
}

impl Item {
    pub(super) fn new(id: Option<u128>, transfer: Result<Transfer, Problem>) -> Item {
        match transfer {
            Ok(transfer) => Item::Asked(transfer),
            Err(problem) => Item::Wrong(id, problem),
        }
    }
}

fn form(call: &Call<'_>) -> Result<Form, Problem> {
    match media_type(call.headers) {
        None => Ok(Form::Array),
        Some(kind) if kind.eq_ignore_ascii_case(JSON) => Ok(Form::Array),
        Some(kind) if kind.eq_ignore_ascii_case(NDJSON) => Ok(Form::Lines),
        Some(kind) if kind.eq_ignore_ascii_case(bulk_binary::TRANSFERS) => Ok(Form::Binary),
        Some(_) => Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("Send {JSON}, {NDJSON} or {}.", bulk_binary::TRANSFERS),
        )),
    }
}

fn is_atomic(text: Option<&str>) -> Result<bool, Problem> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::new(Code::InvalidRequest, "`atomic` is neither true nor false.")),
    }
}

/// Malformed JSON spoils the whole; an item that is JSON and no transfer spoils itself only.
fn array_items(body: &[u8], key: Option<&str>) -> Result<Vec<Item>, Problem> {
    let texts: Vec<&RawValue> = read_list::<_, BULK_ITEMS_MAX>(body)?;
    if texts.len() > BULK_ITEMS_MAX {
        return Err(too_many());
    }
    Ok(texts.iter().enumerate().map(|(index, text)| json_item(text.get().as_bytes(), key, index)).collect())
}

/// Each line stands for itself; empty ones are passed over, so that a last newline is no item.
fn line_items(body: &[u8], key: Option<&str>) -> Result<Vec<Item>, Problem> {
    let lines = body.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let mut items = Vec::new();
    for (index, line) in lines.enumerate() {
        if index == BULK_ITEMS_MAX {
            return Err(too_many());
        }
        items.push(json_item(line, key, index));
    }
    Ok(items)
}

fn json_item(text: &[u8], key: Option<&str>, index: usize) -> Item {
    let item: BulkItem<'_> = match read_item(text) {
        Ok(item) => item,
        Err(problem) => return Item::Wrong(None, problem),
    };
    let own = item.id.as_ref().map(|raw: &Raw<'_>| raw.id("id")).transpose();
    let id = match own.and_then(|own| item_id(own, key, index)) {
        Ok(id) => id,
        Err(problem) => return Item::Wrong(None, problem),
    };
    let transfer = item.parts().and_then(|parts| Ok(parts.with_id(TransferId(id))?));
    Item::new(Some(id), transfer)
}

/// All of what could be read goes to the engine in one batch; the outcomes keep the order.
async fn each(call: &Call<'_>, items: Vec<Item>) -> Vec<ItemOutcome> {
    let mut transfers = Vec::with_capacity(items.len());
    let mut waiting: Vec<Result<u128, ItemOutcome>> = Vec::with_capacity(items.len());
    for item in items {
        waiting.push(match item {
            Item::Asked(transfer) => {
                let id = transfer.id().0;
                transfers.push(transfer);
                Ok(id)
            }
            Item::Wrong(id, problem) => Err(ItemOutcome::Refused(id, problem)),
        });
    }
    let mut outcomes =
        if transfers.is_empty() { Vec::new() } else { call.engine.transfer_each(transfers).await }.into_iter();
    let outcome = |waiting: Result<u128, ItemOutcome>| {
        let id = match waiting {
            Ok(id) => id,
            Err(outcome) => return outcome,
        };
        match outcomes.next().expect("the engine answers every item") {
            Outcome::Accepted(receipt) => ItemOutcome::Accepted(Some(id), receipt),
            Outcome::Refused(refusal) => ItemOutcome::Refused(Some(id), refusal.into()),
            Outcome::Failed(failure) => ItemOutcome::Refused(Some(id), failure.into()),
        }
    };
    waiting.into_iter().map(outcome).collect()
}

/// The first item that is wrong or refused is the answer for all.
async fn all(call: &Call<'_>, items: Vec<Item>) -> Result<Vec<ItemOutcome>, Problem> {
    let mut transfers = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Item::Asked(transfer) => transfers.push(transfer),
            Item::Wrong(_, problem) => return Err(problem.at(index)),
        }
    }
    if transfers.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<u128> = transfers.iter().map(|transfer| transfer.id().0).collect();
    match call.engine.transfer_all(transfers).await {
        Ok(receipts) => {
            let pairs = ids.into_iter().zip(receipts);
            Ok(pairs.map(|(id, receipt)| ItemOutcome::Accepted(Some(id), receipt)).collect())
        }
        Err(AtomicRefusal { index, outcome: Outcome::Refused(refusal) }) => Err(Problem::from(refusal).at(index)),
        Err(AtomicRefusal { index, outcome: Outcome::Failed(failure) }) => Err(Problem::from(failure).at(index)),
        Err(AtomicRefusal { outcome: Outcome::Accepted(_), .. }) => {
            Err(Problem::new(Code::Internal, "An accepted item was given as the reason of a refusal."))
        }
    }
}

const OUTCOME_BYTES_USUAL: usize = 112;

fn array_answer(outcomes: &[ItemOutcome]) -> Answer {
    let mut body = Vec::with_capacity(16 + outcomes.len() * OUTCOME_BYTES_USUAL);
    body.extend_from_slice(b"{\"outcomes\":[");
    for (index, outcome) in outcomes.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_json(&mut body, outcome);
    }
    body.extend_from_slice(b"]}");
    Answer::bytes(StatusCode::OK, JSON, body)
}

fn line_answer(outcomes: &[ItemOutcome]) -> Answer {
    let mut body = Vec::with_capacity(outcomes.len() * OUTCOME_BYTES_USUAL);
    for outcome in outcomes {
        write_json(&mut body, outcome);
        body.push(b'\n');
    }
    Answer::bytes(StatusCode::OK, NDJSON, body)
}

fn write_json(body: &mut Vec<u8>, outcome: &ItemOutcome) {
    let shown = match outcome {
        ItemOutcome::Accepted(id, receipt) => BulkOutcome {
            id: id.map(Id),
            status: "accepted",
            lsn: Some(receipt.lsn),
            replayed: Some(receipt.replayed),
            code: None,
            detail: None,
        },
        ItemOutcome::Refused(id, problem) => BulkOutcome {
            id: id.map(Id),
            status: "refused",
            lsn: None,
            replayed: None,
            code: Some(problem.code.name()),
            detail: Some(problem.detail.clone().into_owned()),
        },
    };
    serde_json::to_writer(body, &shown).expect("wire types are always JSON, and memory takes every write");
}
