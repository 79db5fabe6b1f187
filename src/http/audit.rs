//! The audit log, for those who look at what administrators do.

use super::answer::Answer;
use super::call::Call;
use super::problem::{Code, Problem};
use super::wire::audit::{AuditAnswer, AuditVerifiedAnswer};
use super::wire::{Page, cursor_text, parse_cursor};
use crate::services::{Fault, audit};
use crate::store::audit::Filter;

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let query = call.query(&["limit", "cursor", "actor", "object"])?;
    let before = query.text("cursor").map(|text| parse_cursor('a', text)).transpose()?;
    let before_seq = before.map(i64::try_from).transpose();
    let before_seq =
        before_seq.map_err(|_| Problem::new(Code::InvalidCursor, "`cursor` is not a next_cursor of this list."))?;
    let limit = query.limit()?;
    let filter = Filter { before_seq, actor: query.text("actor"), object: query.text("object") };
    // One more than asked for tells whether there is a next page.
    let mut entries = audit::list(services, filter, i64::try_from(limit + 1).unwrap_or(i64::MAX)).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let last = entries.last().filter(|_| has_more).and_then(|entry| u64::try_from(entry.record.seq).ok());
    let next = last.map(|seq| cursor_text('a', seq));
    Ok(Answer::ok(&Page::new(entries.into_iter().map(AuditAnswer::new).collect(), next)))
}

pub(super) async fn verify(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let verified = audit::verify(&services.store, &services.seal).await.map_err(Fault::from)?;
    Ok(Answer::ok(&AuditVerifiedAnswer::new(verified)))
}
