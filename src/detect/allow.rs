//! The allow-list: what the detectors find, and nobody wants an alert of.
//!
//! An entry speaks of findings, not of records: the rows stay in `flows` with their verdicts, and what is gathered is the
//! same with it and without.

use std::net::IpAddr;

use ipnet::IpNet;

use super::finding::Finding;

/// An entry of the allow-list. What it asks must all hold; what a finding does not tell does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Why.
    pub reason: String,
    /// The client is in this network.
    pub client: Option<IpNet>,
    /// The client's zone.
    pub client_zone: Option<String>,
    /// The server is in this network.
    pub server: Option<IpNet>,
    /// The server's zone.
    pub server_zone: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
    /// The detector.
    pub detector: Option<String>,
    /// Up to this event time, exclusive (milliseconds since 1970): a finding that saw something then or later is not
    /// allowed, nor is one without any time.
    pub until: Option<i64>,
}

impl Allowed {
    /// Whether the entry speaks of this finding, expired or not.
    pub fn matches(&self, finding: &Finding) -> bool {
        let text = |asked: &Option<String>, has: Option<&str>| asked.as_deref().is_none_or(|asked| has == Some(asked));
        let network = |asked: Option<IpNet>, has: &Option<String>| {
            let has = || has.as_ref().and_then(|has| has.parse::<IpAddr>().ok());
            asked.is_none_or(|network| has().is_some_and(|address| network.contains(&address)))
        };
        text(&self.detector, Some(&finding.detector))
            && text(&self.client_zone, finding.client_zone.as_deref())
            && text(&self.server_zone, finding.server_zone.as_deref())
            && self.port.is_none_or(|port| finding.server_port == Some(port))
            && network(self.client, &finding.client_addr)
            && network(self.server, &finding.server_addr)
    }

    /// Whether the entry is too old for this finding.
    pub fn is_expired(&self, finding: &Finding) -> bool {
        self.until.is_some_and(|until| finding.last_seen.is_none_or(|seen| until <= seen))
    }
}

/// What an entry of the allow-list did in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowUse {
    /// The entry.
    pub entry: Allowed,
    /// Findings that it speaks of and that it allows.
    pub allowed: u64,
    /// Findings that it speaks of and is too old for.
    pub expired: u64,
}

impl AllowUse {
    /// Nothing yet, of each entry.
    pub fn none_of(entries: &[Allowed]) -> Vec<Self> {
        entries.iter().map(|entry| Self { entry: entry.clone(), allowed: 0, expired: 0 }).collect()
    }

    /// Counts a finding.
    pub fn count(&mut self, finding: &Finding) {
        if self.entry.matches(finding) {
            *(if self.entry.is_expired(finding) { &mut self.expired } else { &mut self.allowed }) += 1;
        }
    }
}

/// The finding that withdraws an alert because its finding is allowed by now: it says why.
pub fn withdrawn_as_allowed(entry: &Allowed, finding: &Finding, withdrawn: Finding) -> Finding {
    Finding { title: format!("on the allow-list ({}): {}", entry.reason, finding.title), ..withdrawn }
}
