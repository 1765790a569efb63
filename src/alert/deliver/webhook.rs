//! Alerts to an HTTPS endpoint, by POST.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::secret::SecretUrl;
use super::{Message, SendError};
use crate::aws::backoff::back_off;

/// Times that a message is posted.
const ATTEMPTS: u32 = 6;
/// Time that an answer may take, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a receiver is waited for who says when to come again; else it is the next closing's part.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are looked at, and characters that are told.
const ANSWER: usize = 4096;
const TOLD: usize = 200;

/// An endpoint.
pub struct Webhook {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: SecretUrl,
    timeout: Duration,
}

/// Why one attempt failed.
enum Failed {
    /// It may go another time; when, if the receiver says.
    ForNow(String, Option<Duration>),
    ForGood(String),
}

impl Webhook {
    /// The endpoint of this URL. An answer may take so long.
    ///
    /// # Errors
    /// When this machine has no certificates of authorities.
    pub fn new(url: SecretUrl, timeout: Duration) -> io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), url, timeout })
    }

    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let mut failures = 0;
        loop {
            let (why, wait) = match self.post(message).await {
                Ok(()) => return Ok(()),
                Err(Failed::ForGood(why)) => return Err(SendError(why)),
                Err(Failed::ForNow(why, wait)) => (why, wait),
            };
            failures += 1;
            if failures >= ATTEMPTS || wait.is_some_and(|wait| wait > LONGEST_WAIT) {
                return Err(SendError(why));
            }
            tracing::debug!(webhook = %self.url, why, failures, "posted again");
            match wait {
                Some(wait) => sleep(wait).await,
                None => back_off(failures).await,
            }
        }
    }

    async fn post(&self, message: &Message<'_>) -> Result<(), Failed> {
        let kind = if message.form.is_json() { "application/json" } else { "text/plain; charset=utf-8" };
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.expose().clone())
            .header(CONTENT_TYPE, kind)
            .header(USER_AGENT, concat!("flowbound/", env!("CARGO_PKG_VERSION")))
            // for receivers that know what came before
            .header(HeaderName::from_static("idempotency-key"), message.key())
            .body(Full::new(Bytes::from(message.body.clone())));
        let request = request.map_err(|_| Failed::ForGood(format!("{} is no URL to post to", self.url)))?;
        let answered = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            // what it says beside the status is of use in messages alone
            let body = Limited::new(body, ANSWER).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Ok::<_, hyper_util::client::legacy::Error>((head, body))
        };
        match timeout(self.timeout, answered).await {
            Err(_) => {
                let why = format!("{} gave no answer within {} s", self.url, self.timeout.as_secs_f64());
                Err(Failed::ForNow(why, None))
            }
            Ok(Err(error)) => {
                let why = format!("{} cannot be reached: {}", self.url, self.url.redact(&root_of(&error)));
                Err(Failed::ForNow(why, None))
            }
            Ok(Ok((head, body))) => self.judge(head.status, &head.headers, &body),
        }
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), Failed> {
        if status.is_success() {
            return Ok(());
        }
        let said = self.url.redact(&String::from_utf8_lossy(body));
        let said: String = said.chars().filter(|c| !c.is_control()).take(TOLD).collect();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let why = |what: &str| format!("{} {what} ({}{said})", self.url, status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                Err(Failed::ForNow(why("has enough of the requests"), retry_after(headers)))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Err(Failed::ForNow(why("wants it again"), None)),
            status if status.is_server_error() => {
                Err(Failed::ForNow(why("is not able to answer now"), retry_after(headers)))
            }
            status if status.is_redirection() => {
                Err(Failed::ForGood(why("redirects, which is not followed: give the URL that it redirects to")))
            }
            _ => Err(Failed::ForGood(why("refused the message: check the URL, its rights and the format"))),
        }
    }
}

/// How long to wait, in seconds or until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    // one that has passed is no time to wait
    Some(until.duration_since(Timestamp::now()).try_into().unwrap_or_default())
}

/// The reason at the end of the chain of causes.
fn root_of(error: &dyn Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// By scheme and host alone.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.url).finish()
    }
}
