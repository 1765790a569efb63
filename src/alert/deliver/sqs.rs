//! Alerts to a queue of SQS.

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;

use super::{Message, SendError};
use crate::aws::sqs::region_of;
use crate::aws::{explain, to_deliver};

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// The queue of this URL, in the region that the URL says.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { client: Client::new(&to_deliver(config, region_of(&url))), url }
    }

    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let mut request = self.client.send_message().queue_url(&self.url).message_body(&message.body);
        for (name, value) in message.attributes() {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            request = request.message_attributes(name, value.map_err(|error| SendError(error.to_string()))?);
        }
        if self.url.ends_with(".fifo") {
            // the revisions of an alert come in their order
            let group = &message.alert.finding.alert_id;
            request = request.message_deduplication_id(message.key()).message_group_id(group);
        }
        let told = |error| SendError(explain("SQS", &format!("the queue {}", self.url), "sqs:SendMessage", &error));
        request.send().await.map(|_| ()).map_err(told)
    }
}
