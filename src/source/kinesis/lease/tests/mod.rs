//! Workers together: scenes that are played once, and a simulation that is played from many seeds. Time is tokio's
//! paused time: minutes pass in milliseconds.

mod scenes;
mod simulation;
mod stream;
mod worker;
