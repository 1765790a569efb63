//! Where alerts are delivered to: sinks. Each takes one alert at a time and answers when the receiver has it; what was
//! delivered and what was not is kept by the outbox of the lake (`pipeline/deliver.rs`).
//!
//! An alert may come more than once (a crash between the receiver's answer and the mark), so every message has the
//! alert's id and revision, which together are its key.

mod eventbridge;
mod file;
mod form;
mod secret;
mod sns;
mod sqs;
mod stdout;
#[cfg(test)]
mod tests;
mod webhook;

use std::fmt;
use std::time::Duration;

pub use eventbridge::Bus;
pub use file::Folder;
pub use form::Form;
pub use secret::SecretUrl;
pub use sns::Topic;
pub use sqs::Queue;
pub use stdout::Stdout;
pub use webhook::{TIMEOUT, Webhook};

use crate::boundary::Severity;
use crate::detect::{Alert, AlertStatus};

/// Why an alert could not be delivered, after all retries: where, what, and what to do. It never has a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SendError(String);

/// Which alerts a sink takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// The least severity. One that was withdrawn has none of its own, and comes whatever this says.
    pub severity: Severity,
    /// Names of detectors; empty: all.
    pub detectors: Vec<String>,
}

impl Wants {
    fn takes(&self, alert: &Alert) -> bool {
        let withdrawn = alert.status == AlertStatus::Closed;
        (withdrawn || self.severity <= alert.finding.severity)
            && (self.detectors.is_empty() || self.detectors.iter().any(|name| *name == alert.finding.detector))
    }
}

/// The way to a receiver.
pub enum Channel {
    /// Files in a folder.
    Folder(Folder),
    /// Standard output.
    Stdout(Stdout),
    /// A topic of SNS.
    Topic(Topic),
    /// A queue of SQS.
    Queue(Queue),
    /// A bus of EventBridge.
    Bus(Bus),
    /// An HTTPS endpoint.
    Webhook(Box<Webhook>),
    /// Whoever a test is: it says whether it takes an alert.
    #[cfg(test)]
    Test(Box<dyn Fn(&Alert) -> bool + Send + Sync>),
}

/// A receiver of alerts.
pub struct Sink {
    name: String,
    wants: Wants,
    form: Form,
    channel: Channel,
}

/// What goes to a receiver.
struct Message<'a> {
    alert: &'a Alert,
    body: String,
    form: &'a Form,
}

impl Message<'_> {
    /// The alert's id and revision: what tells one message from another.
    fn key(&self) -> String {
        format!("{}-{}", self.alert.finding.alert_id, self.alert.revision)
    }

    /// What a receiver may choose by: severity, detector and id.
    fn attributes(&self) -> [(&'static str, &str); 3] {
        let finding = &self.alert.finding;
        [("severity", finding.severity.as_str()), ("detector", &finding.detector), ("alert_id", &finding.alert_id)]
    }
}

impl Sink {
    /// A sink of this name, under which its progress is kept.
    pub fn new(name: String, wants: Wants, form: Form, channel: Channel) -> Self {
        Self { name, wants, form, channel }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it takes an alert.
    pub fn wants(&self, alert: &Alert) -> bool {
        self.wants.takes(alert)
    }

    /// Delivers an alert; what may pass is tried again, for no longer than this.
    ///
    /// # Errors
    /// When the receiver does not have it, or may not have it.
    pub async fn send(&self, alert: &Alert, patience: Duration) -> Result<(), SendError> {
        let message = Message { alert, body: self.form.body(alert), form: &self.form };
        let sent = async {
            match &self.channel {
                Channel::Folder(folder) => folder.send(&message).await,
                Channel::Stdout(stdout) => stdout.send(&message).await,
                Channel::Topic(topic) => topic.send(&message).await,
                Channel::Queue(queue) => queue.send(&message).await,
                Channel::Bus(bus) => bus.send(&message).await,
                Channel::Webhook(webhook) => webhook.send(&message).await,
                #[cfg(test)]
                Channel::Test(takes) if takes(alert) => Ok(()),
                #[cfg(test)]
                Channel::Test(_) => Err(SendError("not now".to_owned())),
            }
        };
        match tokio::time::timeout(patience, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(SendError(format!("no answer within {} s", patience.as_secs_f64()))),
        }
    }
}

/// By its name alone.
impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sink").field(&self.name).finish()
    }
}
