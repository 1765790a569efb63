//! Synthetic traffic for a map, labelled.
