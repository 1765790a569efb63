//! The boundary map, and what it says of a record. No clock, no state; reading the map's files is the caller's.

mod evaluate;
mod export;
mod judgement;
mod lint;
mod load;
pub mod model;
mod report;
mod show;
mod values;

pub use evaluate::{Boundary, Explanation, Fact, Grant, Policy, Selection, Watch, WatchKind};
pub use export::to_json as map_to_json;
pub use judgement::{Credit, Judgement, Missing, Path, Reason};
pub use lint::{EXAMPLE_MAP, LINTS, Lint, LintInfo, Traffic, ZoneTraffic, lint, lints_markdown};
pub use load::{MapProblems, Problem, Related, load_map, map_schema, parse_map};
pub use model::{BoundaryMap, ZoneId};
pub use report::{Level, Report, line_column, render};
pub use show::show as show_map;
pub use values::{Answered, Confidence, Orientation, OrientedBy, RejectedAt, Severity, Side, Verdict, Word};
