//! Alerts to a topic of SNS.

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;

use super::{Message, SendError};
use crate::aws::{explain, region_of_arn, to_deliver};

/// Characters that a subject may have.
const SUBJECT: usize = 100;

/// A topic.
#[derive(Debug, Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// The topic of this ARN, in the region that the ARN says.
    pub fn new(config: &SdkConfig, arn: String) -> Self {
        Self { client: Client::new(&to_deliver(config, region_of_arn(&arn))), arn }
    }

    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let mut request = self.client.publish().topic_arn(&self.arn).message(&message.body);
        request = request.set_subject(subject(&message.alert.finding.title));
        for (name, value) in message.attributes() {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let value = value.map_err(|error| SendError(error.to_string()))?;
            request = request.message_attributes(name, value);
        }
        if self.arn.ends_with(".fifo") {
            // the revisions of an alert come in their order
            let group = &message.alert.finding.alert_id;
            request = request.message_deduplication_id(message.key()).message_group_id(group);
        }
        let told = |error| SendError(explain("SNS", &format!("the topic {}", self.arn), "sns:Publish", &error));
        request.send().await.map(|_| ()).map_err(told)
    }
}

/// SNS takes ASCII without control characters that does not begin with a space.
fn subject(title: &str) -> Option<String> {
    let ascii = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let subject: String = title.trim().chars().map(ascii).take(SUBJECT).collect();
    Some(subject).filter(|subject| !subject.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_what_sns_takes() {
        assert_eq!(subject(" zürich 10.0.0.1\n<x>").as_deref(), Some("z?rich 10.0.0.1?<x>"));
        assert_eq!(subject(&"é".repeat(200)).map(|subject| subject.len()), Some(100));
        assert_eq!(subject(""), None);
    }
}
