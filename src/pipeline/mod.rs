//! The way of the data, wired: source -> decode -> parse -> boundary -> lake, and detect beside the lake.
//! Only this module knows the order.

mod close;
mod deliver;
mod plan;
mod queue;
mod recorder;
mod replay;
mod stream;
mod summary;
mod worker;

pub use deliver::{Deliverer, Delivery};
pub use plan::{MapChange, PlanError};
pub use queue::{QueueError, QueueOptions};
pub use recorder::DETECT_BYTES;
pub use replay::{Replay, ReplayError, ReplayOptions};
pub use stream::{Stream, StreamError, StreamOptions, StreamParts};
pub use summary::{AlertLine, Alerts, Fault, Skipped, Summary};
