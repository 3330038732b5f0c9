//! Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.
//!
//! `/healthz` says that the process lives, and never asks for the broker: probes that restart what is not healthy would
//! restart a fleet at each outage of it. `/readyz` says whether the broker has accepted us.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::hub::{Current, Hub};
use super::publisher::MqttState;

/// Connections at a time. A scraper and some probes need no more; one more ends the oldest, so that who holds all of
/// them cannot have a probe miss its answer and the process restarted.
const MOST_CONNECTIONS: usize = 16;

/// Time for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Time that one connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(120);

/// Pause after the listener failed: out of descriptors, or the port is taken.
const PAUSE: Duration = Duration::from_secs(5);

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens where the configuration in force says, and answers, until it is dropped. A port that is taken is tried again,
/// and said once: telemetry does not depend on it.
pub async fn serve_as_configured(hub: Arc<Hub>) {
    let mut changes = hub.changes();
    loop {
        let wanted = address_of(&changes.borrow_and_update());
        tokio::select! {
            never = serve(wanted, &hub) => match never {},
            changed = changes.wait_for(|current| address_of(current) != wanted) => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

fn address_of(current: &Current) -> Option<SocketAddr> {
    current.config.http.as_ref().map(|http| http.listen)
}

async fn serve(address: Option<SocketAddr>, hub: &Arc<Hub>) -> Infallible {
    let Some(address) = address else { return std::future::pending().await };
    let listener = listen(address).await;
    tracing::info!(%address, "health and metrics over HTTP");
    let mut connections = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.retain(|connection: &AbortOnDropHandle<_>| !connection.is_finished());
                if connections.len() >= MOST_CONNECTIONS {
                    connections.pop_front();
                }
                let answering = tokio::time::timeout(CONNECTION_TIME, answer_all(stream, Arc::clone(hub)));
                connections.push_back(AbortOnDropHandle::new(tokio::spawn(answering)));
            }
            Err(error) => {
                tracing::warn!(%address, %error, "HTTP connections cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    let mut is_said = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if is_said => tracing::debug!(%address, %error, "HTTP cannot listen yet"),
            Err(error) => {
                is_said = true;
                tracing::error!(%address, %error, code = "LISTEN", "HTTP cannot listen; it is tried again");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn answer_all(stream: TcpStream, hub: Arc<Hub>) {
    let service = service_fn(move |request| {
        let hub = Arc::clone(&hub);
        async move { Ok::<_, Infallible>(answer(&request, &hub)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

fn answer(request: &Request<Incoming>, hub: &Hub) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
    }
    match request.uri().path() {
        "/healthz" => page(StatusCode::OK, TEXT, "alive\n".to_owned()),
        "/readyz" => ready(&hub.mqtt()),
        "/metrics" => match hub.scrape().text() {
            Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        _ => page(StatusCode::NOT_FOUND, TEXT, "/healthz /readyz /metrics\n".to_owned()),
    }
}

fn ready(mqtt: &MqttState) -> Response<Full<Bytes>> {
    if mqtt.connected {
        return page(StatusCode::OK, TEXT, "connected\n".to_owned());
    }
    let why = mqtt.last_error.as_ref();
    let why = why.map_or_else(|| "not connected yet".to_owned(), |why| format!("{why}\nhint: {}", why.hint));
    page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n"))
}

fn page(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
