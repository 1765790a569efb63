//! What a monitoring system asks over HTTP: `/metrics`, `/healthz`, `/readyz`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::Metrics;

/// Time that a client may take for its request: nobody shall hold connections open for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time that a connection may be open, whatever it is for. Prometheus opens another one.
const CONNECTION: Duration = Duration::from_secs(300);

/// Whether the program does what it should, for load balancers and orchestrators.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Answers on this address as long as the program runs.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn listen(address: SocketAddr, metrics: Arc<Metrics>, ready: Arc<Readiness>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // too many open files, most of all: it passes
                    tracing::warn!(error = error.to_string(), "cannot accept a connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let (metrics, ready) = (metrics.clone(), ready.clone());
            let answer = service_fn(move |request| {
                let response = respond(&request, &metrics, &ready);
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(async move {
                let mut server = hyper::server::conn::http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
                // a client that goes away is no concern of ours
                let _gone = timeout(CONNECTION, server.serve_connection(TokioIo::new(stream), answer)).await;
            });
        }
    });
    Ok(bound)
}

fn respond(request: &Request<Incoming>, metrics: &Metrics, ready: &Readiness) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            if let Some(bytes) = resident_bytes() {
                metrics.memory(bytes);
            }
            (StatusCode::OK, OPEN_METRICS, metrics.render())
        }
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") if ready.get() => (StatusCode::OK, TEXT, "ready\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready: no shard is followed\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, TEXT, "there are /metrics, /healthz and /readyz\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// Memory of this process, where the system says (Linux).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn questions_are_answered() {
        let (metrics, ready) = (Arc::new(Metrics::default()), Arc::new(Readiness::default()));
        metrics.record("shard-1", 5);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = listen(loopback, metrics, ready.clone()).await.unwrap();
        let answer = get(address, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("openmetrics"), "{answer}");
        assert!(answer.contains("flowbound_kinesis_records_total{shard=\"shard-1\"} 1"), "{answer}");
        assert!(get(address, "/healthz").await.ends_with("ok\n"));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        ready.set(true);
        assert!(get(address, "/readyz").await.ends_with("\r\nready\n"));
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
    }
}
