//! Options of AWS services, and the runtime that their clients live on.

use aws_config::SdkConfig;
use tokio::runtime::{Builder, Handle, Runtime};

use super::Failure;
use crate::aws::s3::{S3, S3Options};
use crate::aws::{AwsOptions, load};

/// Threads that talk to AWS. They wait for most of the time; what is read and written is worked off by others.
const THREADS: usize = 2;

/// How AWS is reached. Credentials, profile and region are found where every AWS tool finds them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "AWS")]
pub(super) struct AwsArgs {
    /// Region of the AWS services [default: AWS_REGION, or the profile's]
    #[arg(long, env = "FLOWBOUND_AWS_REGION", value_name = "REGION")]
    aws_region: Option<String>,
    /// Endpoint of the AWS services, for a stand-in (http://127.0.0.1:4566)
    #[arg(long, env = "FLOWBOUND_ENDPOINT_URL", value_name = "URL", value_parser = parse_url)]
    endpoint_url: Option<String>,
    /// Name a bucket in the path of a URL, not in its host; always so with --endpoint-url
    #[arg(long, env = "FLOWBOUND_S3_PATH_STYLE")]
    s3_path_style: bool,
    /// Encrypt what is written to S3 with this key of AWS KMS: its id, ARN or alias
    #[arg(long, env = "FLOWBOUND_SSE_KMS_KEY_ID", value_name = "KEY")]
    sse_kms_key_id: Option<String>,
    /// Pay for reading from S3 where the bucket's owner does not
    #[arg(long, env = "FLOWBOUND_REQUESTER_PAYS")]
    requester_pays: bool,
}

pub(super) fn parse_url(text: &str) -> Result<String, String> {
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    is_url.then(|| text.to_owned()).ok_or_else(|| "give a URL that begins with http:// or https://".to_owned())
}

impl AwsArgs {
    /// The configuration of the machine; it is read now, not before.
    pub(super) async fn config(&self) -> SdkConfig {
        load(&AwsOptions { region: self.aws_region.clone(), endpoint_url: self.endpoint_url.clone() }).await
    }

    /// The region that was given here.
    pub(super) fn region(&self) -> Option<&str> {
        self.aws_region.as_deref()
    }

    /// A client of S3.
    pub(super) fn s3(&self, config: &SdkConfig, runtime: Handle) -> S3 {
        let options = S3Options {
            path_style: self.s3_path_style,
            requester_pays: self.requester_pays,
            sse_kms_key_id: self.sse_kms_key_id.clone(),
        };
        S3::new(config, &options, runtime)
    }
}

/// A runtime of which no thread is the caller's: what AWS clients need, for callers block.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().map_err(Failure::failed)
}
