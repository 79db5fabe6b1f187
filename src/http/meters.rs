//! What is counted for Prometheus. Handles are made once, so that counting a request touches no
//! map; the engine's figures are read when somebody asks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::problem::Code;
use super::route::{Route, Verb};
use crate::engine::Health;

pub(super) struct Meters {
    pub connections: Gauge,
    pub connections_refused: Counter,
    /// Requests that are being answered. A gauge is a float, which cannot be added to in one step.
    pub in_flight: AtomicUsize,
    routes: Vec<RouteMeters>,
    other: RouteMeters,
    problems: Vec<Counter>,
    handle: PrometheusHandle,
}

struct RouteMeters {
    /// By class of status: 2xx, 3xx, 4xx, 5xx.
    answered: [Counter; 4],
    seconds: Histogram,
}

const SECONDS: &str = "florin_http_request_duration_seconds";
const SECONDS_BUCKETS: &[f64] =
    &[0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

static SHARED: OnceLock<Meters> = OnceLock::new();

impl Meters {
    /// The process has one recorder, and so one of these, however many servers it runs.
    pub(super) fn shared() -> &'static Meters {
        SHARED.get_or_init(Meters::new)
    }

    pub(super) fn answered(&self, route: Option<Route>, status: StatusCode, took: Duration) {
        let meters = route.map_or(&self.other, |route| &self.routes[route as usize]);
        let class = usize::from(status.as_u16() / 100).saturating_sub(2).min(3);
        meters.answered[class].increment(1);
        meters.seconds.record(took.as_secs_f64());
    }

    pub(super) fn problem(&self, code: Code) {
        let index = Code::ALL.iter().position(|known| *known == code).expect("ALL has every code");
        self.problems[index].increment(1);
    }

    /// Empties the histograms' buffers; without it they grow between two scrapes.
    pub(super) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    pub(super) fn render(&self, health: Option<&Health>) -> String {
        gauge!("florin_http_requests_in_flight").set(to_f64(count(self.in_flight.load(Ordering::Relaxed))));
        gauge!("florin_ready").set(f64::from(u8::from(health.is_some())));
        if let Some(health) = health {
            gauge!("florin_last_lsn").set(to_f64(health.last_lsn));
            gauge!("florin_engine_in_flight").set(to_f64(count(health.in_flight)));
            gauge!("florin_read_only").set(f64::from(u8::from(health.read_only.is_some())));
        }
        self.handle.render()
    }

    fn new() -> Meters {
        let buckets =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), SECONDS_BUCKETS);
        let recorder = buckets.expect("the list of buckets is not empty").build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was there first; /metrics will be empty");
        }
        describe();
        let verb = |route: &Route| if route.verb() == Verb::Get { "GET" } else { "POST" };
        Meters {
            connections: gauge!("florin_http_connections"),
            connections_refused: counter!("florin_http_connections_refused_total"),
            in_flight: AtomicUsize::new(0),
            routes: Route::ALL.iter().map(|route| RouteMeters::new(verb(route), route.path())).collect(),
            other: RouteMeters::new("other", "other"),
            problems: Code::ALL
                .iter()
                .map(|code| counter!("florin_http_problems_total", "code" => code.name()))
                .collect(),
            handle,
        }
    }
}

impl RouteMeters {
    fn new(method: &'static str, route: &'static str) -> RouteMeters {
        let answered = ["2xx", "3xx", "4xx", "5xx"].map(
            |class| counter!("florin_http_requests_total", "method" => method, "route" => route, "class" => class),
        );
        RouteMeters { answered, seconds: histogram!(SECONDS, "method" => method, "route" => route) }
    }
}

fn describe() {
    metrics::describe_counter!("florin_http_requests_total", "Requests answered, by route and class of status.");
    metrics::describe_histogram!(SECONDS, "From the end of a request's headers to its answer.");
    metrics::describe_gauge!("florin_http_requests_in_flight", "Requests that are being answered.");
    metrics::describe_gauge!("florin_http_connections", "Open connections.");
    metrics::describe_counter!("florin_http_connections_refused_total", "Connections above the limit.");
    metrics::describe_counter!("florin_http_connections_ended_total", "Ended: memory was short, and theirs not taken.");
    metrics::describe_counter!("florin_http_problems_total", "Problem documents sent, by code.");
    metrics::describe_counter!("florin_http_panics_total", "Handlers that panicked.");
    metrics::describe_gauge!("florin_ready", "1 once the engine has recovered.");
    metrics::describe_gauge!("florin_last_lsn", "The last durable position of the log.");
    metrics::describe_gauge!("florin_engine_in_flight", "Requests on their way through the engine.");
    metrics::describe_gauge!("florin_read_only", "1 when the log cannot be written.");
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// Gauges are floats; above 2^53 a position is shown to the nearest one that a float has.
fn to_f64(number: u64) -> f64 {
    number as f64
}
