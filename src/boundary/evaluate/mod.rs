//! The evaluator: zones, policy, orientation, verdict.
