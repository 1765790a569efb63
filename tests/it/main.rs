//! The one integration binary.

mod acceptance;
