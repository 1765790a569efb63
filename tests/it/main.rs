//! The one integration binary.

mod acceptance;
mod ranks;
