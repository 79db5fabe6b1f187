//! The ledger as a whole: its summary, and snapshots on request.

use hyper::StatusCode;
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::{SnapshotAnswer, SummaryAnswer};
use crate::services::intentions::Intention;

pub(super) async fn summary(call: &Call<'_>) -> Result<Answer, Problem> {
    Ok(Answer::ok(&SummaryAnswer::new(&call.engine.summary().await?)))
}

pub(super) async fn snapshot(call: &Call<'_>) -> Result<Answer, Problem> {
    let (object, detail) = ("ledger".to_owned(), json!({}));
    call.record(Intention { action: "snapshot.take", object, detail }).await?;
    let taken = call.engine.snapshot().await?;
    Ok(Answer::json(StatusCode::CREATED, &SnapshotAnswer::new(&taken)))
}
