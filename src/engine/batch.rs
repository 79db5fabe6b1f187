//! A batch: what came in together and is answered together, and the room that it takes. What its conversations are about
//! is in `conversation`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::smallvec;
use tokio::sync::oneshot;

use super::conversation::{ActRef, Acts, Answer, Answers};

/// What came in together and is answered together.
#[derive(Debug)]
pub struct Batch {
    acts: Acts,
    /// When it came in.
    pub now_micros: u64,
    state: Mutex<BatchState>,
    /// Given back when nothing of the batch is under way any more.
    _room: Option<Room>,
}

#[derive(Debug)]
struct BatchState {
    answers: Answers,
    pending: usize,
    reply: Option<oneshot::Sender<Answers>>,
}

/// Conversations under way, counted against a limit.
#[derive(Debug)]
pub struct Room {
    taken: Arc<AtomicUsize>,
    count: usize,
}

impl Room {
    /// Takes room for `count`, or nothing.
    pub fn take(taken: &Arc<AtomicUsize>, count: usize, limit: usize) -> Option<Room> {
        let before = taken.fetch_add(count, Ordering::Relaxed);
        let room = Room { taken: Arc::clone(taken), count };
        (before + count <= limit).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl Batch {
    /// `asked`: how many of the tickets become conversations; those of the others stay `Pending`.
    pub fn new(
        acts: Acts,
        asked: usize,
        now_micros: u64,
        room: Option<Room>,
    ) -> (Arc<Batch>, oneshot::Receiver<Answers>) {
        let (reply, receiver) = oneshot::channel();
        let state =
            BatchState { answers: smallvec![Answer::Pending; acts.count()], pending: asked, reply: Some(reply) };
        (Arc::new(Batch { acts, now_micros, state: Mutex::new(state), _room: room }), receiver)
    }

    #[inline]
    pub fn act(&self, ticket: u32) -> ActRef<'_> {
        self.acts.get(ticket)
    }

    /// Answers some of it; when nothing is pending any more, whoever waits hears all answers.
    pub fn answer(&self, answers: impl Iterator<Item = (u32, Answer)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (ticket, answer) in answers {
            let place = &mut state.answers[ticket as usize];
            assert_eq!(*place, Answer::Pending, "every conversation is answered once");
            *place = answer;
            state.pending -= 1;
        }
        if state.pending == 0
            && let Some(reply) = state.reply.take()
        {
            // Whoever asked may have gone away; the transfer stands all the same.
            drop(reply.send(std::mem::take(&mut state.answers)));
        }
    }
}
