//! The JSON Schema of a map.

/// The schema.
pub fn map_schema() -> serde_json::Value {
    serde_json::Value::Null
}
