//! What a message says of objects in S3, in every way in which S3 says it:
//!
//! - S3 itself: `Records`, with keys that are form-urlencoded;
//! - EventBridge: `detail-type` and `detail`, with keys as they are;
//! - either of them through SNS: the whole as text in `Message`, unless delivery is raw.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::aws::s3::{S3Uri, SCHEME};

/// Bytes of a key at most, in UTF-8.
const LONGEST_KEY: usize = 1024;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notification {
    /// These objects were created; none if all that it tells of is something else, deletions for example.
    Created(Vec<S3Uri>),
    /// S3 tried whether it may send.
    Test,
}

/// Why a message is no notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotificationError {
    /// No JSON. (The parser tells the place, never the text.)
    #[error("it is no JSON ({0})")]
    Json(String),
    /// A subscription that waits for its owner.
    #[error("SNS asks to confirm a subscription: open its SubscribeURL, or subscribe the queue as its owner")]
    Unconfirmed,
    /// Another JSON.
    #[error("it is JSON, but neither a notification of S3 nor EventBridge's event of S3")]
    Other,
    /// A part is missing, or of another type.
    #[error("it has no {0}, or one that is no text")]
    Missing(&'static str),
    /// A bucket that can be none.
    #[error("its bucket's name is none")]
    Bucket,
    /// A key that can be none.
    #[error("its key is not UTF-8")]
    Key,
    /// A key that S3 does not have.
    #[error("its key is longer than S3's keys are ({LONGEST_KEY} bytes)")]
    LongKey,
}

/// Reads the body of a message.
///
/// # Errors
/// When it is no notification, or not one as a whole: then nothing of it is taken.
pub(super) fn read(body: &str) -> Result<Notification, NotificationError> {
    let body = json(body)?;
    match (text(&body, "/Type"), text(&body, "/Message")) {
        // SNS does not send what SNS sent, so this does not go deeper
        (Some("Notification"), Some(message)) => event(&json(message)?),
        (Some("SubscriptionConfirmation"), _) => Err(NotificationError::Unconfirmed),
        _ => event(&body),
    }
}

fn json(text: &str) -> Result<Value, NotificationError> {
    serde_json::from_str(text).map_err(|error| NotificationError::Json(error.to_string()))
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn event(event: &Value) -> Result<Notification, NotificationError> {
    if let Some(records) = event.get("Records").and_then(Value::as_array).filter(|records| !records.is_empty()) {
        let created = records.iter().filter_map(|record| of_record(record).transpose());
        return created.collect::<Result<_, _>>().map(Notification::Created);
    }
    if text(event, "/Event") == Some("s3:TestEvent") {
        return Ok(Notification::Test);
    }
    match (text(event, "/source"), text(event, "/detail-type")) {
        (Some("aws.s3"), Some("Object Created")) => {
            let bucket = text(event, "/detail/bucket/name").ok_or(NotificationError::Missing("detail.bucket.name"))?;
            let key = text(event, "/detail/object/key").ok_or(NotificationError::Missing("detail.object.key"))?;
            Ok(Notification::Created(vec![uri(bucket, key.to_owned())?]))
        }
        (Some("aws.s3"), Some(_)) => Ok(Notification::Created(Vec::new())),
        _ => Err(NotificationError::Other),
    }
}

/// The object that a record of S3 tells of; `None` if it was not created.
fn of_record(record: &Value) -> Result<Option<S3Uri>, NotificationError> {
    if text(record, "/eventSource") != Some("aws:s3") {
        return Err(NotificationError::Other);
    }
    let name = text(record, "/eventName").ok_or(NotificationError::Missing("eventName"))?;
    // S3 writes `ObjectCreated:Put`; some who speak its language, `s3:ObjectCreated:Put`
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let bucket = text(record, "/s3/bucket/name").ok_or(NotificationError::Missing("s3.bucket.name"))?;
    let key = text(record, "/s3/object/key").ok_or(NotificationError::Missing("s3.object.key"))?;
    let spaced = key.replace('+', " ");
    let key = percent_decode_str(&spaced).decode_utf8().map_err(|_| NotificationError::Key)?;
    uri(bucket, key.into_owned()).map(Some)
}

fn uri(bucket: &str, key: String) -> Result<S3Uri, NotificationError> {
    let parsed: S3Uri = format!("{SCHEME}{bucket}").parse().map_err(|_| NotificationError::Bucket)?;
    // a name with a `/` is read as bucket and key
    if parsed.bucket != bucket {
        return Err(NotificationError::Bucket);
    }
    match key.len() {
        0 => Err(NotificationError::Missing("key")),
        1..=LONGEST_KEY => Ok(parsed.with_key(key)),
        _ => Err(NotificationError::LongKey),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn record(event: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": event,
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "logs",
                "bucket": {"name": "logs", "ownerIdentity": {"principalId": "A"}, "arn": "arn:aws:s3:::logs"},
                "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD90281E5"},
            },
        })
    }

    fn put(key: &str) -> Value {
        json!({"Records": [record("ObjectCreated:Put", key)]})
    }

    fn bridged(kind: &str, key: &str) -> Value {
        json!({
            "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": kind, "source": "aws.s3",
            "account": "111122223333", "time": "2026-11-21T00:00:00Z", "region": "ca-central-1",
            "resources": ["arn:aws:s3:::logs"],
            "detail": {"version": "0", "bucket": {"name": "logs"}, "object": {"key": key, "size": 5}, "reason": "PutObject"},
        })
    }

    fn through_sns(message: &Value) -> Value {
        json!({
            "Type": "Notification", "MessageId": "22b80b92", "TopicArn": "arn:aws:sns:us-east-1:123456789012:logs",
            "Subject": "Amazon S3 Notification", "Message": message.to_string(), "Timestamp": "2026-11-21T00:00:00Z",
        })
    }

    fn created(keys: &[&str]) -> Result<Notification, NotificationError> {
        let uri = |key: &&str| S3Uri { bucket: "logs".to_owned(), key: (*key).to_owned() };
        Ok(Notification::Created(keys.iter().map(uri).collect()))
    }

    fn check(body: &Value, expected: &Result<Notification, NotificationError>) {
        assert_eq!(read(&body.to_string()), *expected, "{body}");
        assert_eq!(read(&through_sns(body).to_string()), *expected, "{body} through SNS");
    }

    #[test]
    fn keys_of_s3_are_decoded_and_those_of_eventbridge_are_not() {
        let long = format!("{}.log.gz", "k".repeat(1017));
        for (encoded, key) in [
            ("AWSLogs/a.log.gz", "AWSLogs/a.log.gz"),
            ("year%3D2026/month%3D11/a.log.gz", "year=2026/month=11/a.log.gz"),
            ("a+b.gz", "a b.gz"),
            ("a%2Bb%20c%2520.gz", "a+b c%20.gz"),
            ("%E6%97%A5%E8%AA%8C/%C3%A4.gz", "日誌/ä.gz"),
            ("日誌.gz", "日誌.gz"),
            // never so by S3, which encodes every %
            ("100%.gz", "100%.gz"),
            (&long, &long),
        ] {
            check(&put(encoded), &created(&[key]));
            check(&bridged("Object Created", encoded), &created(&[encoded]));
        }
    }

    #[test]
    fn every_record_of_a_message_counts() {
        let many = json!({"Records": [
            record("ObjectCreated:Put", "1.gz"),
            record("ObjectRemoved:Delete", "2.gz"),
            record("ObjectCreated:CompleteMultipartUpload", "3.gz"),
            record("s3:ObjectCreated:Copy", "4.gz"),
            {"eventSource": "aws:s3", "eventName": "ObjectRestore:Delete"},
        ]});
        check(&many, &created(&["1.gz", "3.gz", "4.gz"]));
        let broken = json!({"Records": [record("ObjectCreated:Put", "1.gz"), {"eventSource": "aws:s3"}]});
        check(&broken, &Err(NotificationError::Missing("eventName")));
    }

    #[test]
    fn what_tells_of_no_new_object_is_known() {
        let test =
            json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-21T00:00:00Z", "Bucket": "logs"});
        check(&test, &Ok(Notification::Test));
        check(&json!({"Records": [record("ObjectRemoved:Delete", "a.gz")]}), &created(&[]));
        check(&bridged("Object Deleted", "a.gz"), &created(&[]));
    }

    #[test]
    fn what_is_no_notification_is_told() {
        use NotificationError as Error;
        let with = |pointer: &str, value: Value| {
            let mut body = put("a.gz");
            *body.pointer_mut(pointer).unwrap() = value;
            body
        };
        for (body, error) in [
            (json!({}), Error::Other),
            (json!(null), Error::Other),
            (json!([]), Error::Other),
            (json!("s3:TestEvent"), Error::Other),
            (json!({"Records": []}), Error::Other),
            (json!({"Records": null}), Error::Other),
            (json!({"Records": {"0": 1}}), Error::Other),
            (json!({"Records": [null]}), Error::Other),
            (json!({"Records": [[]]}), Error::Other),
            (json!({"Records": [{"eventSource": "aws:sns", "Sns": {}}]}), Error::Other),
            (json!({"source": "aws.ec2", "detail-type": "Object Created"}), Error::Other),
            (json!({"source": "aws.s3", "detail": {}}), Error::Other),
            (json!({"source": "aws.s3", "detail-type": "Object Created"}), Error::Missing("detail.bucket.name")),
            (with("/Records/0/s3", json!(null)), Error::Missing("s3.bucket.name")),
            (with("/Records/0/s3/bucket/name", json!(7)), Error::Missing("s3.bucket.name")),
            (with("/Records/0/s3/bucket/name", json!("")), Error::Bucket),
            (with("/Records/0/s3/bucket/name", json!("a/b")), Error::Bucket),
            (with("/Records/0/s3/bucket/name", json!("a b")), Error::Bucket),
            (with("/Records/0/s3/object/key", json!(["a.gz"])), Error::Missing("s3.object.key")),
            (put(""), Error::Missing("key")),
            (put("%FF%FE.gz"), Error::Key),
        ] {
            check(&body, &Err(error));
        }
        let confirmation =
            json!({"Type": "SubscriptionConfirmation", "Message": "You have chosen…", "SubscribeURL": "https://"});
        assert_eq!(read(&confirmation.to_string()), Err(Error::Unconfirmed));
        let twice = through_sns(&through_sns(&put("a.gz")));
        assert_eq!(read(&twice.to_string()), Err(Error::Other));
    }

    #[test]
    fn what_is_hostile_is_no_json_at_most() {
        for body in [
            String::new(),
            "\u{feff}{}".to_owned(),
            "[".repeat(1 << 20),
            format!("{{\"Records\":{}", "[{\"a\":".repeat(1 << 17)),
            "x".repeat(1 << 20),
        ] {
            let error = read(&body).unwrap_err();
            assert!(matches!(error, NotificationError::Json(_)), "{error}");
            assert!(error.to_string().len() < 200, "a body is never told: {error}");
        }
        let huge = put(&"k".repeat(1 << 20));
        assert_eq!(read(&huge.to_string()), Err(NotificationError::LongKey));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(body in any::<Vec<u8>>()) {
            let _any = read(&String::from_utf8_lossy(&body));
        }

        #[test]
        fn any_key_is_found_again(key in "\\PC{1,200}") {
            let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(read(&put(&encoded).to_string()), created(&[&key]));
            prop_assert_eq!(read(&bridged("Object Created", &key).to_string()), created(&[&key]));
            // as it is, it means something, or it is refused
            let _any = read(&put(&key).to_string());
        }
    }
}
