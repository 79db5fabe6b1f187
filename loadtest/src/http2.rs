//! One HTTP/2 connection of load: one stream for each request under way, answers in any order. Just enough of HTTP/2 for
//! requests with small bodies to a server that is known; it knows no `Idempotent-Replayed`, and never connects again.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use crate::client::{After, Halt, Job, Next, Stop, open};
use crate::endpoint::Endpoint;
use crate::hpack::{Table, status};
use crate::http::Answer;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first window of the connection, in both directions, and what we then take more.
const WINDOW_BYTES: i64 = 65_535;
const WINDOW_BYTES_MORE: u32 = 1 << 30;
/// Received bytes after which as many are allowed again.
const WINDOW_BYTES_STEP: u32 = 1 << 24;
/// A request's body has to fit one frame.
const BODY_BYTES_MAX: usize = 16 * 1024;
const DRAIN: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(20);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

struct Asked<T> {
    stream: u32,
    status: u16,
    /// What came of the body before its last frame.
    body: Vec<u8>,
    ticket: T,
}

struct Connection<T> {
    asked: VecDeque<Asked<T>>,
    again: VecDeque<(Instant, T)>,
    output: Vec<u8>,
    table: Table,
    stream: u32,
    /// How much may still be sent.
    window_bytes: i64,
    received_bytes: u32,
}

/// Works through `job` on one connection. Returns a description of the loss if the server went away.
pub async fn drive<J: Job>(endpoint: &Endpoint, job: &mut J, streams: usize, halt: &Halt) -> Option<String> {
    let mut connection = Connection {
        asked: VecDeque::with_capacity(streams),
        again: VecDeque::new(),
        output: PREFACE.to_vec(),
        table: Table::default(),
        stream: 1,
        window_bytes: WINDOW_BYTES,
        received_bytes: 0,
    };
    // No table for the server's headers (1), no push (2), and windows that never close (4).
    let settings = [[0, 1, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0], [0, 4, 0x40, 0, 0, 0]].concat();
    frame(SETTINGS, 0, 0, &settings, &mut connection.output);
    frame(WINDOW_UPDATE, 0, 0, &WINDOW_BYTES_MORE.to_be_bytes(), &mut connection.output);
    let why = connection.work(endpoint, job, streams, halt).await.err()?;
    halt.stop(Stop::ServerDown);
    connection.asked.into_iter().for_each(|asked| job.unheard(asked.ticket));
    connection.again.into_iter().for_each(|(_, ticket)| job.unheard(ticket));
    Some(why)
}

impl<T> Connection<T> {
    async fn work<J: Job<Ticket = T>>(
        &mut self,
        endpoint: &Endpoint,
        job: &mut J,
        streams: usize,
        halt: &Halt,
    ) -> Result<(), String> {
        let mut stream = open(endpoint).await?;
        let (mut reader, mut writer) = stream.split();
        let (mut input, mut request, mut output_at) = (Vec::new(), Vec::new(), 0);
        let mut halted = halt.stopped();
        let mut stop = pin!(halt.wait());
        let mut drain = pin!(sleep_until(Instant::now() + DRAIN));
        loop {
            let (mut is_done, mut may_wake) = (false, false);
            while self.asked.len() < streams && self.window_bytes >= BODY_BYTES_MAX as i64 {
                let ticket = match self.again.front() {
                    Some((when, _)) if *when <= Instant::now() => self.again.pop_front().map(|(_, ticket)| ticket),
                    _ if self.asked.len() + self.again.len() >= streams => None,
                    _ => match job.next() {
                        Next::Send(ticket) => Some(ticket),
                        Next::Wait => {
                            may_wake = true;
                            None
                        }
                        Next::Done => {
                            is_done = true;
                            None
                        }
                    },
                };
                let Some(ticket) = ticket else { break };
                request.clear();
                job.encode(&ticket, &mut request);
                self.ask(&request)?;
                self.asked.push_back(Asked { stream: self.stream, status: 0, body: Vec::new(), ticket });
                self.stream += 2;
            }
            if is_done && self.asked.is_empty() && self.again.is_empty() {
                return Ok(());
            }
            let retry_at = self.again.front().map(|(when, _)| *when);
            tokio::select! {
                biased;
                read = reader.read_buf(&mut input) => match read {
                    Ok(0) => return Err("the server closed the connection".to_owned()),
                    Ok(_) => self.take_frames(&mut input, job)?,
                    Err(source) => return Err(format!("the connection broke: {source}")),
                },
                wrote = writer.write(&self.output[output_at..]), if output_at < self.output.len() => {
                    output_at += wrote.map_err(|source| format!("the connection broke: {source}"))?;
                    if output_at == self.output.len() {
                        self.output.clear();
                        output_at = 0;
                    }
                }
                () = job.wake(), if may_wake && !halted => {}
                () = async { sleep_until(retry_at.unwrap_or_else(Instant::now)).await }, if retry_at.is_some() => {}
                () = &mut stop, if !halted => {
                    halted = true;
                    drain.as_mut().reset(Instant::now() + DRAIN);
                }
                () = &mut drain, if halted => {
                    return Err(format!("no answer for {} seconds after the end", DRAIN.as_secs()));
                }
            }
        }
    }

    /// Writes a request, given as HTTP/1.1 has it, as frames.
    fn ask(&mut self, request: &[u8]) -> Result<(), String> {
        let head_at = self.output.len();
        frame(HEADERS, END_HEADERS, self.stream, &[], &mut self.output);
        let body = self.table.encode(request, &mut self.output).ok_or("a request is not as HTTP/1.1 has it")?;
        let head_bytes = u32::try_from(self.output.len() - head_at - 9).map_err(|_| "a head is too long")?;
        self.output[head_at..head_at + 3].copy_from_slice(&head_bytes.to_be_bytes()[1..]);
        if body.len() > BODY_BYTES_MAX {
            return Err("a body does not fit a frame".to_owned());
        }
        if body.is_empty() {
            self.output[head_at + 4] |= END_STREAM;
        } else {
            frame(DATA, END_STREAM, self.stream, body, &mut self.output);
            self.window_bytes -= i64::try_from(body.len()).unwrap_or(i64::MAX);
        }
        Ok(())
    }

    fn take_frames<J: Job<Ticket = T>>(&mut self, input: &mut Vec<u8>, job: &mut J) -> Result<(), String> {
        let mut at = 0;
        while let Some((head, rest)) = input[at..].split_first_chunk::<9>() {
            let bytes = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = rest.get(..bytes) else { break };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            self.take_frame(head[3], head[4], stream, payload, job)?;
            at += 9 + bytes;
        }
        input.drain(..at);
        Ok(())
    }

    fn take_frame<J: Job<Ticket = T>>(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        job: &mut J,
    ) -> Result<(), String> {
        let is_last = flags & END_STREAM != 0;
        match kind {
            HEADERS => {
                let index = self.index(stream)?;
                self.asked[index].status = status(payload).ok_or("the head of an answer has no status")?;
                if is_last {
                    self.answered(index, &[], job);
                }
            }
            DATA => {
                let index = self.index(stream)?;
                self.received_bytes += u32::try_from(payload.len()).unwrap_or(0);
                if self.received_bytes >= WINDOW_BYTES_STEP {
                    frame(WINDOW_UPDATE, 0, 0, &self.received_bytes.to_be_bytes(), &mut self.output);
                    self.received_bytes = 0;
                }
                if is_last {
                    self.answered(index, payload, job);
                } else {
                    self.asked[index].body.extend_from_slice(payload);
                }
            }
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[], &mut self.output),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, &mut self.output),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                self.window_bytes += i64::from(more);
            }
            RST_STREAM => return Err(format!("the server reset stream {stream}")),
            GOAWAY => return Err("the server ended the connection".to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn index(&self, stream: u32) -> Result<usize, String> {
        let found = self.asked.iter().position(|asked| asked.stream == stream);
        found.ok_or_else(|| format!("the server answers on stream {stream}, where nothing was asked"))
    }

    fn answered<J: Job<Ticket = T>>(&mut self, index: usize, last: &[u8], job: &mut J) {
        let Some(mut asked) = self.asked.remove(index) else { return };
        let body = if asked.body.is_empty() {
            last
        } else {
            asked.body.extend_from_slice(last);
            &asked.body
        };
        let answer = Answer { status: asked.status, replayed: false, close: false, body };
        if let After::Again(ticket) = job.answered(asked.ticket, &answer) {
            self.again.push_back((Instant::now() + BUSY_PAUSE, ticket));
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
