//! One request and its response: limits, the key, the route, the handler, and what every response
//! carries. The handlers know nothing of this.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tracing::Instrument as _;
use uuid::Uuid;

use super::access::Own;
use super::answer::Answer;
use super::call::Call;
use super::connection::Connection;
use super::door::LetIn;
use super::held::STEP_BYTES;
use super::outgoing::Outgoing;
use super::problem::{Code, Problem};
use super::rates::{self, Policy, Standing, Use};
use super::route::{self, Found, Route};
use super::wire::now_micros;
use super::within::within;
use super::{
    accounts, adjustments, api_keys, audit, body, bulk, credentials, door, holds, ledger, me, ops, promotions, sign_in,
    spending, transfers, wallets,
};
use super::{events, keys, my_bank, my_payments, my_requests, my_wallet, notifications};
use crate::config::REQUEST_ID_BYTES_MAX;
use crate::ledger::{Status, TransferKind, WalletId};
use crate::services::Who;
use crate::services::standing::Act;
use crate::store::bank_moves::Kind as BankMoveKind;
use crate::store::money_requests::State as RequestState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PROBLEM_JSON: &str = "application/problem+json";

pub(super) async fn answer(connection: &Arc<Connection>, request: Request<Incoming>) -> Response<Outgoing> {
    let started = Instant::now();
    let underway = connection.begin(&request);
    let meters = connection.state.meters();
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.headers);
    let found = route::find(&parts.method, parts.uri.path());
    let address = connection.gate.proxies.client(connection.peer, &parts.headers);
    let span = span(&parts, address, &request_id);
    let request = Asked { connection, found, parts: &parts, address, started, standing: Mutex::default() };
    let handled = pin!(handle(&request, body));
    let handled = pin!(caught(handled).instrument(span));
    let handled = within(connection.limits.request, connection.request_timer(), handled).await;
    let result = handled.unwrap_or_else(|| {
        let detail = "There was no answer in time. It may still be carried out: repeat it with the same key.";
        Err(Problem::new(Code::AnswerTimeout, detail))
    });
    // Many reads may have begun while there was room. What was done is told all the same.
    let result = result.and_then(|answer| match parts.method {
        Method::GET if answer.body.len() > STEP_BYTES => connection.check_room(false).map(|()| answer),
        _ => Ok(answer),
    });
    let mut stream = None;
    let mut response = match result {
        Ok(mut answer) => {
            stream = answer.stream.take();
            from_answer(answer, request_id)
        }
        Err(problem) => {
            meters.problem(problem.code);
            from_problem(&problem, request_id)
        }
    };
    if let Some(standing) = *request.standing.lock().unwrap_or_else(PoisonError::into_inner) {
        connection.gate.rates.write(standing, response.headers_mut());
    }
    let response = response.map(|body| match stream {
        Some(reader) => Outgoing::events(connection, reader),
        None => Outgoing::Whole(Full::new(connection.answers(body))),
    });
    let route = if let Found::Route(route, _) = found { Some(route) } else { None };
    meters.answered(route, response.status(), started.elapsed());
    underway.end_answered();
    response
}

/// A request before anything is known of its caller.
struct Asked<'a> {
    connection: &'a Connection,
    found: Found<'a>,
    parts: &'a Parts,
    address: IpAddr,
    started: Instant,
    /// For the answer, whatever it will be.
    standing: Mutex<Option<Standing>>,
}

impl Asked<'_> {
    fn note(&self, standing: Option<Standing>) -> Result<(), Problem> {
        let Some(standing) = standing else { return Ok(()) };
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
        standing.check()
    }

    fn take_address(&self, policy: Policy) -> Result<(), Problem> {
        self.note(self.connection.gate.rates.take_address(policy, self.address, self.started))
    }

    fn take_own(&self, let_in: &LetIn, cost: u64) -> Result<(), Problem> {
        let Some((policy, bucket)) = &let_in.bucket else { return Ok(()) };
        self.note(self.connection.gate.rates.take(*policy, bucket, cost, self.started))
    }

    /// Lets the caller in, if he may come in now. Whoever has good credentials is not held back by what others do behind
    /// the same address.
    fn enter(&self) -> Result<Option<Arc<LetIn>>, Problem> {
        let rates = &self.connection.gate.rates;
        let used = if let Found::Route(route, _) = self.found { rates.use_of(route) } else { Use::Normal };
        match used {
            // Whoever has no key learns nothing, not even which paths there are.
            _ if !route::is_versioned(self.parts.uri.path()) => return Ok(None),
            Use::Free => return Ok(None),
            Use::SignIn => return self.take_address(Policy::SignIn).map(|()| None),
            Use::Refresh => return self.take_address(Policy::Refresh).map(|()| None),
            Use::Normal | Use::Sensitive => {}
        }
        let connection = self.connection;
        let let_in = match door::enter(&connection.state, rates, &self.parts.headers, &connection.accepted) {
            Ok(let_in) => let_in,
            Err(problem) if problem.code == Code::Unauthorized => {
                self.take_address(Policy::Refused)?;
                return Err(problem);
            }
            Err(problem) => return Err(problem),
        };
        // A merchant's server does often what a person does rarely.
        let is_person = matches!(let_in.principal.who, Who::Person { .. });
        if used == Use::Sensitive && is_person {
            self.note(rates.take_sensitive(&let_in.principal, self.started))?;
        } else {
            self.take_own(&let_in, 1)?;
        }
        Ok(Some(let_in))
    }
}

async fn handle(request: &Asked<'_>, body: Incoming) -> Result<Answer, Problem> {
    let Asked { connection, found, parts, .. } = *request;
    check_headers(connection, parts)?;
    let is_for_operators = matches!(found, Found::Route(Route::Health | Route::Ready | Route::Metrics, _));
    connection.check_room(is_for_operators)?;
    let let_in = request.enter()?;
    let principal = let_in.as_ref().map_or(connection.state.nobody(), |let_in| &*let_in.principal);
    let (route, id) = match found {
        Found::Route(route, id) => (route, id),
        Found::OtherMethod { get, post } => return Err(other_method(get, post)),
        Found::Nothing => return Err(Problem::new(Code::NotFound, "There is nothing at this path.")),
    };
    if !route::is_versioned(route.path()) {
        return ops::answer(route, &connection.state);
    }
    let access = route.access();
    if !access.admits(principal) {
        return Err(Problem::new(Code::Forbidden, "This caller may not do this; /docs says who may."));
    }
    let limits = &connection.limits;
    // Held to the end of the request, as the body is.
    let mut share = body::Share::new(connection.state.bodies_bytes());
    let body = if route.takes_body() {
        let is_bulk = route == Route::TransfersBulk;
        let bytes_max = if is_bulk { limits.bulk_body_bytes_max } else { limits.body_bytes_max };
        body::read(&parts.headers, body, bytes_max, limits, &mut share).await.map_err(|unread| match unread {
            body::Unread::Refused(problem) => problem,
            body::Unread::BrokenOff => {
                connection.note_cancelled();
                Problem::new(Code::InvalidRequest, "The body broke off.")
            }
        })?
    } else {
        Bytes::new()
    };
    if let (Some(let_in), cost @ 1..) = (&let_in, rates::cost_of_body(body.len())) {
        request.take_own(let_in, cost)?;
    }
    let engine = connection.state.engine()?;
    let call = Call {
        engine,
        services: connection.state.services(),
        principal,
        id,
        query: parts.uri.query(),
        headers: &parts.headers,
        address: request.address,
        body,
    };
    if access.own == Own::Wallet {
        call.must_own(WalletId(call.path_id()?)).await?;
    }
    dispatch(route, &call).await
}

async fn dispatch(route: Route, call: &Call<'_>) -> Result<Answer, Problem> {
    if !route.takes_query() {
        no_query(call)?;
    }
    match route {
        Route::Transfer => transfers::transfer(call).await,
        Route::TransfersBulk => bulk::transfers(call).await,
        Route::TransferRead => transfers::get(call).await,
        Route::Deposit => transfers::fund(call, TransferKind::Deposit).await,
        Route::Withdrawal => transfers::fund(call, TransferKind::Withdrawal).await,
        Route::WalletOpen => wallets::open(call).await,
        Route::WalletList => wallets::list(call).await,
        Route::WalletRead => wallets::get(call).await,
        Route::WalletBalance => wallets::balance(call).await,
        Route::WalletEntries => wallets::entries(call).await,
        Route::WalletFreeze => wallets::set_status(call, Status::Frozen).await,
        Route::WalletUnfreeze => wallets::set_status(call, Status::Active).await,
        Route::WalletClose => wallets::set_status(call, Status::Closed).await,
        Route::HoldAuthorize => holds::authorize(call).await,
        Route::HoldRead => holds::get(call).await,
        Route::HoldCapture => holds::capture(call).await,
        Route::HoldVoid => holds::void(call).await,
        Route::Me => me::show(call).await,
        Route::Events => events::open(call).await,
        Route::NotificationsRead => notifications::preferences(call).await,
        Route::NotificationsChoose => notifications::choose(call).await,
        Route::DeviceList => notifications::devices(call).await,
        Route::DeviceAdd => notifications::add_device(call).await,
        Route::DeviceRemove => notifications::remove_device(call).await,
        Route::DeadLetterList => notifications::dead_letters(call).await,
        Route::DeadLetterSend => notifications::send_again(call).await,
        Route::DeadLetterDiscard => notifications::discard(call).await,
        Route::WalletLimits => spending::get(call).await,
        Route::WalletLimit => spending::limit(call).await,
        Route::CodeSend => sign_in::send_code(call).await,
        Route::CodeVerify => sign_in::verify(call).await,
        Route::PasswordSignIn => sign_in::password(call).await,
        Route::SecondFactor => sign_in::second_factor(call).await,
        Route::Refresh => sign_in::refresh(call).await,
        Route::LogOut => credentials::log_out(call).await,
        Route::LogOutEverywhere => credentials::log_out_everywhere(call).await,
        Route::SessionList => credentials::list_sessions(call).await,
        Route::SessionEnd => credentials::end_session(call).await,
        Route::CredentialsRead => credentials::show(call).await,
        Route::PasswordChange => credentials::change_password(call).await,
        Route::TotpBegin => credentials::begin_totp(call).await,
        Route::TotpConfirm => credentials::confirm_totp(call).await,
        Route::TotpRemove => credentials::remove_totp(call).await,
        Route::RecoveryCodesRenew => credentials::renew_recovery_codes(call).await,
        Route::ConfirmationAsk => credentials::ask_confirmation(call).await,
        Route::ConfirmationVerify => credentials::verify_confirmation(call).await,
        Route::MeChange => me::change(call).await,
        Route::MeHandle => me::set_handle(call).await,
        Route::MeAddressAdd => me::add_address(call).await,
        Route::MeAddressRemove => me::remove_address(call).await,
        Route::MeClose => me::close(call).await,
        Route::AccountOpen => accounts::open(call).await,
        Route::AccountList => accounts::list(call).await,
        Route::AccountRead => accounts::get(call).await,
        Route::AccountApprove => accounts::act(call, Act::Approve).await,
        Route::AccountBlock => accounts::act(call, Act::Block).await,
        Route::AccountUnblock => accounts::act(call, Act::Unblock).await,
        Route::AccountClose => accounts::act(call, Act::Close).await,
        Route::AccountRole => accounts::set_role(call).await,
        Route::ApiKeyCreate => api_keys::create(call).await,
        Route::ApiKeyList => api_keys::list(call).await,
        Route::ApiKeyRotate => api_keys::rotate(call).await,
        Route::ApiKeyRevoke => api_keys::revoke(call).await,
        Route::PromotionCreate => promotions::create(call).await,
        Route::PromotionList => promotions::list(call).await,
        Route::PromotionEnd => promotions::end(call).await,
        Route::AdjustmentAsk => adjustments::ask(call).await,
        Route::AdjustmentList => adjustments::list(call).await,
        Route::AdjustmentRead => adjustments::get(call).await,
        Route::AdjustmentApprove => adjustments::decide(call, true).await,
        Route::AdjustmentReject => adjustments::decide(call, false).await,
        Route::AuditList => audit::list(call).await,
        Route::AuditVerify => audit::verify(call).await,
        Route::KeyList => keys::list(call).await,
        Route::KeyRotate => keys::rotate(call).await,
        Route::MyBalance => my_wallet::balance(call).await,
        Route::MyWallets => my_wallet::wallets(call).await,
        Route::MyHistory => my_wallet::history(call).await,
        Route::MyStatement => my_wallet::statement(call).await,
        Route::MyLimits => spending::show_own(call).await,
        Route::MyLimitsChange => spending::change_own(call).await,
        Route::Pay => my_payments::pay(call).await,
        Route::RequestAsk => my_requests::ask(call).await,
        Route::RequestList => my_requests::list(call).await,
        Route::RequestRead => my_requests::show(call).await,
        Route::RequestPay => my_requests::pay(call).await,
        Route::RequestDecline => my_requests::close(call, RequestState::Declined).await,
        Route::RequestCancel => my_requests::close(call, RequestState::Cancelled).await,
        Route::TopUpBegin => my_bank::begin(call, BankMoveKind::TopUp).await,
        Route::TopUpList => my_bank::list(call, BankMoveKind::TopUp).await,
        Route::TopUpRead => my_bank::show(call, BankMoveKind::TopUp).await,
        Route::PayOutBegin => my_bank::begin(call, BankMoveKind::Withdrawal).await,
        Route::PayOutList => my_bank::list(call, BankMoveKind::Withdrawal).await,
        Route::PayOutRead => my_bank::show(call, BankMoveKind::Withdrawal).await,
        Route::LedgerSummary => ledger::summary(call).await,
        Route::SnapshotTake => ledger::snapshot(call).await,
        Route::Health | Route::Ready | Route::Metrics | Route::OpenApi | Route::Docs => {
            Err(Problem::new(Code::Internal, "A route without a key came to the routes with one."))
        }
    }
}

fn no_query(call: &Call<'_>) -> Result<(), Problem> {
    match call.query {
        None => Ok(()),
        Some(_) => call.query(&[]).map(|_| ()),
    }
}

fn check_headers(connection: &Connection, parts: &Parts) -> Result<(), Problem> {
    let limits = &connection.limits;
    let target_bytes = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let header_bytes = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    if parts.headers.len() > limits.header_count_max || target_bytes + header_bytes > limits.header_bytes_max {
        let (count, bytes) = (limits.header_count_max, limits.header_bytes_max);
        let detail = format!("A request has at most {count} headers, and {bytes} bytes of them with its target.");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

fn other_method(get: bool, post: bool) -> Problem {
    let allow = match (get, post) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        (false, _) => "POST",
    };
    let problem = Problem::new(Code::MethodNotAllowed, format!("This path has {allow}."));
    Problem { allow: Some(allow), ..problem }
}

/// The client's own id if it is fit to be sent back and logged, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fits = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(fits).cloned().unwrap_or_else(|| {
        let mut buffer = Uuid::encode_buffer();
        // Like `now_v7`, but for a lock that all threads would meet at.
        let uuid = uuid::Builder::from_unix_timestamp_millis(now_micros() / 1000, &rand::random()).into_uuid();
        let text = uuid.as_hyphenated().encode_lower(&mut buffer);
        HeaderValue::from_str(text).expect("a UUID is visible ASCII")
    })
}

/// Nothing is made where nobody listens at this level.
fn span(parts: &Parts, address: IpAddr, request_id: &HeaderValue) -> tracing::Span {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return tracing::Span::none();
    }
    let trace_id = parts.headers.get("traceparent").and_then(|value| trace_id(value.to_str().ok()?));
    let (request_id, path) = (request_id.to_str().unwrap_or_default(), parts.uri.path());
    tracing::debug_span!("request", method = %parts.method, path, %address, request_id, trace_id)
}

/// The trace-id of a valid W3C traceparent: version, trace-id, parent-id and flags in lower-case hex.
fn trace_id(text: &str) -> Option<&str> {
    let mut fields = text.split('-');
    let mut hex = |length: usize| {
        let is_hex =
            |field: &&str| field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fields.next().filter(is_hex)
    };
    let (version, trace_id, parent_id, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    // Later versions may append fields; version 00 has four.
    let is_whole = version != "ff" && (version != "00" || fields.next().is_none());
    (is_whole && !is_zero(trace_id) && !is_zero(parent_id)).then_some(trace_id)
}

fn from_answer(answer: Answer, request_id: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(REQUEST_ID, request_id);
    if answer.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if answer.content_type == events::EVENT_STREAM {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if answer.content_type == ops::HTML {
        headers.insert("content-security-policy", HeaderValue::from_static(ops::DOCS_POLICY));
    }
    response
}

fn from_problem(problem: &Problem, request_id: HeaderValue) -> Response<Bytes> {
    let body = problem.render(request_id.to_str().unwrap_or_default());
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = problem.code.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(REQUEST_ID, request_id);
    if problem.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = problem.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if problem.code.status() == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A handler that panics answers 500; the connection and its other requests go on. The engine
/// stops the process by itself where going on would be wrong.
async fn caught(mut handled: impl Future<Output = Result<Answer, Problem>> + Unpin) -> Result<Answer, Problem> {
    std::future::poll_fn(|cx| {
        let handled = std::pin::Pin::new(&mut handled);
        std::panic::catch_unwind(AssertUnwindSafe(|| handled.poll(cx))).unwrap_or_else(|_| {
            metrics::counter!("florin_http_panics_total").increment(1);
            tracing::error!("a handler panicked");
            Poll::Ready(Err(Problem::new(Code::Internal, "The server made a mistake; its log says which.")))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id(&format!("00-{id}-00f067aa0ba902b7-01")), Some(id));
        assert_eq!(trace_id(&format!("01-{id}-00f067aa0ba902b7-01-more")), Some(id));
        for text in [
            String::new(),
            format!("00-{id}-00f067aa0ba902b7"),
            format!("00-{id}-00f067aa0ba902b7-01-more"),
            format!("ff-{id}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{id}-0000000000000000-01"),
        ] {
            assert_eq!(trace_id(&text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let broken = pin!(async { panic!("a test's panic") });
        assert_eq!(caught(broken).await.unwrap_err().code, Code::Internal);
    }
}
