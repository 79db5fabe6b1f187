//! Canaries: a password, a code, tokens, a name, a phone and what else nobody may read are put in through the real server, with
//! its log as loud as it can be, and then looked for in the data folder, the log and the metrics. What a person is sent lies
//! in the folder `mail` of a developer's server, and is not looked at: that is the message itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use florin::store::seal::Seal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::cli_serve::Server;
use crate::http_api::{read_reply, request};

struct Client {
    address: String,
    mail: PathBuf,
    operator: String,
    /// What was secret, and what it was.
    canaries: Vec<(&'static str, String)>,
}

impl Client {
    async fn send(&self, method: &str, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {}", token.unwrap_or_default());
        let key = uuid::Uuid::now_v7().to_string();
        let mut headers = vec![("content-type", "application/json"), ("idempotency-key", &key)];
        if token.is_some() {
            headers.push(("authorization", &bearer));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.address).await.expect("the server listens");
        let bytes = request(method, path, &headers, body.as_bytes());
        tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.expect("it reads");
        let reply = read_reply(&mut stream, &mut Vec::new()).await;
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    /// One that succeeds.
    async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Value {
        let (status, answer) = self.send("POST", path, token, &body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    fn note(&mut self, what: &'static str, value: &str) -> String {
        assert!(!value.is_empty(), "no {what} in the answer");
        self.canaries.push((what, value.to_owned()));
        value.to_owned()
    }

    /// The code of the newest mail or message to somebody.
    async fn code_to(&mut self, address: &str) -> String {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_secs(30), "nothing was sent to {address}");
            let messages = fs::read_dir(&self.mail).into_iter().flatten().filter_map(|entry| {
                let text = fs::read_to_string(entry.ok()?.path()).ok()?;
                let is_to = text.lines().any(|line| line.starts_with("To:") && line.contains(address));
                is_to.then(|| {
                    // Message-ID and boundaries are long words, of which six characters in a row may be digits.
                    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
                    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
                    words.find(is_code).map(str::to_owned)
                })?
            });
            if let Some(code) = messages.last() {
                return self.note("code", &code);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn register(&mut self, address: Value, name: &'static str, more: Value) -> Value {
        let to =
            address.as_object().and_then(|map| map.values().next()).and_then(Value::as_str).expect("one").to_owned();
        self.note("address", &to);
        let challenge = self.post("/v1/auth/codes", None, address).await["challenge"].clone();
        let code = self.code_to(&to).await;
        let verified = self.post("/v1/auth/verify", None, json!({ "challenge": challenge, "code": code })).await;
        let registration = self.note("registration token", text(&verified, "registration_token"));
        self.note("name", name);
        let mut account = json!({ "registration_token": registration, "name": name });
        for (member, value) in more.as_object().expect("an object") {
            account[member] = value.clone();
        }
        let opened = self.post("/v1/accounts", None, account).await;
        self.note("access token", text(&opened, "access_token"));
        self.note("refresh token", text(&opened, "refresh_token"));
        opened
    }
}

/// The text at a name, however deep it stands.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    fn find<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
        match value {
            Value::Object(map) => {
                map.get(name).and_then(Value::as_str).or_else(|| map.values().find_map(|value| find(value, name)))
            }
            Value::Array(list) => list.iter().find_map(|value| find(value, name)),
            _ => None,
        }
    }
    find(value, name).unwrap_or_default()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "mail") {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

/// Whether the bytes hold the canary as it is, in hexadecimal, or with other case. Six digits are met by chance within longer
/// numbers and times, so a code counts only where it stands for itself.
fn holds(haystack: &[u8], what: &str, canary: &str) -> bool {
    let is_code = what == "code";
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let lower = canary.to_lowercase();
    [canary, &hex, &lower].iter().any(|needle| {
        let needle = needle.as_bytes();
        haystack.windows(needle.len()).enumerate().any(|(at, window)| {
            let before = at.checked_sub(1).and_then(|at| haystack.get(at)).copied().unwrap_or(b' ');
            let after = haystack.get(at + needle.len()).copied().unwrap_or(b' ');
            let stands_alone = !before.is_ascii_alphanumeric() && before != b'.' && !after.is_ascii_alphanumeric();
            window == needle && (!is_code || stands_alone)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_is_found_nowhere() {
    let folder = TempDir::new().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("server.log"));
    let stderr = Stdio::from(fs::File::create(&log).expect("writable"));
    let mut server = Server::spawn(&data, "trace", &["--json", "--segment-mib", "1"], stderr);
    let listening = server.json("listening");
    server.json("ready");
    let mut client = Client {
        address: text(&listening, "url").trim_start_matches("http://").to_owned(),
        mail: data.join("mail"),
        operator: text(&listening, "api_key").to_owned(),
        canaries: Vec::new(),
    };
    let operator = client.operator.clone();
    client.note("operator's key", &operator);

    // Everything that people do with secrets, right and wrong.
    let password = client.note("password", "lorry-Quince-tabla-moss-41");
    let opened = client
        .register(json!({ "email": "canary.bird@example.in" }), "Kanariya Pakshi", json!({ "password": password }))
        .await;
    let token = text(&opened, "access_token").to_owned();
    let wrong = client.note("wrong password", "ferry-Olive-sitar-fern-86");
    let body = json!({ "email": "canary.bird@example.in", "password": wrong });
    assert_eq!(client.send("POST", "/v1/auth/password", None, &body).await.0, 401);
    let signed_in = client
        .post("/v1/auth/password", None, json!({ "email": "canary.bird@example.in", "password": password }))
        .await;
    let refresh = client.note("refresh token", text(&signed_in, "refresh_token"));
    let renewed = client.post("/v1/auth/refresh", None, json!({ "refresh_token": refresh })).await;
    client.note("access token", text(&renewed, "access_token"));
    // A token in the wrong place, where a server may be tempted to log it.
    let (status, _) = client.send("GET", &format!("/v1/wallets?owner={token}"), Some(&token), &Value::Null).await;
    assert_eq!(status, 400);
    let changed = client.note("new password", "cedar-Mango-violin-reed-73");
    client.post("/v1/me/password", Some(&token), json!({ "current": password, "new": changed })).await;
    let enrolment = client.post("/v1/me/totp", Some(&token), Value::Null).await;
    client.note("TOTP secret", text(&enrolment, "secret"));
    client.note("TOTP address", text(&enrolment, "otpauth_uri"));
    let shop = client
        .register(json!({ "email": "shop.bird@example.in" }), "Totey Ki Dukaan", json!({ "role": "merchant" }))
        .await;
    let owner = text(&shop, "access_token").to_owned();
    let key = client.post("/v1/api-keys", Some(&owner), json!({ "name": "till", "scopes": ["wallets:read"] })).await;
    let key = client.note("API key", text(&key, "key"));
    assert_eq!(client.send("GET", "/v1/wallets?owner=x", Some(&key), &Value::Null).await.0, 400);
    client.register(json!({ "phone": "+919876501234" }), "Mayura Pankh", json!({})).await;

    let (status, _) = client.send("GET", "/metrics", None, &Value::Null).await;
    assert_eq!(status, 200);
    let mut stream = TcpStream::connect(&client.address).await.expect("it listens");
    let bytes = request("GET", "/metrics", &[], b"");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.expect("it reads");
    let metrics = read_reply(&mut stream, &mut Vec::new()).await.body;

    // Of the server as it runs, with the database's journal, and of what it leaves when it is killed.
    server.signal("KILL");
    assert_eq!(server.code(), None);
    let mut found = Vec::new();
    files(&data, &mut found);
    assert!(found.iter().any(|path| path.ends_with("people.db")), "{found:?}");
    found.push(log);
    let mut haystacks: Vec<(String, Vec<u8>)> =
        found.iter().map(|path| (path.display().to_string(), fs::read(path).expect("readable"))).collect();
    haystacks.push(("the metrics".to_owned(), metrics));
    assert!(haystacks.iter().any(|(name, bytes)| name.ends_with("server.log") && bytes.len() > 10_000), "it is loud");
    let mut leaks = Vec::new();
    for (name, haystack) in &haystacks {
        for (what, canary) in &client.canaries {
            if holds(haystack, what, canary) {
                leaks.push(format!("{what} {canary} in {name}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(client.canaries.len() > 20, "{}", client.canaries.len());

    // That they are looked for where they would be: what is sealed is there, and opens.
    let seal = Seal::load_or_create(&data).expect("the keys are there");
    let sealed = seal.seal("accounts.name", "Kanariya Pakshi");
    assert!(!holds(sealed.as_bytes(), "name", "Kanariya Pakshi"));
    assert!(holds(b"x lorry-Quince-tabla-moss-41 y", "password", "lorry-Quince-tabla-moss-41"));
    assert!(holds(b"code=123456,", "code", "123456") && !holds(b"12.1234567", "code", "123456"));
}
