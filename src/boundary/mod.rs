//! The boundary map, and what it says of a record. No clock, no state; reading the map's files is the caller's.

mod evaluate;
mod export;
mod judgement;
mod lint;
mod load;
pub mod model;
mod show;
mod values;

pub use export::to_json;
pub use judgement::{Credit, Judgement, Missing, Path, Reason};
pub use load::{MapProblems, Problem, Related, load_map, map_schema, parse_map};
pub use model::{BoundaryMap, ZoneId};
pub use show::show;
pub use values::{Confidence, Orientation, OrientedBy, Severity, Side, Verdict};
