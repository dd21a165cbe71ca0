//! Probes and metrics over plain HTTP: whether the hub lives, whether it decides, and how it does.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use canopy_core::Hub;
use canopy_node::Handle;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histogram of commits: from a fast disk's sync to one that hangs.
const COMMIT_SECONDS: [f64; 10] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0, 10.0];
/// How often old samples are folded away.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The metrics of this process; several hubs in one process share them.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(recorder) = RECORDER.get() {
        return Ok(recorder.clone());
    }
    let commits = Matcher::Full("canopy_commit_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(commits, &COMMIT_SECONDS)?;
    let recorder = builder.build_recorder();
    let handle = RECORDER.get_or_init(|| recorder.handle()).clone();
    // Another hub of this process, or the program around, may have been first.
    let _ = metrics::set_global_recorder(recorder);
    Ok(handle)
}

/// The routes.
pub fn routes(hub: Handle<Hub>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(hub)
        .route("/metrics", get(move || async move { metrics.render() }))
}

/// Lives as long as its driver answers.
async fn live(State(hub): State<Handle<Hub>>) -> (StatusCode, String) {
    match hub.read(|_| ()).await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// Ready when the core decides; otherwise says what it waits for.
async fn ready(State(hub): State<Handle<Hub>>) -> (StatusCode, String) {
    match hub.read(|hub| (hub.is_ready(), hub.readiness())).await {
        Ok((true, _)) => (StatusCode::OK, "ok\n".to_owned()),
        Ok((false, why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}: {}\n", why.reason, why.message)),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// Serves the routes until the task is dropped.
pub async fn serve(listener: tokio::net::TcpListener, routes: Router) -> anyhow::Result<()> {
    axum::serve(listener, routes).await.context("serving probes and metrics failed")
}
