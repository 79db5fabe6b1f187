//! A bank that speaks HTTP and JSON as docs/people.md describes it: `POST /v1/collections` and `/v1/payouts` with the order's
//! id as Idempotency-Key, `GET` of either with the id.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::bank::{Asking, Bank, BankError, Order, Standing, Way};
use crate::ledger::money::format_minor;

const CONNECT_MAX: Duration = Duration::from_secs(3);
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// An answer has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const TEXT_CHARACTERS_MAX: usize = 200;

#[derive(Debug)]
pub struct BankOverHttp {
    client: Client,
    url: Url,
    key: SecretString,
}

#[derive(Debug, thiserror::Error)]
pub enum BankAddressError {
    #[error("the bank's address is not one: https://bank.example is")]
    NotOne,
    #[error("the bank is spoken to by https, or by http on this machine only: its key would be read by others")]
    Open,
    #[error("no client for the bank can be made")]
    Client(#[source] reqwest::Error),
}

#[derive(Serialize)]
struct Asked<'a> {
    amount: String,
    currency: &'static str,
    account: &'a str,
    reference: &'a str,
}

#[derive(Deserialize)]
struct Told {
    id: Uuid,
    state: String,
    #[serde(default)]
    reference: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl BankOverHttp {
    pub fn new(url: &str, key: SecretString) -> Result<BankOverHttp, BankAddressError> {
        let mut url = Url::parse(url).map_err(|_| BankAddressError::NotOne)?;
        let host = url.host_str().ok_or(BankAddressError::NotOne)?;
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            "http" => return Err(BankAddressError::Open),
            _ => return Err(BankAddressError::NotOne),
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let client = Client::builder().connect_timeout(CONNECT_MAX).timeout(ANSWER_MAX);
        // A bank that sends us elsewhere would have the key sent there.
        let client = client.redirect(redirect::Policy::none()).no_proxy().build().map_err(BankAddressError::Client)?;
        Ok(BankOverHttp { client, url, key })
    }

    fn path(&self, way: Way, id: Option<Uuid>) -> Url {
        let name = match way {
            Way::Collect => "collections",
            Way::PayOut => "payouts",
        };
        let path = id.map_or_else(|| format!("v1/{name}"), |id| format!("v1/{name}/{id}"));
        self.url.join(&path).expect("a path of letters and digits fits behind an address")
    }

    async fn ask(&self, order: Uuid, request: RequestBuilder) -> Result<Option<Standing>, BankError> {
        let unreachable = |error: reqwest::Error| BankError::Unreachable(Box::new(error.without_url()));
        let mut response = request.bearer_auth(self.key.expose_secret()).send().await.map_err(unreachable)?;
        let status = response.status();
        if status != StatusCode::OK && status != StatusCode::ACCEPTED && status != StatusCode::NOT_FOUND {
            return Err(BankError::Status { status: status.as_u16() });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(BankError::Strange { what: "too long" });
            }
            bytes.extend_from_slice(&chunk);
        }
        // A page that says 404 is not a bank that says that it does not know the order.
        let told = serde_json::from_slice::<Told>(&bytes);
        let told = told.map_err(|error| match status {
            StatusCode::NOT_FOUND => BankError::Status { status: status.as_u16() },
            _ => BankError::Unreadable(error),
        })?;
        if told.id != order {
            return Err(BankError::Strange { what: "about another order" });
        }
        let short = |text: Option<String>| text.unwrap_or_default().chars().take(TEXT_CHARACTERS_MAX).collect();
        match (status, told.state.as_str()) {
            (StatusCode::NOT_FOUND, "unknown") => Ok(None),
            (StatusCode::NOT_FOUND, _) => Err(BankError::Status { status: status.as_u16() }),
            (_, "pending") => Ok(Some(Standing::Pending)),
            (_, "settled") => Ok(Some(Standing::Settled { reference: short(told.reference) })),
            (_, "failed") => Ok(Some(Standing::Failed { reason: short(told.reason) })),
            _ => Err(BankError::Strange { what: "of a state that there is not" }),
        }
    }
}

impl Bank for BankOverHttp {
    fn carry_out<'a>(&'a self, order: &'a Order) -> Asking<'a> {
        Box::pin(async move {
            let body = Asked {
                amount: format_minor(order.amount.minor(), order.currency),
                currency: order.currency.code(),
                account: order.bank_account.expose_secret(),
                reference: &order.reference,
            };
            let request = self.client.post(self.path(order.way, None));
            let request = request.header("idempotency-key", order.id.to_string()).json(&body);
            let standing = self.ask(order.id, request).await?;
            standing.ok_or(BankError::Status { status: StatusCode::NOT_FOUND.as_u16() })
        })
    }

    fn status<'a>(
        &'a self,
        order: &'a Order,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Standing>, BankError>> + Send + 'a>> {
        Box::pin(async move { self.ask(order.id, self.client.get(self.path(order.way, Some(order.id)))).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_does_not_go_over_an_open_line() {
        let bank = |url: &str| BankOverHttp::new(url, SecretString::from("k"));
        for url in ["https://bank.example", "http://127.0.0.1:8090", "http://[::1]:1/x", "http://localhost:8090/"] {
            assert!(bank(url).is_ok(), "{url}");
        }
        assert!(matches!(bank("http://bank.example"), Err(BankAddressError::Open)));
        for url in ["", "bank.example", "ftp://127.0.0.1", "file:///x"] {
            assert!(matches!(bank(url), Err(BankAddressError::NotOne)), "{url}");
        }
        let path = bank("https://bank.example/api").unwrap().path(Way::PayOut, Some(Uuid::nil()));
        assert_eq!(path.as_str(), "https://bank.example/api/v1/payouts/00000000-0000-0000-0000-000000000000");
    }
}
