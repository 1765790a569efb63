//! The MITRE ATT&CK technique that a detector shows, where one fits.
//!
//! Source: attack.mitre.org, Enterprise matrix. Few fit, and a wrong one misleads more than none: a breach, an outage
//! or a silent log says what the boundary did, not what somebody was after. Flow logs show how much left and not by
//! which protocol, so an exfiltration has a tactic and no technique.

use crate::detect::Finding;

/// A tactic of MITRE ATT&CK, and the technique where it is known. Each is an id and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Technique {
    /// What for.
    pub tactic: (&'static str, &'static str),
    /// How.
    pub technique: Option<(&'static str, &'static str)>,
    /// How exactly.
    pub sub_technique: Option<(&'static str, &'static str)>,
}

const DISCOVERY: Technique = Technique {
    tactic: ("TA0007", "Discovery"),
    technique: Some(("T1046", "Network Service Discovery")),
    sub_technique: None,
};
const RECONNAISSANCE: Technique = Technique {
    tactic: ("TA0043", "Reconnaissance"),
    technique: Some(("T1595", "Active Scanning")),
    sub_technique: Some(("T1595.001", "Scanning IP Blocks")),
};
const BRUTE_FORCE: Technique = Technique {
    tactic: ("TA0006", "Credential Access"),
    technique: Some(("T1110", "Brute Force")),
    sub_technique: None,
};
const COMMAND_AND_CONTROL: Technique = Technique {
    tactic: ("TA0011", "Command and Control"),
    technique: Some(("T1071", "Application Layer Protocol")),
    sub_technique: None,
};
const EXFILTRATION: Technique = Technique { tactic: ("TA0010", "Exfiltration"), technique: None, sub_technique: None };

/// What a finding shows.
pub fn technique(finding: &Finding) -> Option<Technique> {
    match &*finding.detector {
        "scan.vertical" | "scan.horizontal" | "scan.slow" => match finding.client_zone.as_deref()? {
            "internet" => Some(RECONNAISSANCE),
            // of addresses that are nobody's
            "special" => None,
            _ => Some(DISCOVERY),
        },
        "brute-force" => Some(BRUTE_FORCE),
        "beacon" => Some(COMMAND_AND_CONTROL),
        "exfiltration" => Some(EXFILTRATION),
        _ => None,
    }
}
