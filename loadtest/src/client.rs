//! One connection: asks its job for requests, keeps several under way, hands each answer back in order,
//! and repeats what was never heard when the server comes back. What is asked is the job's business.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::endpoint::Endpoint;
use crate::http::{Answer, read_answer};

/// Unsent bytes after which no further request is prepared.
const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
const INPUT_BYTES: usize = 64 * 1024;
/// How long a stopped run waits for the answers that are still under way.
const DRAIN: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(100);
/// Pause before a request that the server was too busy for is sent again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What a connection works through.
pub trait Job {
    /// One request: all that is needed to write it, and to write it again.
    type Ticket;
    fn next(&mut self) -> Next<Self::Ticket>;
    fn encode(&mut self, ticket: &Self::Ticket, out: &mut Vec<u8>);
    fn answered(&mut self, ticket: Self::Ticket, answer: &Answer<'_>) -> After<Self::Ticket>;
    /// The connection broke before the answer came, and the request is not repeated.
    fn unheard(&mut self, ticket: Self::Ticket);
    /// Ends when `next` may have something after it said `Wait`.
    fn wake(&mut self) -> impl Future<Output = ()> {
        std::future::pending()
    }
}

#[derive(Debug)]
pub enum Next<T> {
    Send(T),
    /// Nothing now: after an answer, or when `wake` ends.
    Wait,
    Done,
}

#[derive(Debug)]
pub enum After<T> {
    Finished,
    /// The server was too busy: the same request again in a moment.
    Again(T),
}

/// What a lost connection means.
#[derive(Clone, Copy, Debug)]
pub enum OnLoss {
    Stop,
    /// Wait this long for `/readyz`, then repeat with the same keys.
    Reconnect(Duration),
    /// Connect again at once and ask for half as much at a time; give up when even one request brings no answer. For
    /// readers, whose large answers may be more than the server keeps unsent.
    AskForLess,
}

/// Why a run ends before its jobs are done, told to all connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stop {
    Running = 0,
    TimeUp = 1,
    Interrupted = 2,
    ServerDown = 3,
    Broken = 4,
}

/// The signal that stops all connections of a run.
#[derive(Debug, Default)]
pub struct Halt {
    state: AtomicU8,
    notify: Notify,
}

impl Halt {
    /// The first reason stands.
    pub fn stop(&self, why: Stop) {
        let _ = self.state.compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire);
        self.notify.notify_waiters();
    }

    pub fn state(&self) -> Stop {
        match self.state.load(Ordering::Acquire) {
            0 => Stop::Running,
            1 => Stop::TimeUp,
            2 => Stop::Interrupted,
            3 => Stop::ServerDown,
            _ => Stop::Broken,
        }
    }

    pub fn stopped(&self) -> bool {
        self.state() != Stop::Running
    }

    /// Ends when the run is stopped.
    pub async fn wait(&self) {
        let mut notified = pin!(self.notify.notified());
        notified.as_mut().enable();
        if !self.stopped() {
            notified.await;
        }
    }
}

/// Works through `job` on one connection, and on the next ones if they break and `on_loss` allows.
/// Returns a description of the loss if the server went away for good.
pub async fn drive<J: Job>(
    endpoint: &Endpoint,
    job: &mut J,
    mut depth: usize,
    on_loss: OnLoss,
    halt: &Halt,
) -> Option<String> {
    let mut state = State { pending: VecDeque::with_capacity(depth), again: VecDeque::new(), answers: 0 };
    let mut first = true;
    loop {
        let stream = match connect(endpoint, on_loss, first).await {
            Ok(stream) => stream,
            Err(why) => return Some(give_up(job, state, halt, why)),
        };
        first = false;
        let answers_before = state.answers;
        match exchange(stream, job, depth, &mut state, halt).await {
            Ok(()) => return None,
            Err(Lost::Gone(_)) if matches!(on_loss, OnLoss::Reconnect(_)) => {}
            Err(Lost::Gone(_))
                if matches!(on_loss, OnLoss::AskForLess) && (depth > 1 || state.answers > answers_before) =>
            {
                depth = (depth / 2).max(1);
                let now = Instant::now();
                // Not all at once, as those would be that are only pending.
                state.again.extend(state.pending.drain(..).map(|ticket| (now, ticket)));
            }
            Err(Lost::Gone(why) | Lost::Silent(why)) => {
                return Some(give_up(job, state, halt, why));
            }
        }
    }
}

struct State<T> {
    /// Sent and not answered, oldest first.
    pending: VecDeque<T>,
    again: VecDeque<(Instant, T)>,
    answers: u64,
}

fn give_up<J: Job>(job: &mut J, state: State<J::Ticket>, halt: &Halt, why: String) -> String {
    halt.stop(Stop::ServerDown);
    for ticket in state.pending {
        job.unheard(ticket);
    }
    for (_, ticket) in state.again {
        job.unheard(ticket);
    }
    why
}

/// How a connection was lost.
enum Lost {
    Gone(String),
    /// The run is over, and the answers that are still due do not come: asking again would not help.
    Silent(String),
}

async fn exchange<J: Job>(
    mut stream: TcpStream,
    job: &mut J,
    depth: usize,
    state: &mut State<J::Ticket>,
    halt: &Halt,
) -> Result<(), Lost> {
    let (mut reader, mut writer) = stream.split();
    let mut output: Vec<u8> = Vec::with_capacity(INPUT_BYTES);
    let mut output_at = 0;
    let mut input: Vec<u8> = Vec::with_capacity(INPUT_BYTES);
    let mut scratch = Vec::new();
    // What the last connection took without an answer goes first, in its order, with its keys.
    for ticket in &state.pending {
        job.encode(ticket, &mut output);
    }
    let mut halted = halt.stopped();
    let mut stop = pin!(halt.wait());
    let mut drain = pin!(sleep_until(Instant::now() + DRAIN));
    loop {
        let mut done = false;
        let mut may_send = false;
        while state.pending.len() < depth && output.len() < OUTPUT_BYTES_MAX {
            let ticket = match state.again.front() {
                Some((when, _)) if *when <= Instant::now() => state.again.pop_front().map(|(_, ticket)| ticket),
                // What waits to be sent again counts as under way, or a busy server would be asked for
                // more and more.
                _ if state.pending.len() + state.again.len() >= depth => None,
                _ => match job.next() {
                    Next::Send(ticket) => Some(ticket),
                    Next::Wait => {
                        may_send = true;
                        None
                    }
                    Next::Done => {
                        done = true;
                        None
                    }
                },
            };
            let Some(ticket) = ticket else { break };
            job.encode(&ticket, &mut output);
            state.pending.push_back(ticket);
        }
        if done && state.pending.is_empty() && state.again.is_empty() {
            return Ok(());
        }
        let retry_at = state.again.front().map(|(when, _)| *when);
        input.reserve(INPUT_BYTES);
        tokio::select! {
            biased;
            read = reader.read_buf(&mut input) => match read {
                Ok(0) => return Err(Lost::Gone("the server closed the connection".to_owned())),
                Ok(_) => take_answers(&mut input, &mut scratch, job, state).map_err(Lost::Gone)?,
                Err(source) => return Err(Lost::Gone(format!("the connection broke: {source}"))),
            },
            wrote = writer.write(&output[output_at..]), if output_at < output.len() => match wrote {
                Ok(count) => {
                    output_at += count;
                    if output_at == output.len() {
                        output.clear();
                        output_at = 0;
                    }
                }
                Err(source) => return Err(Lost::Gone(format!("the connection broke: {source}"))),
            },
            () = job.wake(), if may_send && !halted => {}
            // Made only where there is something to wait for: a timer for each answer would cost more than reading it.
            () = async { sleep_until(retry_at.unwrap_or_else(Instant::now)).await }, if retry_at.is_some() => {}
            () = &mut stop, if !halted => {
                halted = true;
                drain.as_mut().reset(Instant::now() + DRAIN);
            }
            () = &mut drain, if halted => {
                return Err(Lost::Silent(format!("no answer for {} seconds after the end", DRAIN.as_secs())));
            }
        }
    }
}

fn take_answers<J: Job>(
    input: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    job: &mut J,
    state: &mut State<J::Ticket>,
) -> Result<(), String> {
    let mut at = 0;
    loop {
        let found = read_answer(&input[at..], scratch).map_err(|why| why.to_string())?;
        let Some((answer, taken)) = found else { break };
        let Some(ticket) = state.pending.pop_front() else {
            return Err(format!("the server sent an answer ({}) that nothing asked for", answer.status));
        };
        state.answers += 1;
        let close = answer.close;
        if let After::Again(ticket) = job.answered(ticket, &answer) {
            state.again.push_back((Instant::now() + BUSY_PAUSE, ticket));
        }
        at += taken;
        if close {
            return Err("the server closed the connection".to_owned());
        }
    }
    input.drain(..at);
    Ok(())
}

/// Connects; after a loss it waits until the server says that it is ready.
async fn connect(endpoint: &Endpoint, on_loss: OnLoss, first: bool) -> Result<TcpStream, String> {
    let OnLoss::Reconnect(wait) = on_loss else {
        return open(endpoint).await;
    };
    let until = Instant::now() + wait;
    loop {
        let tried = match open(endpoint).await {
            Ok(stream) if first => return Ok(stream),
            Ok(mut stream) => match timeout(CONNECT, ready(endpoint, &mut stream)).await {
                Ok(true) => return Ok(stream),
                _ => "the server is not ready".to_owned(),
            },
            Err(why) => why,
        };
        if Instant::now() + RETRY > until {
            return Err(format!("{tried} (waited {} seconds)", wait.as_secs()));
        }
        tokio::time::sleep(RETRY).await;
    }
}

pub(crate) async fn open(endpoint: &Endpoint) -> Result<TcpStream, String> {
    let address = &endpoint.address;
    match timeout(CONNECT, TcpStream::connect(address.as_str())).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(source)) => Err(format!("cannot connect to {address}: {source}")),
        Err(_) => Err(format!("cannot connect to {address}: no answer")),
    }
}

/// Asks `/readyz` on a fresh connection, which stays usable.
async fn ready(endpoint: &Endpoint, stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    endpoint.get("/readyz", &mut request);
    if stream.write_all(&request).await.is_err() {
        return false;
    }
    let (mut input, mut scratch) = (Vec::with_capacity(4096), Vec::new());
    loop {
        if !matches!(stream.read_buf(&mut input).await, Ok(count) if count > 0) {
            return false;
        }
        match read_answer(&input, &mut scratch) {
            Ok(Some((answer, taken))) => {
                return answer.status == 200 && !answer.close && taken == input.len();
            }
            Ok(None) => {}
            Err(_) => return false,
        }
    }
}
