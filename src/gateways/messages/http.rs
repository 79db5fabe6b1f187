//! SMS and push through a gateway over HTTP. The request is ours, so that a small program can stand between it and any provider:
//!
//! `POST <url>` with `Authorization: Bearer <key>`, `Idempotency-Key: <id>` and
//! `{"id", "channel", "to", "title", "text", "kind", "locale"}`; 2xx is taken (`{"id"}` is kept), 408, 429 and 5xx are tried again,
//! any other 4xx is final.

use std::time::Duration;

use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{Connector, Message, SendError, Sending, story, told};

const TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer, which is an id or a short text.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

pub struct HttpGateway {
    client: reqwest::Client,
    url: Url,
    key: Option<SecretString>,
    channel: &'static str,
}

/// Why a gateway cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum HttpGatewayError {
    #[error("the gateway's address is not one: https://host/path is")]
    Url,
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

impl HttpGateway {
    pub fn new(url: &str, key: Option<SecretString>, channel: &'static str) -> Result<HttpGateway, HttpGatewayError> {
        let url = Url::parse(url).map_err(|_| HttpGatewayError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpGatewayError::Url);
        }
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // The key is for this gateway and for nobody that it points to.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(HttpGateway { client: client.map_err(HttpGatewayError::Client)?, url, key, channel })
    }
}

impl Connector for HttpGateway {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let body = json!({
                "id": message.id, "channel": self.channel, "to": message.to, "title": message.subject,
                "text": message.text, "kind": message.kind, "locale": message.locale,
            });
            let mut request = self.client.post(self.url.clone()).header("idempotency-key", message.id.to_string());
            if let Some(key) = &self.key {
                request = request.bearer_auth(key.expose_secret());
            }
            let failed = |error: reqwest::Error| SendError::Failed(story(&error.without_url(), &message.to));
            let mut answer = request.json(&body).send().await.map_err(failed)?;
            let status = answer.status();
            let mut bytes = Vec::new();
            while let Some(piece) = answer.chunk().await.map_err(failed)? {
                bytes.extend_from_slice(&piece);
                if bytes.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
            if status.is_success() {
                let id = serde_json::from_slice::<Value>(&bytes).ok();
                return Ok(id.and_then(|body| body["id"].as_str().map(|id| told(id, &message.to))));
            }
            let said = format!("{status}: {}", told(&String::from_utf8_lossy(&bytes), &message.to));
            let is_final = status.is_client_error()
                && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
            Err(if is_final { SendError::Refused(said) } else { SendError::Failed(said) })
        })
    }
}

impl std::fmt::Debug for HttpGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpGateway").field("channel", &self.channel).finish_non_exhaustive()
    }
}
