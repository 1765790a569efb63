//! A finding as the lake has it: as one revision of its alert.

use super::finding::Finding;

/// Whether a revision is the first of its alert, a later one, or the one that withdraws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertStatus {
    /// Revision 0.
    New,
    /// Later input changed it.
    Updated,
    /// Nothing of it is left.
    Closed,
}

impl AlertStatus {
    /// Every value, in order.
    pub const ALL: &[Self] = &[Self::New, Self::Updated, Self::Closed];

    /// The word in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Updated => "updated",
            Self::Closed => "closed",
        }
    }

    /// The value of a word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.as_str() == name)
    }
}

/// One revision of an alert: a row of the table `alerts`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// From 0; the last one counts.
    pub revision: i32,
    /// What kind of revision it is.
    pub status: AlertStatus,
    /// What was found.
    pub finding: Finding,
}
