//! References: the names that a map declares, and the values that must be one of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::model::{Place, ServiceId, Services, VpcId, ZoneId};
use super::keys::Shape;
use super::node::Node;
use super::scope::{Decoder, Scope, at};

/// The service that covers everything.
pub(super) const ANY_SERVICE: &str = "any";

/// Declared names of one kind: index and place of each.
#[derive(Debug, Default)]
pub(super) struct Index<'a>(HashMap<&'a str, (u16, &'a Place)>);

impl<'a> Index<'a> {
    /// Declares a name; `Err` is the place where it was declared before.
    pub(super) fn declare(&mut self, name: &'a str, place: &'a Place) -> Result<(), &'a Place> {
        let next = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        match self.0.entry(name) {
            Entry::Occupied(first) => Err(first.get().1),
            Entry::Vacant(slot) => {
                slot.insert((next, place));
                Ok(())
            }
        }
    }

    fn find(&self, name: &str) -> Option<u16> {
        self.0.get(name).map(|(index, _)| *index)
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().copied()
    }
}

/// The names that entries may refer to.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    pub(super) vpcs: Index<'a>,
    pub(super) zones: Index<'a>,
    pub(super) services: Index<'a>,
    pub(super) rules: Index<'a>,
}

impl<'a> Decoder<'a> {
    /// The zones at a key.
    pub(super) fn zones(&mut self, scope: &Scope<'a>, name: &str) -> Vec<ZoneId> {
        let zones = self.list(scope, name, |decoder, node, what| decoder.zone_at(node, what, true));
        if matches!(scope.key(name).map(|key| key.shape), Some(Shape::Zones { empty: false })) {
            self.filled(scope, name, "name at least one zone; `any` is every zone");
        }
        zones.unwrap_or_default()
    }

    /// The zone at a key; built-in ones too if the table of keys lets them.
    pub(super) fn zone(&mut self, scope: &Scope<'a>, name: &str) -> Option<ZoneId> {
        let node = self.value(scope, name)?;
        let built_in = matches!(scope.key(name).map(|key| key.shape), Some(Shape::Zone));
        self.zone_at(node, &at(scope, name), built_in)
    }

    fn zone_at(&mut self, node: &'a Node, what: &str, built_in: bool) -> Option<ZoneId> {
        let text = self.string(node, what)?;
        if let Some(index) = self.names.zones.find(text) {
            return Some(ZoneId::declared(usize::from(index)));
        }
        let index = ZoneId::BUILT_IN.iter().position(|&name| name == text);
        match index.and_then(|index| u16::try_from(index).ok()) {
            Some(index) if built_in => Some(ZoneId(index)),
            Some(_) => {
                let problem = self.sink.add(&node.place, format!("the built-in zone `{text}` cannot be {what}"));
                problem.hint("name a zone of this map");
                None
            }
            None => {
                let built_in = ZoneId::BUILT_IN.into_iter().filter(|_| built_in);
                let hint = match self.nearest(text, self.names.zones.names().chain(built_in.clone())) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("declare it as `[zone.{}]`", toml_key(text)),
                };
                self.sink.missing(&node.place, format!("unknown zone `{text}` in {what}")).hint(hint);
                None
            }
        }
    }

    /// The VPCs at a key.
    pub(super) fn vpcs(&mut self, scope: &Scope<'a>, name: &str) -> Vec<VpcId> {
        self.list(scope, name, Self::vpc_at).unwrap_or_default()
    }

    /// The VPC at a key.
    pub(super) fn vpc(&mut self, scope: &Scope<'a>, name: &str) -> Option<VpcId> {
        let node = self.value(scope, name)?;
        self.vpc_at(node, &at(scope, name))
    }

    fn vpc_at(&mut self, node: &'a Node, what: &str) -> Option<VpcId> {
        let text = self.string(node, what)?;
        let found = self.names.vpcs.find(text).map(VpcId);
        if found.is_none() {
            let hint = match self.nearest(text, self.names.vpcs.names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("declare it as `[vpc.{}]`; VPCs are named by these names, not by their ids", toml_key(text))
                }
            };
            self.sink.missing(&node.place, format!("unknown VPC `{text}` in {what}")).hint(hint);
        }
        found
    }

    /// The services at a key; every one where it is absent or names `any`.
    pub(super) fn services(&mut self, scope: &Scope<'a>, name: &str) -> Services {
        let Some(found) = self.list(scope, name, Self::service_at) else { return Services::Any };
        self.filled(scope, name, "name at least one service; leave the key out, or name `any`, for every service");
        found.into_iter().collect::<Option<Vec<_>>>().map_or(Services::Any, Services::These)
    }

    /// `Some(None)` is `any`.
    fn service_at(&mut self, node: &'a Node, what: &str) -> Option<Option<ServiceId>> {
        let text = self.string(node, what)?;
        if text == ANY_SERVICE {
            return Some(None);
        }
        let found = self.names.services.find(text).map(ServiceId);
        if found.is_none() {
            let hint = match self.nearest(text, self.names.services.names().chain([ANY_SERVICE])) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare it as `[service.{}]`", toml_key(text)),
            };
            self.sink.missing(&node.place, format!("unknown service `{text}` in {what}")).hint(hint);
        }
        found.map(Some)
    }

    /// The rule at a key: its id.
    pub(super) fn rule(&mut self, scope: &Scope<'a>, name: &str) -> Option<String> {
        let node = self.value(scope, name)?;
        let text = self.string(node, &at(scope, name))?;
        if self.names.rules.find(text).is_some() {
            return Some(text.to_owned());
        }
        let hint = match self.nearest(text, self.names.rules.names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name the id of a `[[rule]]` of this map".to_owned(),
        };
        self.sink.missing(&node.place, format!("unknown rule `{text}` in {}", at(scope, name))).hint(hint);
        None
    }
}

/// A name as it stands in a table header: in quotes where TOML wants them.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { format!("\"{}\"", name.escape_debug()) }
}
