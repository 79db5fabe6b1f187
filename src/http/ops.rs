//! What operators and their machines look at without a key: health, readiness, metrics, the
//! OpenAPI document and a readable page of it.

use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, JSON};
use super::openapi;
use super::problem::{Code, Problem};
use super::route::Route;
use super::state::State;

pub(super) const HTML: &str = "text/html; charset=utf-8";
/// The page has its style and script in itself and asks this server only.
pub(super) const DOCS_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const DOCS: &str = include_str!("docs.html");

/// The process answers, or has recovered.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
pub(super) struct StatusAnswer {
    /// ok or ready.
    #[schema(example = "ready")]
    status: &'static str,
    /// The last durable position of the log, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_lsn: Option<u64>,
}

pub(super) fn answer(route: Route, state: &State) -> Result<Answer, Problem> {
    match route {
        Route::Health => Ok(Answer::ok(&StatusAnswer { status: "ok", last_lsn: None })),
        Route::Ready => ready(state),
        Route::Metrics => {
            let health = state.engine().ok().map(|engine| engine.health());
            let text = state.meters().render(health.as_ref());
            Ok(Answer::bytes(StatusCode::OK, PROMETHEUS_TEXT, text))
        }
        Route::OpenApi => Ok(Answer::bytes(StatusCode::OK, JSON, openapi::json())),
        Route::Docs => Ok(Answer::bytes(StatusCode::OK, HTML, DOCS)),
        _ => Err(Problem::new(Code::Internal, "A route with a key came to the routes without one.")),
    }
}

fn ready(state: &State) -> Result<Answer, Problem> {
    if state.is_stopping() {
        return Err(Problem::new(Code::Stopping, "The server is stopping."));
    }
    let health = state.engine()?.health();
    match health.read_only {
        Some(why) => Err(Problem::new(Code::ReadOnly, why)),
        None => Ok(Answer::ok(&StatusAnswer { status: "ready", last_lsn: Some(health.last_lsn) })),
    }
}
