//! The one integration binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up should stop")]

mod acceptance;
mod alerts;
mod cli;
mod deliver;
mod lake;
mod logs;
mod ranks;
mod settings;
mod systems;
