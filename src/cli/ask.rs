//! One request to a running server, over plain HTTP/1.1: enough for the command line's own questions, and no more.
//! TLS is not spoken here.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::failure::Failure;

/// A server that is silent for so long is not going to answer.
const SILENCE_MAX: Duration = Duration::from_secs(600);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The key to a running server.
#[derive(Args, Clone, Debug)]
pub struct KeyArgs {
    /// A file whose first line is the API key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The API key
    #[arg(long, env = "FLORIN_API_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
}

impl KeyArgs {
    pub fn read(&self) -> Result<SecretString, Failure> {
        let key = match (&self.key_file, &self.key) {
            (Some(path), _) => std::fs::read_to_string(path).map_err(Failure::file("read the key file", path))?,
            (None, Some(key)) => key.clone(),
            (None, None) => {
                let what =
                    "no API key: give --key-file, or set FLORIN_API_KEY (the server showed it at its first start)";
                return Err(Failure::Usage(what.to_owned()));
            }
        };
        let key = key.lines().next().unwrap_or_default().trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::Usage("the API key is empty, or has characters that no key has".to_owned()));
        }
        Ok(SecretString::from(key.to_owned()))
    }
}

/// Asks, and gives the JSON of a good answer; a problem document becomes a failure in its own words.
pub fn ask(verb: &str, url: &str, path: &str, key: &SecretString) -> Result<Value, Failure> {
    let (status, body) = exchange(verb, url, path, Some(key), "")?;
    let answer: Value = serde_json::from_str(&body).map_err(|_| strange(url))?;
    if status < 300 {
        return Ok(answer);
    }
    let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    Err(Failure::Usage(format!("the server said no: {} ({status} {})", word("detail"), word("code"))))
}

/// Status and body of the answer, whatever it is. A body that is sent is JSON.
pub fn exchange(
    verb: &str,
    url: &str,
    path: &str,
    key: Option<&SecretString>,
    body: &str,
) -> Result<(u16, String), Failure> {
    exchange_once(verb, url, path, key, None, body)
}

/// The same, under an idempotency key.
pub fn exchange_once(
    verb: &str,
    url: &str,
    path: &str,
    key: Option<&SecretString>,
    once: Option<&str>,
    body: &str,
) -> Result<(u16, String), Failure> {
    let authority = authority(url)?;
    let failed = |source| Failure::Ask { url: url.to_owned(), source };
    let mut stream = TcpStream::connect(authority).map_err(failed)?;
    stream.set_read_timeout(Some(SILENCE_MAX)).map_err(failed)?;
    let key = key.map_or_else(String::new, |key| format!("Authorization: Bearer {}\r\n", key.expose_secret()));
    let once = once.map_or_else(String::new, |once| format!("Idempotency-Key: {once}\r\n"));
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {authority}\r\n{key}{once}{kind}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;

    let text = String::from_utf8(bytes).map_err(|_| strange(url))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| strange(url))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| strange(url))?;
    Ok((status, body.to_owned()))
}

fn strange(url: &str) -> Failure {
    let source = io::Error::new(io::ErrorKind::InvalidData, "the answer is not one of a Florin server");
    Failure::Ask { url: url.to_owned(), source }
}

fn authority(url: &str) -> Result<&str, Failure> {
    let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match authority {
        Some(authority) if !authority.contains(['/', '?', '@', ' ']) && authority.contains(':') => Ok(authority),
        _ => Err(Failure::Usage(format!(
            "{url} is no address for this: give http://host:port, such as http://127.0.0.1:8080 (https is not spoken here)"
        ))),
    }
}
