//! Tests of the evaluator as a whole: against hand-made answers, against a second evaluator, and rule by rule.

mod places;
mod policies;
mod properties;
mod random;
mod reference;
mod support;
mod vectors;
mod verdicts;
