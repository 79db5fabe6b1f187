//! The bank over HTTP: `POST /v1/collections`, `POST /v1/payouts` (Idempotency-Key is the order's id), `GET` of either with
//! the id behind it, and `GET /books`.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::books::{Asked, Books, BooksError, Order, Way};
use super::faults::Faults;

const BODY_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the bank cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Books(#[from] BooksError),
}

/// A bank that is open. It closes when this is dropped.
pub struct Bank {
    inside: Arc<Inside>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

struct Inside {
    key: String,
    books: Mutex<Books>,
    faults: Mutex<Faults>,
    requests: Mutex<HashMap<Uuid, u64>>,
}

/// An answer that is lost on its way: the connection is closed instead.
#[derive(Debug, thiserror::Error)]
#[error("the answer was lost, as asked for")]
struct Lost;

impl Bank {
    pub async fn open(address: SocketAddr, books: &Path, key: &str, faults: Faults) -> Result<Bank, ServeError> {
        let listening = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let inside = Arc::new(Inside {
            key: format!("Bearer {key}"),
            books: Mutex::new(Books::open(books)?),
            faults: Mutex::new(faults),
            requests: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&inside)));
        Ok(Bank { inside, address, serving })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Misbehaves in another way from now on.
    pub fn set_faults(&self, faults: Faults) {
        *locked(&self.inside.faults) = faults;
    }

    /// What `GET /books` answers.
    pub fn books(&self) -> Value {
        locked(&self.inside.books).report()
    }

    /// How many requests came about this order.
    pub fn requests(&self, order: Uuid) -> u64 {
        locked(&self.inside.requests).get(&order).copied().unwrap_or(0)
    }

    /// Until it is ended from outside.
    pub async fn closed(mut self) {
        drop((&mut self.serving).await);
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, inside: Arc<Inside>) {
    // Connections end with the bank.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let inside = Arc::clone(&inside);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let inside = Arc::clone(&inside);
                async move { inside.answer(request).await }
            });
            // A client that goes away, or an answer that was to be lost.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

impl Inside {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
        let is_known = request.headers().get(AUTHORIZATION).is_some_and(|sent| sent.as_bytes() == self.key.as_bytes());
        if !is_known {
            return Ok(told(StatusCode::UNAUTHORIZED, &json!({ "error": "this is not a key of this bank" })));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut parts = path.trim_start_matches('/').split('/');
        let place = [parts.next(), parts.next(), parts.next(), parts.next()];
        match (method, place) {
            (Method::GET, [Some("books"), None, ..]) => Ok(told(StatusCode::OK, &locked(&self.books).report())),
            (Method::POST, [Some("v1"), Some(way), None, _]) => match way_of(way) {
                Some(way) => self.take(way, request).await,
                None => Ok(nothing()),
            },
            (Method::GET, [Some("v1"), Some(way), Some(id), None]) => match (way_of(way), Uuid::try_parse(id)) {
                (Some(way), Ok(id)) => self.find(way, id),
                _ => Ok(nothing()),
            },
            _ => Ok(nothing()),
        }
    }

    async fn take(&self, way: Way, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
        let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
        let Some(id) = key.and_then(|key| Uuid::try_parse(key).ok()) else {
            return Ok(told(StatusCode::BAD_REQUEST, &json!({ "error": "Idempotency-Key is the order's UUID" })));
        };
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return Ok(told(StatusCode::BAD_REQUEST, &json!({ "error": "the body broke off, or is too long" })));
        };
        let asked: Asked = match serde_json::from_slice(&body.to_bytes()) {
            Ok(asked) => asked,
            Err(error) => return Ok(told(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() }))),
        };
        let (faults, nth) = self.count(id);
        if faults.refuses(id, nth) {
            return Ok(told(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "busy, as asked for" })));
        }
        let times = if faults.doubles(id, nth) { 2 } else { 1 };
        let mut response = nothing();
        for _ in 0..times {
            response = match locked(&self.books).take(id, way, &asked, &faults) {
                Ok(order) => standing(order),
                Err(BooksError::Other) => {
                    told(StatusCode::CONFLICT, &json!({ "error": BooksError::Other.to_string() }))
                }
                Err(error) => told(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() })),
            };
        }
        if faults.loses(id, nth) { Err(Lost) } else { Ok(response) }
    }

    fn find(&self, way: Way, id: Uuid) -> Result<Response<Full<Bytes>>, Lost> {
        let (faults, nth) = self.count(id);
        let unknown = || told(StatusCode::NOT_FOUND, &json!({ "id": id, "state": "unknown" }));
        let response = locked(&self.books).find(id, way).map_or_else(unknown, standing);
        if faults.loses(id, nth) { Err(Lost) } else { Ok(response) }
    }

    fn count(&self, id: Uuid) -> (Faults, u64) {
        let mut requests = locked(&self.requests);
        let nth = requests.entry(id).or_default();
        *nth += 1;
        (*locked(&self.faults), *nth)
    }
}

fn way_of(name: &str) -> Option<Way> {
    match name {
        "collections" => Some(Way::Collection),
        "payouts" => Some(Way::Payout),
        _ => None,
    }
}

fn standing(order: &Order) -> Response<Full<Bytes>> {
    let (state, reason) = order.state().told();
    let reference = format!("BANK-{}", order.id.simple());
    told(StatusCode::OK, &json!({ "id": order.id, "state": state, "reason": reason, "reference": reference }))
}

fn nothing() -> Response<Full<Bytes>> {
    told(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing at this path" }))
}

fn told(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn locked<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
