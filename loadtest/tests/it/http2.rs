//! `loadtest run --http2`: against a stand-in that knows three frames, and answers the newest question first.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::told;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;

/// Questions on one connection before any of them is answered.
const STREAMS: usize = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The 36 characters of the key that stands in the head as it is.
fn key(head: &[u8]) -> String {
    const NAME: &[u8] = b"idempotency-key\x24";
    let at = head.windows(NAME.len()).position(|window| window == NAME).unwrap() + NAME.len();
    String::from_utf8(head[at..at + 36].to_vec()).unwrap()
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()))?;
    let (mut asked, mut waiting, mut lsn) = (String::new(), Vec::new(), 0);
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload)?;
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            HEADERS => asked = key(&payload),
            DATA => {
                let body: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                assert!(body["from"].is_string() && head[4] & END_STREAM != 0);
                waiting.push((number, asked.clone()));
            }
            _ => {}
        }
        if waiting.len() == STREAMS {
            for (number, key) in waiting.drain(..).rev() {
                lsn += 1;
                // 201, and a body in two frames.
                let body = format!("{{\"id\":\"{key}\",\"lsn\":{lsn}}}");
                let (first, last) = body.as_bytes().split_at(20);
                stream.write_all(&frame(HEADERS, 4, number, &[0x08, 3, b'2', b'0', b'1']))?;
                stream.write_all(&frame(DATA, 0, number, first))?;
                stream.write_all(&frame(DATA, END_STREAM, number, last))?;
            }
        }
    }
}

#[test]
fn answers_come_in_any_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Ends with an error when the load does.
            std::thread::spawn(move || drop(serve(stream.unwrap())));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["run", "--http2", "--skip-setup", "--url", &url, "--json", "r.json"])
            .args(arguments.split_whitespace())
            .env("FLORIN_API_KEY", "test-key")
            .current_dir(folder.path())
            .output()
            .unwrap();
        told(&output)
    };
    let (code, told) = run("--connections 1 --streams 8 --transfers 400");
    assert_eq!(code, 0, "{told}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    assert_eq!((&report["accepted"], &report["wrong"]), (&400.into(), &0.into()), "{told}");
    let (code, told) = run("--mode bulk");
    assert!(code == 2 && told.contains("--http2"), "{told}");
}
