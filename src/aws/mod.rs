//! AWS: how clients are made. Credentials, region and profiles come by the SDK's own default chain; an endpoint of
//! one service by the SDK's own variables (`AWS_ENDPOINT_URL_S3`, …).

pub mod backoff;
pub mod blocking;
mod explain;
#[cfg(test)]
pub(crate) mod fake;
mod no_answer;
pub mod s3;
pub mod sqs;

pub use explain::explain;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// What a user may say about AWS.
#[derive(Debug, Clone, Default)]
pub struct AwsOptions {
    /// Region; by the SDK's default chain if not given.
    pub region: Option<String>,
    /// Endpoint of every service, for stand-ins.
    pub endpoint_url: Option<String>,
}

/// Times one request is tried. Backoff is the SDK's: exponential, with jitter.
const ATTEMPTS: u32 = 8;

/// Reads the configuration of the machine once; every client is made from it.
pub async fn load(options: &AwsOptions) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(60))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts);
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &options.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

/// The configuration for a service that alerts go to, in this region if it is known. Who delivers is not to wait long: the
/// next closing of windows tries again.
pub fn to_deliver(config: &SdkConfig, region: Option<&str>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(10))
        .build();
    let mut builder = config.to_builder().timeout_config(timeouts);
    if let Some(region) = region {
        builder.set_region(Some(Region::new(region.to_owned())));
    }
    builder.build()
}

/// The region in an ARN: `arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME`.
pub fn region_of_arn(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
