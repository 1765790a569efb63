//! Lints L01 to L21: what is legal in a map, and probably not meant.
