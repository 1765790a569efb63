//! Judgements in the words of the lake.

use std::fmt::{self, Display};

use serde_json::{Value, json};

use super::Boundary;
use crate::boundary::judgement::{Credit, Judgement, Missing, Reason};
use crate::boundary::model::{ServiceId, ZoneId};

impl Boundary {
    /// A zone's name, declared or built in.
    pub fn zone_name(&self, zone: ZoneId) -> &str {
        self.map.zone_name(zone)
    }

    /// A service's name.
    pub fn service_name(&self, service: ServiceId) -> &str {
        self.map.services.get(usize::from(service.0)).map_or("", |service| &service.name)
    }

    /// The text of the column `reason`.
    pub fn reason(&self, reason: Reason) -> impl Display {
        fmt::from_fn(move |f| match reason {
            Reason::Word(word) => f.write_str(word.as_str()),
            Reason::Rejected { at, nacl } => write!(f, "{at}{}", if nacl { "/nacl" } else { "" }),
            Reason::Missing { what, answered } => {
                match what {
                    Missing::Invariant(invariant) => f.write_str(self.invariant_id(invariant))?,
                    Missing::Egress(zone) => write!(f, "no-egress:{}", self.zone_name(zone))?,
                    Missing::Ingress(zone) => write!(f, "no-ingress:{}", self.zone_name(zone))?,
                }
                f.write_str(answered.as_str())
            }
        })
    }

    /// The text of the column `rule`; `None` where nothing gets the credit.
    pub fn rule(&self, credit: Credit) -> Option<impl Display> {
        let (first, second) = match credit {
            Credit::Nobody => return None,
            Credit::Invariant(invariant) => (self.invariant_id(invariant), None),
            Credit::Grants { egress, ingress } => {
                let second = ingress.filter(|_| egress.is_some() && egress != ingress);
                (self.rule_id(egress.or(ingress)?), second.map(|rule| self.rule_id(rule)))
            }
        };
        Some(fmt::from_fn(move |f| match second {
            Some(second) => write!(f, "{first}+{second}"),
            None => f.write_str(first),
        }))
    }

    /// The judgement as a JSON object with the columns that people ask for first; null where there is nothing.
    pub fn verdict_json(&self, judgement: &Judgement) -> Value {
        let zone = |zone: Option<ZoneId>| zone.map(|zone| self.zone_name(zone));
        let path = judgement.path.as_ref();
        json!({
            "client_zone": zone(judgement.zones.map(|(client, _)| client)),
            "server_zone": zone(judgement.zones.map(|(_, server)| server)),
            "orientation": path.map(|path| path.orientation.as_str()),
            "oriented_by": path.map(|path| path.oriented_by.as_str()),
            "confidence": path.map(|path| path.confidence.as_str()),
            "side": path.map(|path| path.side.as_str()),
            "verdict": judgement.verdict.as_str(),
            "rule": self.rule(judgement.credit).map(|rule| rule.to_string()),
            "reason": self.reason(judgement.reason).to_string(),
            "severity": judgement.severity.as_str(),
        })
    }

    pub(super) fn rule_id(&self, rule: u16) -> &str {
        self.map.rules.get(usize::from(rule)).map_or("", |rule| &rule.id)
    }

    pub(super) fn invariant_id(&self, invariant: u16) -> &str {
        self.map.invariants.get(usize::from(invariant)).map_or("", |invariant| &invariant.id)
    }
}
