//! What an alert is on its way: JSON for machines, a few lines for people.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::alert::{Home, to_asff, to_json, to_ocsf, utc};
use crate::detect::{Alert, AlertStatus};

/// Bytes that SNS and EventBridge take at most (256 KiB), with room for what they count beside the body.
const MOST: usize = 250_000;

/// The form of a message's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The columns of the table `alerts`.
    Json,
    /// A Detection Finding of OCSF.
    Ocsf(Home),
    /// A finding of Security Hub, at home in this account and region.
    Asff {
        /// Id of the account.
        account: String,
        /// Region.
        region: String,
    },
    /// For people.
    Text,
    /// For people, as Slack's incoming webhooks take it: `{"text": …}`.
    Slack,
}

impl Form {
    /// Whether the body is JSON.
    pub(super) fn is_json(&self) -> bool {
        *self != Self::Text
    }

    /// The body. Rows of the log are left out where it would be too long with them.
    pub(super) fn body(&self, alert: &Alert) -> String {
        let body = self.whole(alert);
        if body.len() <= MOST {
            return body;
        }
        let mut short = alert.clone();
        short.finding.evidence.clear();
        self.whole(&short)
    }

    fn whole(&self, alert: &Alert) -> String {
        let value: Value = match self {
            Self::Json => to_json(alert),
            Self::Ocsf(home) => to_ocsf(alert, home),
            Self::Asff { account, region } => to_asff(alert, account, region),
            Self::Text => return text(alert),
            Self::Slack => json!({"text": escaped(&text(alert))}),
        };
        value.to_string()
    }
}

/// What happened, when, how much of it, and why it was judged so; then the key.
fn text(alert: &Alert) -> String {
    let finding = &alert.finding;
    let mut text = match alert.status {
        // its title says so
        AlertStatus::Closed => format!("{}: {}", finding.detector, finding.title),
        AlertStatus::Updated => format!("[{}] {}, again: {}", finding.severity, finding.detector, finding.title),
        AlertStatus::New => format!("[{}] {}: {}", finding.severity, finding.detector, finding.title),
    };
    let times: Vec<String> = [finding.first_seen, finding.last_seen].into_iter().flatten().map(utc).collect();
    let counts = [
        ("flows", Some(finding.flows)),
        ("conversations", finding.conversations),
        ("packets", finding.packets),
        ("bytes", finding.bytes),
        ("ports", finding.distinct_ports),
        ("servers", finding.distinct_servers),
    ];
    let counts = counts.into_iter().filter_map(|(what, count)| Some(format!("{} {what}", count?)));
    let because = [("rule", &finding.rule), ("reason", &finding.reason)];
    let because = because.into_iter().filter_map(|(what, why)| Some(format!("{what} {}", why.as_ref()?)));
    let lines = [times.join(" to "), counts.collect::<Vec<_>>().join(", "), because.collect::<Vec<_>>().join(", ")];
    for line in lines.iter().filter(|line| !line.is_empty()) {
        // writing to a text does not fail
        let _infallible = write!(text, "\n{line}");
    }
    let _infallible = write!(text, "\nalert {} revision {}", finding.alert_id, alert.revision);
    text
}

/// Slack reads `<!channel>` and links; nothing of the log or the map shall be either.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
