//! The one integration binary.

mod ranks;
