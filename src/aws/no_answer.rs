//! Why a service gave no answer, in words that say what to do.

use std::error::Error;

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It was not sent: nobody said where to.
    Region(String),
    /// It was not sent: nobody said by whom.
    Credentials(String),
    /// It got no answer for this reason.
    Unreachable(String),
}

impl NoAnswer {
    /// The reason lies deep in the chain of causes.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut cause = Some(error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let says = |word: &str| causes.iter().any(|cause| cause.to_ascii_lowercase().contains(word));
        let root = causes.last().map_or("no reason was given", String::as_str);
        if says("missing region") || says("invalid region") {
            return Self::Region(format!(
                "no AWS region is known ({root}): give --aws-region, set AWS_REGION, or name one in the profile"
            ));
        }
        if says("credential") || says("identity") {
            return Self::Credentials(format!(
                "no AWS credentials were found ({root}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                 AWS_PROFILE, or run where a role is attached"
            ));
        }
        Self::Unreachable(root.to_owned())
    }
}
