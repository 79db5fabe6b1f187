//! Makes the next segment before it is needed, and saves the marks of sealed ones, on a helper thread or, for a
//! simulation, in the appender itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::disk::DiskFile;
use crate::error::Error;
use crate::segment::{Places, Segment};

/// How many times as long as a step the pause after it is.
const PAUSES_PER_STEP: u32 = 3;
/// However slow the disk is, the segment gets made.
const PAUSE_MAX: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) enum Preparer {
    Inline,
    Ahead {
        jobs: Option<Sender<Job>>,
        made: Receiver<Made>,
        /// Somebody waits for the segment that is being made.
        is_waited_for: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    },
}

type Made = (u64, Result<Box<dyn DiskFile>, Error>);

#[derive(Debug)]
pub(super) enum Job {
    Prepare(u64),
    SaveMarks(Arc<Segment>),
}

impl Preparer {
    /// Falls back to working inline if the system gives no thread: slower at each new segment, and just as safe.
    pub(super) fn new(ahead: bool, shared: &Arc<Places>, segment_bytes: u64) -> Preparer {
        if !ahead {
            return Preparer::Inline;
        }
        let (jobs, jobs_in) = channel::<Job>();
        let (made_out, made) = channel();
        let places = Arc::clone(shared);
        let is_waited_for = Arc::new(AtomicBool::new(false));
        let is_needed_now = Arc::clone(&is_waited_for);
        // The disk belongs to the appends; this work takes a small part of its time as long as nobody waits for it.
        let pause = move |took: Duration| {
            if !is_needed_now.load(Ordering::Relaxed) {
                std::thread::sleep((took * PAUSES_PER_STEP).min(PAUSE_MAX));
            }
        };
        let work = move || {
            for job in jobs_in {
                match job {
                    Job::Prepare(number) => {
                        if made_out.send((number, places.make_zeroed(number, segment_bytes, &pause))).is_err() {
                            return;
                        }
                    }
                    Job::SaveMarks(segment) => save_marks(&places, &segment),
                }
            }
        };
        match std::thread::Builder::new().name("wal-prepare".to_owned()).spawn(work) {
            Ok(thread) => Preparer::Ahead { jobs: Some(jobs), made, is_waited_for, thread: Some(thread) },
            Err(error) => {
                tracing::warn!(%error, "no thread to make segments ahead, making them when needed");
                Preparer::Inline
            }
        }
    }

    pub(super) fn prepare(&self, number: u64) {
        self.send(Job::Prepare(number));
    }

    pub(super) fn save_marks(&self, places: &Places, segment: Arc<Segment>) {
        match self {
            Preparer::Inline => save_marks(places, &segment),
            Preparer::Ahead { .. } => self.send(Job::SaveMarks(segment)),
        }
    }

    /// The segment asked for before, waiting for it if it is half made; made here if the helper could not.
    pub(super) fn take(&self, places: &Places, number: u64, segment_bytes: u64) -> Result<Box<dyn DiskFile>, Error> {
        if let Preparer::Ahead { made, is_waited_for, .. } = self {
            is_waited_for.store(true, Ordering::Relaxed);
            let received = made.recv();
            is_waited_for.store(false, Ordering::Relaxed);
            match received {
                Ok((made_number, Ok(file))) if made_number == number => return Ok(file),
                Ok((_, Err(error))) => tracing::warn!(number, %error, "the next segment could not be made ahead"),
                Ok(_) | Err(_) => {}
            }
        }
        places.make_zeroed(number, segment_bytes, |_| {})
    }

    /// A helper that is gone shows in `take`, which then works without it.
    fn send(&self, job: Job) {
        if let Preparer::Ahead { jobs: Some(jobs), .. } = self
            && jobs.send(job).is_err()
        {
            tracing::warn!("the thread that makes segments ahead is gone");
        }
    }
}

impl Drop for Preparer {
    /// Waits for the helper, so that nothing writes into the folder once the log is closed.
    fn drop(&mut self) {
        if let Preparer::Ahead { jobs, is_waited_for, thread, .. } = self {
            is_waited_for.store(true, Ordering::Relaxed);
            jobs.take();
            if thread.take().is_some_and(|thread| thread.join().is_err()) {
                tracing::warn!("the thread that makes segments ahead panicked");
            }
        }
    }
}

/// Marks that cannot be saved are made again when they are needed.
fn save_marks(places: &Places, segment: &Segment) {
    let marks = segment.marks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(marks) = marks
        && let Err(error) = marks.save(&*places.disk, &places.dir, &segment.header)
    {
        tracing::warn!(segment = segment.header.number, %error, "marks not saved");
    }
}
