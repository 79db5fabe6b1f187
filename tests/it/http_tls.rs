//! TLS, and HTTP/2 with many streams on one connection, by a client that checks the certificate.
//! The fixture was made for these tests only:
//! `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj "/CN=florin test"
//! -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem`

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use florin::http::{ServerConfig, TlsFiles};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use uuid::Uuid;

use crate::http_api::Api;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

async fn api() -> Api {
    let tls = Some(TlsFiles { certificates: fixture("cert.pem"), key: fixture("key.pem") });
    let mut api = Api::listening(ServerConfig { tls, ..ServerConfig::default() }).await;
    api.recover().await;
    api
}

async fn connect(api: &Api, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config: ClientConfig = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(api.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    stream
}

fn post(api: &Api, path: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post(format!("https://localhost{path}"))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", api.key))
        .header("content-type", "application/json")
        .header("idempotency-key", Uuid::now_v7().to_string())
        .body(Full::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn http2_streams_run_side_by_side_over_tls() {
    let api = api().await;
    let stream = connect(&api, b"h2").await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let wallets: Vec<String> = (0..2).map(|_| Uuid::now_v7().to_string()).collect();
    for id in &wallets {
        let body = json!({"id": id, "owner": Uuid::now_v7(), "currency": "INR"});
        assert_eq!(sender.clone().send_request(post(&api, "/v1/wallets", &body)).await.unwrap().status(), 201);
    }
    let money = json!({"amount": "100.00", "currency": "INR"});
    let deposit = json!({"wallet": wallets[0], "amount": money});
    assert_eq!(sender.clone().send_request(post(&api, "/v1/deposits", &deposit)).await.unwrap().status(), 201);

    let payment = json!({"from": wallets[0], "to": wallets[1], "amount": {"amount": "1.00", "currency": "INR"}});
    let requests: Vec<_> = (0..120)
        .map(|_| {
            let (mut sender, request) = (sender.clone(), post(&api, "/v1/transfers", &payment));
            tokio::spawn(async move {
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.version(), Version::HTTP_2);
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                (status, serde_json::from_slice::<Value>(&body).unwrap())
            })
        })
        .collect();
    let mut accepted = 0;
    for request in requests {
        match request.await.unwrap() {
            (201, transfer) => {
                assert_eq!(transfer["status"], "accepted");
                accepted += 1;
            }
            (422, problem) => assert_eq!(problem["code"], "INSUFFICIENT_FUNDS"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 100, "exactly what the wallet had");
    drop(sender);
    connection.await.unwrap().unwrap();
    api.stop().await;
}

#[tokio::test]
async fn http1_over_tls_and_nothing_in_the_clear() {
    let api = api().await;
    let stream = connect(&api, b"http/1.1").await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("/healthz").header("host", "localhost").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    drop(sender);
    connection.await.unwrap().unwrap();

    let clear = TcpStream::connect(api.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(clear)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("/healthz").header("host", "localhost").body(Full::<Bytes>::default()).unwrap();
    assert!(sender.send_request(request).await.is_err(), "a server with TLS does not speak without");
    drop(connection.await.unwrap());
    api.stop().await;
}

#[test]
fn files_that_are_no_certificate_are_told_by_name() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tls = Some(TlsFiles { certificates: fixture("key.pem"), key: fixture("key.pem") });
    let refused = runtime.block_on(florin::http::Server::bind(
        "127.0.0.1:0".parse().unwrap(),
        ServerConfig { tls, ..ServerConfig::default() },
    ));
    let error = refused.expect_err("there is no certificate in it");
    let source = std::error::Error::source(&error).expect("it says which file");
    assert!(source.to_string().contains("key.pem"), "{source}");
}
