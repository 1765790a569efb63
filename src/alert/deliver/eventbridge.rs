//! Alerts to a bus of EventBridge.

use aws_config::SdkConfig;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use super::{Message, SendError};
use crate::aws::backoff::back_off;
use crate::aws::{explain, region_of_arn, to_deliver};

/// What events say that they are from, and of what kind.
const SOURCE: &str = "flowbound";
const DETAIL_TYPE: &str = "Alert";
/// Times that an event is put which EventBridge takes up and does not manage: its client does not see that.
const ATTEMPTS: u32 = 6;

/// A bus.
#[derive(Debug, Clone)]
pub struct Bus {
    client: Client,
    name: String,
}

impl Bus {
    /// The bus of this name, or of this ARN in the region that it says.
    pub fn new(config: &SdkConfig, name: String) -> Self {
        Self { client: Client::new(&to_deliver(config, region_of_arn(&name))), name }
    }

    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(SOURCE)
            .detail_type(DETAIL_TYPE)
            .detail(&message.body)
            .build();
        let bus = format!("the event bus {}", self.name);
        let mut failures = 0;
        loop {
            let answer = self.client.put_events().entries(entry.clone()).send().await;
            let answer = answer.map_err(|error| SendError(explain("EventBridge", &bus, "events:PutEvents", &error)))?;
            // an answer without an error may still say that the event was not taken
            let Some(code) = answer.entries().iter().find_map(|entry| entry.error_code()) else {
                return match answer.failed_entry_count() {
                    0 => Ok(()),
                    _ => Err(SendError(format!("EventBridge did not take the event for {bus} and does not say why"))),
                };
            };
            failures += 1;
            let passes = code.contains("Throttl") || code.contains("Internal");
            if !passes || failures >= ATTEMPTS {
                let said = answer.entries().iter().find_map(|entry| entry.error_message()).unwrap_or_default();
                return Err(SendError(format!("EventBridge did not take the event for {bus} ({code}: {said})")));
            }
            back_off(failures).await;
        }
    }
}
