//! What probes and Prometheus ask: `/livez`, `/readyz` and `/metrics` over plain HTTP.
//!
//! Alive means that the driver answers. Ready means that the cluster has told what it holds; a hub
//! that is away does not make an agent unready, for restarting it would help nobody.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use canopy_core::Agent;
use canopy_node::Handle;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;

/// Begins to serve.
pub(crate) async fn serve(address: SocketAddr, agent: Handle<Agent>) -> anyhow::Result<()> {
    let metrics = PrometheusBuilder::new().install_recorder().context("collecting metrics")?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listening on {address} (--health)"))?;
    let router = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(agent)
        .route("/metrics", get(async move || metrics.render()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn live(State(agent): State<Handle<Agent>>) -> (StatusCode, &'static str) {
    match agent.read(|_| ()).await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the agent's driver does not answer\n"),
    }
}

async fn ready(State(agent): State<Handle<Agent>>) -> (StatusCode, &'static str) {
    match agent.read(Agent::is_surveyed).await {
        Ok(true) => (StatusCode::OK, "ok\n"),
        Ok(false) => (StatusCode::SERVICE_UNAVAILABLE, "the cluster has not told yet what it holds\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the agent's driver does not answer\n"),
    }
}
