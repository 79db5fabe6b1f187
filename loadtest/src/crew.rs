//! Runs the connections of one thread: a current-thread runtime, one task per job, a regular tick, an end
//! by the clock or by Ctrl-C. What the jobs do is theirs.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::client::{Halt, Job, OnLoss, Stop, drive};
use crate::endpoint::Endpoint;
use crate::http2;

/// How one thread works.
#[derive(Clone, Debug)]
pub struct Crew {
    pub endpoint: Endpoint,
    /// Requests under way on one connection.
    pub depth: usize,
    pub on_loss: OnLoss,
    /// Each request under way on a stream of its own.
    pub is_http2: bool,
    pub halt: Arc<Halt>,
    pub until: Option<Instant>,
}

/// What is left when all connections have ended.
#[derive(Debug)]
pub struct Ended<J> {
    pub jobs: Vec<J>,
    /// What the connections said that were lost for good.
    pub losses: Vec<String>,
}

impl Crew {
    /// Works through the jobs, one connection each; `tick` is called every `period` and once at the end.
    pub fn work<J: Job + 'static>(
        &self,
        jobs: Vec<J>,
        period: Duration,
        tick: impl Fn() + 'static,
    ) -> io::Result<Ended<J>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tick = Rc::new(tick);
        let ended = LocalSet::new().block_on(&runtime, self.run(jobs, period, Rc::clone(&tick)));
        tick();
        Ok(ended)
    }

    async fn run<J: Job + 'static>(&self, jobs: Vec<J>, period: Duration, tick: Rc<impl Fn() + 'static>) -> Ended<J> {
        let side = [
            tokio::task::spawn_local(ticking(period, tick)),
            tokio::task::spawn_local(interrupted(Arc::clone(&self.halt))),
            tokio::task::spawn_local(time_up(Arc::clone(&self.halt), self.until)),
        ];
        let tasks: Vec<_> = jobs
            .into_iter()
            .map(|mut job| {
                let crew = self.clone();
                tokio::task::spawn_local(async move {
                    let (endpoint, halt) = (&crew.endpoint, &crew.halt);
                    let loss = if crew.is_http2 {
                        http2::drive(endpoint, &mut job, crew.depth, halt).await
                    } else {
                        drive(endpoint, &mut job, crew.depth, crew.on_loss, halt).await
                    };
                    (job, loss)
                })
            })
            .collect();
        let mut ended = Ended { jobs: Vec::new(), losses: Vec::new() };
        for task in tasks {
            match task.await {
                Ok((job, loss)) => {
                    ended.jobs.push(job);
                    ended.losses.extend(loss);
                }
                Err(panic) => {
                    self.halt.stop(Stop::Broken);
                    ended.losses.push(format!("a connection's task ended badly: {panic}"));
                }
            }
        }
        for task in side {
            task.abort();
        }
        ended
    }
}

async fn ticking(period: Duration, tick: Rc<impl Fn() + 'static>) {
    let mut interval = tokio::time::interval(period);
    loop {
        interval.tick().await;
        tick();
    }
}

async fn interrupted(halt: Arc<Halt>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        halt.stop(Stop::Interrupted);
    }
}

async fn time_up(halt: Arc<Halt>, until: Option<Instant>) {
    if let Some(until) = until {
        tokio::time::sleep_until(until.into()).await;
        halt.stop(Stop::TimeUp);
    }
}
