//! What the HTTP tests share: a server with an engine on a temporary folder, and a client that
//! writes and reads HTTP/1.1 by hand, so that the bytes are seen as they are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::SocketAddr;

use florin::engine::{Engine, EngineConfig};
use florin::http::{OperatorKeys, Server, ServerConfig, State};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Api {
    pub address: SocketAddr,
    pub key: String,
    pub state: State,
    engine: Option<Engine>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    folder: TempDir,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub type Headers<'h> = &'h [(&'h str, &'h str)];

impl Api {
    /// A server whose engine has not recovered yet.
    pub async fn listening(config: ServerConfig) -> Api {
        Api::listening_on(tempfile::tempdir().unwrap(), config).await
    }

    /// Where there is a key already, whoever asks knows it.
    async fn listening_on(folder: TempDir, config: ServerConfig) -> Api {
        let (keys, key) = OperatorKeys::load_or_create(folder.path(), None).unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
        let (address, state) = (server.local_addr(), State::new(keys));
        let (stop, stopped) = oneshot::channel();
        let serving = state.clone();
        let served = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            server.serve(serving, stopped).await;
        });
        let key = key.map(|key| key.expose_secret().to_owned()).unwrap_or_default();
        Api { address, key, state, engine: None, stop: Some(stop), served, folder }
    }

    pub async fn start() -> Api {
        let mut api = Api::listening(ServerConfig::default()).await;
        api.recover().await;
        api
    }

    pub async fn recover(&mut self) {
        self.recover_with(|_| {}).await;
    }

    pub async fn recover_with(&mut self, change: impl FnOnce(&mut EngineConfig)) {
        let engine = self.start_engine(change).await;
        self.state.ready(engine);
    }

    /// Recovers, and leaves it to the caller to say that it is ready.
    pub async fn start_engine(&mut self, change: impl FnOnce(&mut EngineConfig)) -> Engine {
        let mut config = EngineConfig::new(self.folder.path());
        config.segment_bytes = wal::SEGMENT_BYTES_MIN;
        config.snapshot_period = None;
        change(&mut config);
        let engine = Engine::start(config, |_| {}).await.unwrap();
        self.engine = Some(engine.clone());
        engine
    }

    /// Ends everything and starts it again on the same folder.
    pub async fn restart(self) -> Api {
        let mut api = self.stopped().await;
        api.recover().await;
        api
    }

    /// Ends everything, and listens again on the same folder.
    pub async fn stopped(mut self) -> Api {
        drop(self.stop.take());
        self.served.await.unwrap();
        if let Some(engine) = &self.engine {
            engine.stop().await;
        }
        let mut api = Api::listening_on(self.folder, ServerConfig::default()).await;
        api.key = self.key;
        api
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap();
        if let Some(engine) = &self.engine {
            engine.stop().await;
        }
    }

    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    /// A POST of JSON with an idempotency key.
    pub async fn post(&self, path: &str, key: &str, body: &str) -> Reply {
        let headers = [("idempotency-key", key), ("content-type", "application/json")];
        self.send("POST", path, &headers, body.as_bytes()).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Reply {
        let bearer = format!("Bearer {}", self.key);
        let headers = [headers, &[("authorization", &bearer)]].concat();
        self.send_bare(method, path, &headers, body).await
    }

    /// Without the API key.
    pub async fn send_bare(&self, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&request(method, path, headers, body)).await.unwrap();
        read_reply(&mut stream, &mut Vec::new()).await
    }

    /// Opens a wallet of INR, brings `rupees` into it, and gives its id.
    pub async fn wallet(&self, name: &str, rupees: &str) -> String {
        let body = r#"{"owner":"01890a5d-0000-7000-8000-000000000001","currency":"INR"}"#;
        let reply = self.post("/v1/wallets", name, body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        if rupees != "0" {
            let body = format!(r#"{{"wallet":"{id}","amount":{{"amount":"{rupees}","currency":"INR"}}}}"#);
            let reply = self.post("/v1/deposits", &format!("fund-{name}"), &body).await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
        id
    }

    pub async fn posted(&self, wallet: &str) -> String {
        let reply = self.get(&format!("/v1/wallets/{wallet}/balance")).await;
        reply.json()["posted"]["amount"].as_str().unwrap().to_owned()
    }

    pub async fn last_lsn(&self) -> u64 {
        self.get("/v1/ledger/summary").await.json()["last_lsn"].as_u64().unwrap()
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

pub fn request(method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: florin\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| matches!(*name, "transfer-encoding" | "content-length")) {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// Reads one reply; what came after it stays in `buffer`.
pub async fn read_reply(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Reply {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "closed within a header");
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pairs = lines.map(|line| line.split_once(": ").unwrap());
    let headers: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut reply = Reply { status, headers, body: Vec::new() };
    let length: usize = reply.header("content-length").map_or(0, |text| text.parse().unwrap());
    while buffer.len() < end + 4 + length {
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "closed within a body");
    }
    reply.body = buffer[end + 4..end + 4 + length].to_vec();
    buffer.drain(..end + 4 + length);
    reply
}
