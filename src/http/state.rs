//! What all connections share: the engine once it has recovered, how far recovery is, the keys,
//! the meters.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::auth::OperatorKeys;
use super::meters::Meters;
use super::problem::{Code, Problem};
use crate::engine::Engine;
use crate::services::{Principal, Services};

/// Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Shared>);

struct Shared {
    engine: OnceLock<Engine>,
    services: OnceLock<Arc<Services>>,
    operator: Arc<Principal>,
    nobody: Principal,
    keys: OperatorKeys,
    meters: &'static Meters,
    recovered: AtomicU64,
    to_recover: AtomicU64,
    is_stopping: AtomicBool,
    /// What the bodies of all requests under way take.
    bodies_bytes: AtomicUsize,
}

impl State {
    /// A server in this state answers RECOVERING until [`State::ready`] is called.
    pub fn new(keys: OperatorKeys) -> State {
        State(Arc::new(Shared {
            engine: OnceLock::new(),
            services: OnceLock::new(),
            operator: Arc::new(Principal::operator()),
            nobody: Principal::nobody(),
            keys,
            meters: Meters::shared(),
            recovered: AtomicU64::new(0),
            to_recover: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            bodies_bytes: AtomicUsize::new(0),
        }))
    }

    /// How far recovery is, in log positions, for whoever asks /readyz.
    pub fn recovering(&self, recovered: u64, to_recover: u64) {
        self.0.recovered.store(recovered, Ordering::Relaxed);
        self.0.to_recover.store(to_recover, Ordering::Relaxed);
    }

    /// The engine has recovered. A second engine is ignored: there is one in the life of a server.
    pub fn ready(&self, engine: Engine) {
        if self.0.engine.set(engine).is_err() {
            tracing::warn!("a second engine was given to the http server, and is not used");
        }
    }

    /// People can be asked for. Given before [`State::ready`], so that nobody is turned away in between.
    pub fn people(&self, services: Arc<Services>) {
        if self.0.services.set(services).is_err() {
            tracing::warn!("people were given to the http server twice, and the second are not used");
        }
    }

    /// From now on /readyz says no, so that a balancer sends new clients elsewhere.
    pub fn stopping(&self) {
        self.0.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn engine(&self) -> Result<&Engine, Problem> {
        self.0.engine.get().ok_or_else(|| {
            let (recovered, to_recover) = self.progress();
            let detail = format!("The log is being read back: {recovered} of {to_recover} positions so far.");
            Problem::new(Code::Recovering, detail)
        })
    }

    pub(super) fn services(&self) -> Option<&Arc<Services>> {
        self.0.services.get()
    }

    /// Whoever has the operator's key.
    pub(super) fn operator(&self) -> &Arc<Principal> {
        &self.0.operator
    }

    /// Whoever calls a route that is open.
    pub(super) fn nobody(&self) -> &Principal {
        &self.0.nobody
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.0.recovered.load(Ordering::Relaxed), self.0.to_recover.load(Ordering::Relaxed))
    }

    pub(super) fn keys(&self) -> &OperatorKeys {
        &self.0.keys
    }

    pub(super) fn bodies_bytes(&self) -> &AtomicUsize {
        &self.0.bodies_bytes
    }

    pub(super) fn meters(&self) -> &'static Meters {
        self.0.meters
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("is_ready", &self.0.engine.get().is_some()).finish_non_exhaustive()
    }
}
