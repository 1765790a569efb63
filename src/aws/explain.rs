//! What a service answers that does not do what it was asked, in words that say what to do.

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use super::no_answer::NoAnswer;

/// Why a request about this (`the topic arn:…`) failed, after all retries; it needs this right.
pub fn explain<E>(service: &str, what: &str, right: &str, error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let Some(response) = error.raw_response() else {
        return match NoAnswer::of(error) {
            NoAnswer::Region(message) | NoAnswer::Credentials(message) => message,
            NoAnswer::Unreachable(root) => format!("{service} cannot be reached for {what} ({root})"),
        };
    };
    answered(service, what, right, response.status().as_u16(), error.code(), error.message())
}

fn answered(service: &str, what: &str, right: &str, status: u16, code: Option<&str>, said: Option<&str>) -> String {
    let words = match (code, said) {
        (Some(code), Some(said)) => format!("{code}: {said}"),
        (Some(code), None) => code.to_owned(),
        _ => format!("status {status}"),
    };
    let code = code.unwrap_or_default();
    if code.contains("NotFound") || code.contains("NonExistent") || code.contains("DoesNotExist") {
        return format!("{service} does not know {what} ({words}): check its name, its region and its account");
    }
    if code.contains("Signature") || code.contains("Token") || code.contains("UnrecognizedClient") {
        return format!("{service} does not take the credentials for {what} ({words})");
    }
    if matches!(status, 401 | 403) || code.contains("AccessDenied") || code.contains("AuthorizationError") {
        return format!("{service} denies access to {what} ({words}): allow {right}, and its KMS key where it has one");
    }
    if status >= 500 || code.contains("Throttl") {
        return format!("{service} is not able to answer now for {what} ({words})");
    }
    format!("{service} refused for {what} ({words})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        for (status, code, words) in [
            (404, "NotFound", "SNS does not know the topic x (NotFound: said so): check"),
            (
                403,
                "AuthorizationError",
                "denies access to the topic x (AuthorizationError: said so): allow sns:Publish",
            ),
            (403, "InvalidClientTokenId", "does not take the credentials"),
            (500, "InternalError", "not able to answer now"),
            (400, "Throttling", "not able to answer now"),
            (400, "InvalidParameter", "SNS refused for the topic x"),
        ] {
            let told = answered("SNS", "the topic x", "sns:Publish", status, Some(code), Some("said so"));
            assert!(told.contains(words), "{words} in {told}");
        }
        assert!(answered("SNS", "x", "sns:Publish", 418, None, None).ends_with("(status 418)"));
    }
}
