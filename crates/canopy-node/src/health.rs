//! What probes and Prometheus ask over plain HTTP: `/livez`, `/readyz` and `/metrics`.
//!
//! A node lives as long as its driver answers. What it takes to be ready is for each program to say.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use tokio::net::TcpListener;
use tokio::time::interval;

use crate::handle::{Error, Handle};

pub use metrics_exporter_prometheus::PrometheusHandle;

/// Upper bounds of the histogram of commits: from a fast disk's sync to one that hangs.
const COMMIT_SECONDS: [f64; 10] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0, 10.0];

/// How often old samples are folded away. They pile up otherwise for as long as nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The metrics of this process; several nodes in one process share them.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(recorder) = RECORDER.get() {
        return Ok(recorder.clone());
    }
    let commits = Matcher::Full("canopy_commit_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(commits, &COMMIT_SECONDS)?;
    let recorder = builder.build_recorder();
    let handle = RECORDER.get_or_init(|| recorder.handle()).clone();
    // Another node of this process, or the program around, may have been first.
    let _ = metrics::set_global_recorder(recorder);
    Ok(handle)
}

/// Serves probes and metrics until the task is dropped. `ready` says what the node waits for.
pub async fn serve<M: 'static>(
    listener: TcpListener,
    node: Handle<M>,
    metrics: PrometheusHandle,
    ready: impl Fn(&M) -> Result<(), String> + Send + Sync + 'static,
) -> io::Result<()> {
    let ready = Arc::new(ready);
    let living = node.clone();
    let live = async move || answer(living.read(|_| Ok(())).await);
    let readiness = async move || answer(node.read(move |machine| ready(machine)).await);
    let routes = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(readiness))
        .route("/metrics", get(async move || metrics.render()));
    axum::serve(listener, routes).await
}

/// Keeps the metrics small, for ever.
pub async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

fn answer(said: Result<Result<(), String>, Error>) -> (StatusCode, String) {
    match said {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}
