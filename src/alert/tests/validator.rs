//! A small validator of OCSF events: required attributes, types, enums, profiles, constraints, nothing unknown. The
//! schemas are those of `testdata/ocsf`.

use std::net::IpAddr;

use serde_json::{Map, Value};

pub(super) struct Schema(Value);

impl Schema {
    pub(super) fn all() -> [Self; 2] {
        [include_str!("../../../testdata/ocsf/ocsf-1.6.0.json"), include_str!("../../../testdata/ocsf/ocsf-1.8.0.json")]
            .map(|text| Self(serde_json::from_str(text).unwrap()))
    }

    pub(super) fn version(&self) -> &str {
        self.0["version"].as_str().unwrap()
    }

    /// Everything that is wrong with an event of this class.
    pub(super) fn problems(&self, class: &str, event: &Value) -> Vec<String> {
        let profiles: Vec<&str> = event
            .pointer("/metadata/profiles")
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |names| names.iter().filter_map(Value::as_str).collect());
        let mut problems = Vec::new();
        let mut check = Check { schema: self, profiles, problems: &mut problems };
        check.object(&self.0["classes"][class], event, class);
        check.sums(event);
        problems
    }
}

struct Check<'s> {
    schema: &'s Schema,
    profiles: Vec<&'s str>,
    problems: &'s mut Vec<String>,
}

impl Check<'_> {
    fn told(&mut self, place: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{place}: {what}"));
    }

    fn object(&mut self, definition: &Value, value: &Value, place: &str) {
        let Some(members) = value.as_object() else { return self.told(place, "is no object") };
        let attributes = definition["attributes"].as_object().unwrap();
        for (name, attribute) in attributes {
            let applies = attribute.get("profile").is_none_or(|profile| self.has_profile(profile));
            match members.get(name) {
                Some(_) if !applies => {
                    self.told(place, format_args!("{name} is of a profile that the event does not have"))
                }
                Some(value) => self.attribute(attribute, value, &format!("{place}.{name}")),
                None if applies && attribute["requirement"] == "required" => {
                    self.told(place, format_args!("{name} is required"));
                }
                None => {}
            }
        }
        for name in members.keys().filter(|name| !attributes.contains_key(*name)) {
            self.told(place, format_args!("{name} is unknown"));
        }
        self.constraints(definition, members, place);
    }

    fn has_profile(&self, profile: &Value) -> bool {
        self.profiles.iter().any(|name| profile == name)
    }

    fn constraints(&mut self, definition: &Value, members: &Map<String, Value>, place: &str) {
        for (kind, names) in definition["constraints"].as_object().into_iter().flatten() {
            let names: Vec<&str> = names.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let count = names.iter().filter(|name| members.contains_key(**name)).count();
            match kind.as_str() {
                "at_least_one" if count >= 1 => {}
                "just_one" if count == 1 => {}
                _ => self.told(place, format_args!("{kind} of {names:?}, and it has {count}")),
            }
        }
    }

    fn attribute(&mut self, attribute: &Value, value: &Value, place: &str) {
        if attribute["is_array"] == true {
            let Some(items) = value.as_array() else { return self.told(place, "is no array") };
            for (number, item) in items.iter().enumerate() {
                self.value(attribute, item, &format!("{place}[{number}]"));
            }
        } else {
            self.value(attribute, value, place);
        }
    }

    fn value(&mut self, attribute: &Value, value: &Value, place: &str) {
        let name = attribute["type"].as_str().unwrap();
        if let Some(definition) = self.schema.0["objects"].get(name).filter(|_| name != "object") {
            return self.object(definition, value, place);
        }
        let text = value.as_str();
        let fits = match name {
            "integer_t" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            "long_t" | "timestamp_t" => value.is_i64(),
            "port_t" => value.as_u64().is_some_and(|port| port <= 65_535),
            "float_t" => value.is_number(),
            "boolean_t" => value.is_boolean(),
            "object" => value.is_object(),
            "json_t" => !value.is_null(),
            "ip_t" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            "url_t" => text.is_some_and(|text| text.starts_with("https://")),
            "datetime_t" => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
            // an object that the reduced schema left out has no other name
            other if !other.ends_with("_t") => false,
            _ => text.is_some(),
        };
        if !fits {
            self.told(place, format_args!("{value} is no {name}"));
        }
        let (written, choices) = (value.to_string(), attribute["enum"].as_array());
        if choices.is_some_and(|choices| !choices.iter().any(|choice| *choice == *written)) {
            self.told(place, format_args!("{value} is none of its values"));
        }
    }

    /// What OCSF says in words: a type is its class and its activity, a category the thousands of its classes.
    fn sums(&mut self, event: &Value) {
        let number = |name: &str| event[name].as_i64().unwrap_or(-1);
        if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
            self.told("type_uid", "is not class_uid * 100 + activity_id");
        }
        if number("category_uid") != number("class_uid") / 1000 {
            self.told("category_uid", "is not that of the class");
        }
    }
}
