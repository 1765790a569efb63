//! A server for tests that answers as a function says, also with bodies that break off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Method and target: `GET /bucket/key?query`.
    pub(crate) line: String,
    /// Headers, by their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// Bytes of the body after which the connection ends.
    cut: usize,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: String::new(), body: body.into(), cut: usize::MAX }
    }

    /// The connection ends without an answer.
    pub(crate) fn none() -> Self {
        Self::new(0, "")
    }

    /// An error of S3 with this code.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::new(status, format!("<Error><Code>{code}</Code><Message>said so</Message></Error>"))
    }

    /// An error of a service that speaks JSON.
    pub(crate) fn json_error(code: &str) -> Self {
        Self::new(400, format!("{{\"__type\":\"{code}\",\"message\":\"said so\"}}"))
    }

    /// The range of an object that was asked for.
    pub(crate) fn range_of(object: &[u8], asked: &Asked) -> Self {
        let range = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes=")).unwrap_or("0-");
        let (from, to) = range.split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let end = to.parse::<usize>().map_or(object.len(), |last| object.len().min(last + 1));
        if from >= end {
            return Self::error(416, "InvalidRange");
        }
        Self::new(206, &object[from..end])
            .header("content-range", &format!("bytes {from}-{}/{}", end - 1, object.len()))
            .header("etag", "\"one\"")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn cut_at(mut self, bytes: usize) -> Self {
        self.cut = bytes;
        self
    }
}

/// What was asked, in order.
pub(crate) type Log = Arc<Mutex<Vec<Asked>>>;

/// The configuration of clients of a server that answers so; they do not retry by themselves.
pub(crate) async fn serve(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> (SdkConfig, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, log) = (Arc::new(Mutex::new(answer)), Log::default());
    let kept = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(asked) = read(&mut stream).await {
                    let reply = answer.lock().unwrap()(&asked);
                    let head = asked.line.starts_with("HEAD");
                    log.lock().unwrap().push(asked);
                    if write(&mut stream, &reply, head).await.is_none() {
                        return;
                    }
                }
            });
        }
    });
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(super::http_client())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "test")))
        .retry_config(RetryConfig::disabled())
        .build();
    (config, log)
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let line = line.rsplit_once(" HTTP")?.0.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.contains_key("expect") {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { line, headers, body })
}

/// `None`: the connection ends.
async fn write(stream: &mut BufReader<TcpStream>, answer: &Answer, head: bool) -> Option<()> {
    let Answer { status, headers, body, cut } = answer;
    if *status == 0 {
        return None;
    }
    let first = format!("HTTP/1.1 {status} As told\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.get_mut().write_all(first.as_bytes()).await.ok()?;
    if head {
        return Some(());
    }
    stream.get_mut().write_all(body.get(..*cut).unwrap_or(body)).await.ok()?;
    (*cut >= body.len()).then_some(())
}
