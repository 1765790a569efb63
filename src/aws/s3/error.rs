//! What S3 answers when it does not do what it was asked, in words that say what to do.

use std::error::Error;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::aws::no_answer::NoAnswer;

/// A request that failed, after all retries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct S3Error {
    /// What kind of failure it is.
    pub kind: S3ErrorKind,
    message: String,
}

/// Kinds of failures that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3ErrorKind {
    /// There is no such bucket.
    NoBucket,
    /// There is no such object.
    NoKey,
    /// Not allowed.
    Denied,
    /// The bucket is in another region.
    Region,
    /// No credentials, or none that S3 takes.
    Credentials,
    /// 412: the object is there (or is another) against the request's condition.
    Precondition,
    /// 409: somebody else writes the same object at this moment.
    Conflict,
    /// 416: the object ends before the range that was asked for.
    Range,
    /// No answer that tells whether the request had its effect.
    Unanswered,
    /// No answer at all.
    Unreachable,
    /// Anything else.
    Other,
}

impl S3Error {
    /// Whether a write that ended so may have had its effect all the same.
    pub fn is_open(&self) -> bool {
        matches!(self.kind, S3ErrorKind::Unanswered | S3ErrorKind::Unreachable)
    }

    /// A failure that is not S3's answer.
    pub(super) fn new(kind: S3ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A task that ended without an answer: it panicked, or the program ends.
    pub fn ended(error: tokio::task::JoinError) -> Self {
        Self::new(S3ErrorKind::Other, error.to_string())
    }

    /// What the SDK's error on this bucket means.
    pub(super) fn of<E>(bucket: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error.raw_response() {
            Some(response) => answered(bucket, response, error.code(), error.message()),
            None => unanswered(bucket, error),
        }
    }
}

/// An answer that is an error.
fn answered(bucket: &str, response: &HttpResponse, code: Option<&str>, said: Option<&str>) -> S3Error {
    use S3ErrorKind as Kind;
    let status = response.status().as_u16();
    let words = match (code, said) {
        (Some(code), Some(said)) => format!("{code}: {said}"),
        (Some(code), None) => code.to_owned(),
        _ => format!("status {status}"),
    };
    let (kind, message) = match (status, code.unwrap_or_default()) {
        (_, "NoSuchBucket") => (Kind::NoBucket, format!("there is no bucket {bucket}")),
        (_, "NoSuchKey") | (404, _) => (Kind::NoKey, "there is no such object".to_owned()),
        (301 | 307, _)
        | (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            let region = response.headers().get("x-amz-bucket-region");
            let where_to = region.map_or(words, |region| format!("use --aws-region {region} (or AWS_REGION)"));
            (Kind::Region, format!("the bucket {bucket} is in another region: {where_to}"))
        }
        (
            _,
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" | "RequestTimeTooSkewed",
        ) => (Kind::Credentials, format!("S3 does not take the credentials ({words})")),
        (401 | 403, _) => (Kind::Denied, format!("access to the bucket {bucket} is denied ({words})")),
        (412, _) => (Kind::Precondition, format!("it changed meanwhile ({words})")),
        (409, _) => (Kind::Conflict, format!("somebody else is writing it ({words})")),
        (416, _) => (Kind::Range, format!("it is shorter than it was ({words})")),
        (500.., _) => (Kind::Unanswered, format!("S3 is not able to answer now ({words})")),
        _ => (Kind::Other, format!("S3 refused ({words})")),
    };
    S3Error::new(kind, message)
}

/// No answer at all.
fn unanswered(bucket: &str, error: &(dyn Error + 'static)) -> S3Error {
    match NoAnswer::of(error) {
        NoAnswer::Region(message) => S3Error::new(S3ErrorKind::Region, message),
        NoAnswer::Credentials(message) => S3Error::new(S3ErrorKind::Credentials, message),
        NoAnswer::Unreachable(root) => {
            S3Error::new(S3ErrorKind::Unreachable, format!("S3 cannot be reached for the bucket {bucket} ({root})"))
        }
    }
}

impl From<S3Error> for io::Error {
    fn from(error: S3Error) -> Self {
        let kind = match error.kind {
            S3ErrorKind::NoKey => io::ErrorKind::NotFound,
            S3ErrorKind::Denied => io::ErrorKind::PermissionDenied,
            S3ErrorKind::Unanswered | S3ErrorKind::Unreachable => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, serve};
    use super::*;

    /// What each answer means, and what a person is told to do.
    #[tokio::test]
    async fn answers_are_told_apart() {
        use S3ErrorKind as Kind;
        let elsewhere = Answer::error(301, "PermanentRedirect").header("x-amz-bucket-region", "eu-west-1");
        let malformed = Answer::error(400, "AuthorizationHeaderMalformed").header("x-amz-bucket-region", "eu-west-1");
        for (answer, kind, words) in [
            (Answer::error(404, "NoSuchBucket"), Kind::NoBucket, "there is no bucket logs"),
            (Answer::error(404, "NoSuchKey"), Kind::NoKey, "no such object"),
            (elsewhere, Kind::Region, "the bucket logs is in another region: use --aws-region eu-west-1"),
            (malformed, Kind::Region, "use --aws-region eu-west-1"),
            (Answer::error(301, "PermanentRedirect"), Kind::Region, "in another region: PermanentRedirect: said so"),
            (
                Answer::error(403, "AccessDenied"),
                Kind::Denied,
                "access to the bucket logs is denied (AccessDenied: said so)",
            ),
            (Answer::error(403, "InvalidAccessKeyId"), Kind::Credentials, "S3 does not take the credentials"),
            (Answer::error(400, "ExpiredToken"), Kind::Credentials, "ExpiredToken"),
            (Answer::error(412, "PreconditionFailed"), Kind::Precondition, "changed"),
            (Answer::error(409, "ConditionalRequestConflict"), Kind::Conflict, "somebody else"),
            (Answer::error(500, "InternalError"), Kind::Unanswered, "not able to answer"),
            (Answer::error(503, "SlowDown"), Kind::Unanswered, "SlowDown"),
            (Answer::error(400, "InvalidRequest"), Kind::Other, "S3 refused (InvalidRequest: said so)"),
            (Answer::new(403, ""), Kind::Denied, "status 403"),
        ] {
            let (s3, _) = serve(move |_| answer.clone()).await;
            let error = s3.get(&"s3://logs/a".parse().unwrap()).await.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.to_string().contains(words), "{words} in {error}");
        }
    }
}
