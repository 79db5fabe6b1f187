//! Where the server is and who asks: the URL, the API key, and the head that every request begins with.
//! Nothing here opens a connection.

use std::path::Path;

/// The address of a server and the bytes that do not change from one request to the next.
#[derive(Clone)]
pub struct Endpoint {
    /// `host:port`, as a socket wants it.
    pub address: String,
    /// `Host` and `Authorization`, each with its line end.
    headers: Vec<u8>,
}

impl std::fmt::Debug for Endpoint {
    /// The headers hold the key, so they are left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What is wrong with the address or the key, each with what would be right.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error(
        "https:// is not spoken here: give an http:// address, such as http://127.0.0.1:8080, or put a proxy that ends TLS before the server"
    )]
    Https,
    #[error("'{0}' is not an address: give http://host:port, such as http://127.0.0.1:8080")]
    NotHttp(String),
    #[error("no API key: give --key, --key-file, or set FLORIN_API_KEY (the server shows its key at its first start)")]
    NoKey,
    #[error("the API key may hold visible ASCII characters only")]
    BadKey,
    #[error("cannot read the key file {path}")]
    KeyFile { path: String, source: std::io::Error },
}

impl Endpoint {
    pub fn new(url: &str, key: &str) -> Result<Self, EndpointError> {
        if url.starts_with("https://") {
            return Err(EndpointError::Https);
        }
        let wrong = || EndpointError::NotHttp(url.to_owned());
        let authority = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
            return Err(wrong());
        }
        let address = match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.ends_with(']') => {
                port.parse::<u16>().map_err(|_| wrong())?;
                authority.to_owned()
            }
            _ => format!("{authority}:80"),
        };
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EndpointError::BadKey);
        }
        let headers = format!("Host: {authority}\r\nAuthorization: Bearer {key}\r\n").into_bytes();
        Ok(Self { address, headers })
    }

    /// The bytes of a request up to (not including) what changes: `method path HTTP/1.1`, the
    /// common headers, and `more` (whole header lines).
    pub fn head(&self, method: &str, path: &str, more: &str) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        head.extend_from_slice(&self.headers);
        head.extend_from_slice(more.as_bytes());
        head
    }

    /// Appends a whole GET.
    pub fn get(&self, path: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET ");
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(&self.headers);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a whole POST of JSON, with an idempotency key where there is one.
    pub fn post(&self, path: &str, key: Option<&str>, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"POST ");
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(&self.headers);
        if let Some(key) = key {
            out.extend_from_slice(b"Idempotency-Key: ");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Content-Type: application/json\r\nContent-Length: ");
        out.extend_from_slice(body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }
}

/// The key from the flag or the environment, or else from the file's first line.
pub fn read_key(key: Option<&str>, file: Option<&Path>) -> Result<String, EndpointError> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|source| EndpointError::KeyFile { path: path.display().to_string(), source })?;
        return Ok(text.lines().next().unwrap_or_default().trim().to_owned());
    }
    match key {
        Some(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => Err(EndpointError::NoKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |url: &str| Endpoint::new(url, "k").map(|endpoint| endpoint.address);
        assert_eq!(check("http://127.0.0.1:8080/").unwrap(), "127.0.0.1:8080");
        assert_eq!(check("http://florin.test").unwrap(), "florin.test:80");
        assert_eq!(check("http://[::1]:9").unwrap(), "[::1]:9");
        assert!(matches!(check("https://x"), Err(EndpointError::Https)));
        for wrong in ["localhost:1", "http://", "http://a/b", "http://a:99999"] {
            assert!(matches!(check(wrong), Err(EndpointError::NotHttp(_))), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let endpoint = Endpoint::new("http://a:1", "s3cret").unwrap();
        assert!(!format!("{endpoint:?}").contains("s3cret"));
    }
}
