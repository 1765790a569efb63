//! The one integration binary.

mod acceptance;
mod cli;
mod logs;
mod ranks;
