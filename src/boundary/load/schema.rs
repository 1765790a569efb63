//! The JSON Schema of a map, written from the table of keys that the decoder reads by.

use serde_json::{Map, Value, json};

use super::keys::{self, Case, Key, Shape, Table};

/// The tables that others refer to, each a definition of the schema.
const TABLES: [&Table; 9] = [
    &keys::FLOW_LOG,
    &keys::VPC,
    &keys::ZONE,
    &keys::SERVICES,
    &keys::RULE,
    &keys::NACL,
    &keys::INVARIANT,
    &keys::EXPECT,
    &keys::ENI,
];

/// The JSON Schema (draft 2020-12) of a boundary map: for editors, and for programs that write maps.
///
/// It knows keys, types and words. What takes the whole map to see (names that nobody declares, circles, ids that
/// stand twice) is the loader's to say. It describes the first file; an included one may lack `version` and `name`.
pub fn map_schema() -> Value {
    let mut schema = object(keys::MAP.keys, None);
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("flowbound boundary map"));
    schema.insert("description".to_owned(), json!(keys::MAP.doc));
    let exit = std::iter::once(&keys::EXIT);
    let definitions = TABLES.into_iter().chain(exit).map(|it| (it.name.to_owned(), table(it)));
    schema.insert("$defs".to_owned(), Value::Object(definitions.collect()));
    Value::Object(schema)
}

fn table(table: &Table) -> Value {
    let mut schema = match table.cases {
        [] => object(table.keys, None),
        cases => {
            let cases: Vec<_> = cases.iter().map(|case| Value::Object(object(table.keys, Some(case)))).collect();
            Map::from_iter([("oneOf".to_owned(), Value::Array(cases))])
        }
    };
    schema.insert("description".to_owned(), json!(table.doc));
    if table.name == keys::EXPECT.name {
        schema.extend(limits());
    }
    Value::Object(schema)
}

/// What the limits of an expectation ask of each other: there is one, and flows are counted in a period.
fn limits() -> [(String, Value); 3] {
    let any_of = |keys: &[&str]| keys.iter().map(|key| json!({ "required": [key] })).collect::<Value>();
    let counted = any_of(&["min_flows", "max_flows"]);
    [
        ("anyOf".to_owned(), any_of(&["min_flows", "max_flows", "max_bytes_per_hour"])),
        ("dependentRequired".to_owned(), json!({ "min_flows": ["every"], "max_flows": ["every"] })),
        ("dependentSchemas".to_owned(), json!({ "every": { "anyOf": counted } })),
    ]
}

/// An object with these keys, and those of a variant, and no others.
fn object(keys: &[Key], case: Option<&Case>) -> Map<String, Value> {
    let all = || keys.iter().chain(case.map_or(&[][..], |case| case.keys));
    let property = |key: &Key| {
        let value = match case {
            Some(case) if key.name == "kind" => json!({ "const": case.name, "description": case.doc }),
            _ => described(key),
        };
        (key.name.to_owned(), value)
    };
    let required: Vec<_> = all().filter(|key| key.required).map(|key| key.name).collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), Value::Object(all().map(property).collect()));
    object.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    object
}

fn described(key: &Key) -> Value {
    let mut value = shape(key.shape);
    if let Value::Object(members) = &mut value {
        members.insert("description".to_owned(), json!(key.doc));
    }
    value
}

fn shape(shape: Shape) -> Value {
    let named = || json!({ "type": "string", "minLength": 1 });
    let ports = || json!({ "type": ["string", "integer"], "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$", "minimum": 0, "maximum": 65535 });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let filled = |items: Value| json!({ "type": "array", "items": items, "minItems": 1 });
    let reference = |table: &Table| json!({ "$ref": format!("#/$defs/{}", table.name) });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Texts => list(json!({ "type": "string" })),
        Shape::Name | Shape::Zone | Shape::DeclaredZone | Shape::Vpc | Shape::Rule => named(),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::OneOf(numbers) => json!({ "enum": numbers }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Cidr => json!({ "type": "string", "pattern": CIDR }),
        Shape::Cidrs { empty: true } => list(json!({ "type": "string", "pattern": CIDR })),
        Shape::Cidrs { empty: false } => filled(json!({ "type": "string", "pattern": CIDR })),
        Shape::Addresses => list(json!({ "type": "string", "pattern": ADDRESS })),
        Shape::Ports => ports(),
        Shape::PortList => list(ports()),
        Shape::Protocol => {
            json!({ "type": ["string", "integer"], "pattern": "^(tcp|udp|icmp|icmpv6|-1|[0-9]{1,3})$", "minimum": -1, "maximum": 255 })
        }
        Shape::Date => json!({ "type": "string", "format": "date" }),
        Shape::Duration => json!({ "type": "string", "pattern": "^[0-9]+[smhd]$" }),
        Shape::Zones { empty: true } | Shape::Vpcs => list(named()),
        Shape::Zones { empty: false } | Shape::Services | Shape::Names => filled(named()),
        Shape::One(table) => reference(table),
        Shape::Named(table) => {
            json!({ "type": "object", "propertyNames": { "minLength": 1 }, "additionalProperties": reference(table) })
        }
        Shape::Many(table) => list(reference(table)),
    }
}

/// An IPv4 or IPv6 address, roughly.
const ADDRESS: &str = "^[0-9A-Fa-f:.]+$";

/// The same with a prefix length.
const CIDR: &str = "^[0-9A-Fa-f:.]+/[0-9]{1,3}$";
