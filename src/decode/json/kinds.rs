//! What an object that is no flow log seems to be: the reason of its quarantine.

use super::members::Members;

/// A key that tells what an object is, the first that fits, and what that is; `{}` is the key's value.
const KINDS: &[(&str, &str)] = &[
    ("messageType", "a message of CloudWatch Logs of the type {}"),
    ("detail-type", "an EventBridge event: {}"),
    ("class_uid", "an OCSF event of class {}"),
    ("AlarmName", "a CloudWatch alarm: {}"),
    ("eventName", "a CloudTrail event: {}"),
    ("TopicArn", "an SNS notification of the topic {}"),
    ("Records", "a list of records, as in an event notification"),
];

/// Longer texts are cut: the raw bytes are kept anyway.
const LONGEST: usize = 80;

pub(super) fn kind(members: &Members<'_>) -> String {
    for (key, kind) in KINDS {
        if let Some(value) = members.value(key) {
            return kind.replace("{}", &brief(value));
        }
    }
    let keys: Vec<&str> = members.0.iter().take(8).map(|(key, _)| key.as_ref()).collect();
    match keys.as_slice() {
        [] => "an object without a key".to_owned(),
        keys => format!("an object with the keys {}", brief(&keys.join(", "))),
    }
}

fn brief(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}
