//! What runs beside requests: jobs, each a ractor actor that runs now and then, or when it is woken, and is started again by
//! its supervisor should it panic. What a job does is its own file's business.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::fault::Fault;
use super::notify::{self, Channel};
use super::{
    Services, accounts, adjustments, api_keys, bank_moves, money_requests, promotions, registration, sign_in,
    spending_limits,
};

/// One thing that is done again and again. It keeps nothing between two runs but in the store.
#[derive(Clone, Copy)]
pub struct Job {
    pub name: &'static str,
    pub period: Duration,
    pub run: fn(Arc<Services>) -> Run,
}

/// One run of a job, under way.
pub type Run = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// All jobs.
const JOBS: &[Job] = &[
    Job {
        name: "accounts",
        period: Duration::from_secs(5),
        run: |services| Box::pin(async move { accounts::sweep(&services).await }),
    },
    Job {
        name: "administration",
        period: Duration::from_secs(10),
        run: |services| Box::pin(async move { administration(&services).await }),
    },
    Job {
        name: "credentials",
        period: Duration::from_secs(600),
        run: |services| Box::pin(async move { sign_in::forget(&services).await }),
    },
    Job { name: bank_moves::JOB, period: Duration::from_secs(1), run: |services| Box::pin(bank_moves::run(services)) },
    Job {
        name: "requests",
        period: Duration::from_secs(20),
        run: |services| Box::pin(async move { money_requests::sweep(&services).await }),
    },
    Job {
        name: spending_limits::JOB,
        period: Duration::from_secs(5),
        run: |services| Box::pin(async move { spending_limits::sweep(&services).await }),
    },
    Job { name: "notices", period: Duration::from_millis(250), run: |services| Box::pin(notify::gather(services)) },
    Job {
        name: "email",
        period: Duration::from_secs(1),
        run: |services| Box::pin(notify::deliver(services, Channel::Email)),
    },
    Job {
        name: "sms",
        period: Duration::from_secs(1),
        run: |services| Box::pin(notify::deliver(services, Channel::Sms)),
    },
    Job {
        name: "push",
        period: Duration::from_secs(1),
        run: |services| Box::pin(notify::deliver(services, Channel::Push)),
    },
    Job {
        name: "notices_care",
        period: Duration::from_secs(15),
        run: |services| Box::pin(notify::look_after(services)),
    },
];

/// Where jobs can be woken.
#[derive(Debug, Default)]
pub struct Background {
    running: Mutex<HashMap<&'static str, ActorRef<Wake>>>,
    supervisor: Mutex<Option<ActorRef<()>>>,
}

/// Runs the job now.
#[derive(Debug)]
pub enum Wake {
    Now,
    Tick,
}

struct Supervisor;
struct Worker;

struct WorkerState {
    job: Job,
    services: Weak<Services>,
}

/// Promotions, adjustments, and what is forgotten of registrations and keys.
async fn administration(services: &Services) -> Result<(), Fault> {
    promotions::sweep(services).await?;
    adjustments::sweep(services).await?;
    registration::forget(services).await?;
    api_keys::note_use(services).await
}

pub(super) async fn start(services: &Arc<Services>) -> Result<(), Fault> {
    let broken = |error: ractor::SpawnErr| Fault::Broken { what: format!("a background job does not start: {error}") };
    let (supervisor, _) = Actor::spawn(None, Supervisor, Arc::downgrade(services)).await.map_err(broken)?;
    *services.background.supervisor.lock().unwrap_or_else(PoisonError::into_inner) = Some(supervisor);
    Ok(())
}

impl Background {
    /// Runs a job as soon as may be, instead of at its next time.
    pub fn wake(&self, name: &'static str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(actor) = running.get(name) {
            // One that is being started again runs at its time.
            drop(actor.send_message(Wake::Now));
        }
    }

    pub async fn stop(&self) {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        let running: Vec<_> =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, actor)| actor).collect();
        for actor in running {
            // What a job has begun it finishes; it keeps its work in the store, so nothing is lost if it does not.
            drop(actor.stop_and_wait(None, Some(Duration::from_secs(10))).await);
        }
        if let Some(supervisor) = supervisor {
            drop(supervisor.stop_and_wait(None, Some(Duration::from_secs(1))).await);
        }
    }
}

impl Actor for Supervisor {
    type Msg = ();
    type State = Weak<Services>;
    type Arguments = Weak<Services>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        services: Weak<Services>,
    ) -> Result<Weak<Services>, ActorProcessingErr> {
        for &job in JOBS {
            // The first run is at once: what a crash left waits no longer than it must. One that broke waits its time.
            drop(spawn(&myself, job, &services).await?.send_message(Wake::Now));
        }
        Ok(services)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        services: &mut Weak<Services>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(actor, error) = event {
            let Some(&job) = job_of(services, actor.get_id()) else { return Ok(()) };
            tracing::error!(job = job.name, %error, "a background job broke, and is started again");
            metrics::counter!("florin_background_restarts_total", "job" => job.name).increment(1);
            drop(spawn(&myself, job, services).await?);
        }
        Ok(())
    }
}

impl Actor for Worker {
    type Msg = Wake;
    type State = WorkerState;
    type Arguments = WorkerState;

    async fn pre_start(&self, myself: ActorRef<Wake>, state: WorkerState) -> Result<WorkerState, ActorProcessingErr> {
        myself.send_interval(state.job.period, || Wake::Tick);
        Ok(state)
    }

    async fn handle(&self, _: ActorRef<Wake>, _: Wake, state: &mut WorkerState) -> Result<(), ActorProcessingErr> {
        let Some(services) = state.services.upgrade() else { return Ok(()) };
        if let Err(fault) = (state.job.run)(services).await {
            // The next run tries again.
            tracing::warn!(job = state.job.name, %fault, cause = ?std::error::Error::source(&fault), "a background job failed");
        }
        Ok(())
    }
}

async fn spawn(
    supervisor: &ActorRef<()>,
    job: Job,
    services: &Weak<Services>,
) -> Result<ActorRef<Wake>, ActorProcessingErr> {
    let state = WorkerState { job, services: Weak::clone(services) };
    let (actor, _) = Actor::spawn_linked(None, Worker, state, supervisor.get_cell()).await?;
    if let Some(services) = services.upgrade() {
        services.background.running.lock().unwrap_or_else(PoisonError::into_inner).insert(job.name, actor.clone());
    }
    Ok(actor)
}

fn job_of(services: &Weak<Services>, id: ractor::ActorId) -> Option<&'static Job> {
    let services = services.upgrade()?;
    let running = services.background.running.lock().unwrap_or_else(PoisonError::into_inner);
    let name = running.iter().find(|(_, actor)| actor.get_id() == id).map(|(name, _)| *name)?;
    JOBS.iter().find(|job| job.name == name)
}
