//! Makes the next segment before it is needed, and saves the marks of sealed ones, on a helper thread or, for a
//! simulation, in the appender itself.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::disk::DiskFile;
use crate::error::Error;
use crate::segment::{Places, Segment};

#[derive(Debug)]
pub(super) enum Preparer {
    Inline,
    Ahead { jobs: Option<Sender<Job>>, made: Receiver<Made>, thread: Option<JoinHandle<()>> },
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
        let work = move || {
            for job in jobs_in {
                match job {
                    Job::Prepare(number) => {
                        if made_out.send((number, places.make_zeroed(number, segment_bytes))).is_err() {
                            return;
                        }
                    }
                    Job::SaveMarks(segment) => save_marks(&places, &segment),
                }
            }
        };
        match std::thread::Builder::new().name("wal-prepare".to_owned()).spawn(work) {
            Ok(thread) => Preparer::Ahead { jobs: Some(jobs), made, thread: Some(thread) },
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
        if let Preparer::Ahead { made, .. } = self {
            match made.recv() {
                Ok((made_number, Ok(file))) if made_number == number => return Ok(file),
                Ok((_, Err(error))) => tracing::warn!(number, %error, "the next segment could not be made ahead"),
                Ok(_) | Err(_) => {}
            }
        }
        places.make_zeroed(number, segment_bytes)
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
        if let Preparer::Ahead { jobs, thread, .. } = self {
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
