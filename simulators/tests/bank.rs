//! The bank's books as a program of its own keeps them: killed with -9, it knows every order that it has answered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(books: &Path) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bank-sim"));
        command.args(["--listen", "127.0.0.1:0", "--delay-ms", "0", "--key", "k", "--books"]).arg(books);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Program { child, address: line.trim().trim_start_matches("http://").to_owned() }
    }

    fn ask(&self, method: &str, path: &str, id: &str, body: &str) -> (u16, serde_json::Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: bank\r\nauthorization: Bearer k\r\nidempotency-key: {id}\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // This is kill -9.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const BODY: &str = r#"{"amount":"500.00","currency":"INR","account":"IN12345678","reference":"x"}"#;

#[test]
fn what_was_answered_is_in_the_books_for_ever_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    let first = Program::start(&books);
    assert_eq!(first.ask("POST", "/v1/collections", ID, BODY).1["state"], "settled");
    assert_eq!(first.ask("POST", "/v1/collections", ID, BODY).0, 200);
    drop(first);
    // A line that a crash has cut off.
    std::fs::OpenOptions::new().append(true).open(&books).unwrap().write_all(b"{\"id\":").unwrap();
    let second = Program::start(&books);
    assert_eq!(second.ask("GET", &format!("/v1/collections/{ID}"), "", "").1["state"], "settled");
    assert_eq!(second.ask("GET", &format!("/v1/payouts/{ID}"), "", "").1["state"], "unknown");
    assert_eq!(second.ask("POST", "/v1/collections", ID, BODY).1["state"], "settled");
    assert_eq!(second.ask("POST", "/v1/payouts", ID, BODY).0, 409, "an id is of one order");
    let failing = BODY.replace("5678", "0000");
    let other = ID.replace("01890a5d", "01890a5e");
    assert_eq!(second.ask("POST", "/v1/payouts", &other, &failing).1["state"], "failed");
    let sums = &second.ask("GET", "/books", "", "").1["sums"];
    assert_eq!((sums[0]["collected"].as_str(), sums[0]["paid_out"].as_str()), (Some("500.00"), Some("0")));
}
