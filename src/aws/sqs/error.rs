//! What SQS answers when it does not do what it was asked, in words that say what to do.

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::aws::no_answer::NoAnswer;

/// A request that failed, after all retries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqsError {
    /// What kind of failure it is.
    pub kind: SqsErrorKind,
    message: String,
}

/// Kinds of failures that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqsErrorKind {
    /// There is no such queue, or not there.
    NoQueue,
    /// Not allowed.
    Denied,
    /// No region is known.
    Region,
    /// No credentials, or none that SQS takes.
    Credentials,
    /// Not now.
    Busy,
    /// No answer at all.
    Unreachable,
    /// Anything else.
    Other,
}

impl SqsError {
    pub(super) fn new(kind: SqsErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What the SDK's error on this queue means; requests went to this region.
    pub(super) fn of<E>(url: &str, region: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error.raw_response() {
            Some(response) => answered(url, region, response.status().as_u16(), error.code(), error.message()),
            None => match NoAnswer::of(error) {
                NoAnswer::Region(message) => Self::new(SqsErrorKind::Region, message),
                NoAnswer::Credentials(message) => Self::new(SqsErrorKind::Credentials, message),
                NoAnswer::Unreachable(root) => {
                    Self::new(SqsErrorKind::Unreachable, format!("SQS cannot be reached for the queue {url} ({root})"))
                }
            },
        }
    }
}

/// An answer that is an error.
fn answered(url: &str, region: &str, status: u16, code: Option<&str>, said: Option<&str>) -> SqsError {
    use SqsErrorKind as Kind;
    let words = match (code, said) {
        (Some(code), Some(said)) => format!("{code}: {said}"),
        (Some(code), None) => code.to_owned(),
        _ => format!("status {status}"),
    };
    let (kind, message) = match (status, code.unwrap_or_default()) {
        // a URL of another region is no address, or no queue
        (_, "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" | "InvalidAddress") => {
            let hint = match region_of(url) {
                Some(other) if other != region => {
                    format!("it is in another region than the requests, which go to {region}: use --aws-region {other}")
                }
                _ => format!("check its URL, and the region, which is {region} (--aws-region)"),
            };
            (Kind::NoQueue, format!("there is no queue {url}: {hint}"))
        }
        (
            _,
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "MissingAuthenticationToken",
        ) => (Kind::Credentials, format!("SQS does not take the credentials for the queue {url} ({words})")),
        (_, code) if code.contains("Throttl") || code == "OverLimit" => {
            (Kind::Busy, format!("SQS has enough of the requests for the queue {url} ({words})"))
        }
        (401 | 403, _)
        | (_, "AccessDenied" | "AccessDeniedException" | "KmsAccessDenied" | "KMS.AccessDeniedException") => (
            Kind::Denied,
            format!(
                "access to the queue {url} is denied ({words}): allow sqs:ReceiveMessage, sqs:DeleteMessage and \
                 sqs:ChangeMessageVisibility on it, and kms:Decrypt where it is encrypted"
            ),
        ),
        (500.., _) => (Kind::Busy, format!("SQS is not able to answer now for the queue {url} ({words})")),
        _ => (Kind::Other, format!("SQS refused for the queue {url} ({words})")),
    };
    SqsError::new(kind, message)
}

/// The region in a queue's URL: `https://sqs.REGION.amazonaws.com/…`, or of old `https://REGION.queue.amazonaws.com/…`.
pub fn region_of(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split(['/', ':']).next()?;
    let parts: Vec<&str> = host.split('.').collect();
    parts.windows(2).find_map(|pair| match pair {
        ["sqs" | "sqs-fips", region] => Some(*region),
        [region, "queue"] => Some(*region),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/logs";

    #[test]
    fn answers_are_told_apart() {
        use SqsErrorKind as Kind;
        for (status, code, region, kind, words) in [
            (400, "QueueDoesNotExist", "eu-west-1", Kind::NoQueue, "check its URL, and the region, which is eu-west-1"),
            (400, "InvalidAddress", "us-east-1", Kind::NoQueue, "go to us-east-1: use --aws-region eu-west-1"),
            (400, "AWS.SimpleQueueService.NonExistentQueue", "us-east-1", Kind::NoQueue, "use --aws-region eu-west-1"),
            (403, "AccessDeniedException", "eu-west-1", Kind::Denied, "denied (AccessDeniedException: said so)"),
            (400, "AccessDenied", "eu-west-1", Kind::Denied, "sqs:ChangeMessageVisibility"),
            (403, "InvalidClientTokenId", "eu-west-1", Kind::Credentials, "does not take the credentials"),
            (400, "ExpiredTokenException", "eu-west-1", Kind::Credentials, "ExpiredTokenException"),
            (400, "RequestThrottled", "eu-west-1", Kind::Busy, "has enough"),
            (403, "OverLimit", "eu-west-1", Kind::Busy, "has enough"),
            (503, "ServiceUnavailable", "eu-west-1", Kind::Busy, "not able to answer now"),
            (400, "InvalidParameterValue", "eu-west-1", Kind::Other, "SQS refused"),
        ] {
            let error = answered(URL, region, status, Some(code), Some("said so"));
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.to_string().contains(words) && error.to_string().contains(URL), "{words} in {error}");
        }
        assert_eq!(answered(URL, "eu-west-1", 403, None, None).kind, Kind::Denied);
    }

    #[test]
    fn urls_name_regions() {
        for (url, region) in [
            (URL, Some("eu-west-1")),
            ("https://sqs-fips.us-gov-west-1.amazonaws.com/1/q", Some("us-gov-west-1")),
            ("https://vpce-0a.sqs.eu-west-1.vpce.amazonaws.com/1/q", Some("eu-west-1")),
            ("https://us-east-2.queue.amazonaws.com/1/q", Some("us-east-2")),
            ("http://127.0.0.1:4566/000000000000/q", None),
            ("q", None),
        ] {
            assert_eq!(region_of(url), region, "{url}");
        }
    }
}
