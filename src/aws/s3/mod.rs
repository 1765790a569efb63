//! S3: objects are listed, read in ranges, and written whole or in parts.
//!
//! The SDK retries what may be retried, with backoff and jitter. What it does not: a body that breaks off after its
//! headers ([`S3::get`] asks for the rest), and a conditional write whose answer was lost (the lake's business).

mod error;
#[cfg(test)]
pub(crate) mod fake;
mod get;
mod list;
mod put;
mod reader;
mod uri;

pub use error::{S3Error, S3ErrorKind};
pub use get::Fetched;
pub use list::{S3Listing, S3Object};
pub use put::{MAX_COPY_BYTES, PartUpload};
pub use reader::RangeReader;
pub use uri::{S3Uri, S3UriError, SCHEME};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::RequestPayer;
use tokio::runtime::Handle;

/// What a user may say about S3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`; always so when an endpoint is given.
    pub path_style: bool,
    /// Whoever reads pays, not the bucket's owner.
    pub requester_pays: bool,
    /// Key of AWS KMS by which everything written is encrypted.
    pub sse_kms_key_id: Option<String>,
}

/// A client with what every request of a run shares. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    runtime: Handle,
    payer: Option<RequestPayer>,
    sse_kms_key_id: Option<String>,
}

impl S3 {
    /// A client. Its requests run on this runtime, which must have threads of its own.
    pub fn new(config: &SdkConfig, options: &S3Options, runtime: Handle) -> Self {
        let own_endpoint = config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        let config =
            aws_sdk_s3::config::Builder::from(config).force_path_style(options.path_style || own_endpoint).build();
        Self {
            client: Client::from_conf(config),
            runtime,
            payer: options.requester_pays.then_some(RequestPayer::Requester),
            sse_kms_key_id: options.sse_kms_key_id.clone(),
        }
    }

    /// The runtime of the requests.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
