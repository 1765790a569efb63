//! One object, taken apart: the events of an envelope straight into a text, everything else as it is written.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// More keys than this no flow log has; it bounds the memory that an object takes.
const MOST_MEMBERS: usize = 512;

/// The messages of an envelope's log events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The messages, each ended by `\n`.
    pub(super) text: Vec<u8>,
    /// The messages that are JSON, without their line ends.
    pub(super) json: Vec<Range<usize>>,
}

impl Events {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.json.clear();
    }

    fn push(&mut self, message: &str) {
        let message = message.strip_suffix('\n').unwrap_or(message).as_bytes();
        let start = self.text.len();
        self.text.extend_from_slice(message);
        if is_object(message) {
            self.json.push(start..self.text.len());
        }
        self.text.push(b'\n');
    }
}

/// True for what can only be a JSON object.
pub(super) fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{")
}

/// The members of an object in their order, without the log events.
#[derive(Debug)]
pub(super) struct Members<'de>(pub(super) Vec<(Cow<'de, str>, &'de RawValue)>);

impl<'de> Members<'de> {
    /// Takes an object apart; what it has of log events goes to `events`.
    pub(super) fn read(object: &'de [u8], events: &mut Events) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(object);
        let members = deserializer.deserialize_map(OfObject { events })?;
        deserializer.end()?;
        Ok(members)
    }

    /// The value of a key, as it is written.
    pub(super) fn value(&self, key: &str) -> Option<&'de str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// The value of a key, if it is a text.
    pub(super) fn text(&self, key: &str) -> Option<Cow<'de, str>> {
        self.value(key).and_then(|value| text(value).ok().flatten())
    }
}

/// The text that a value stands for; `None` for a value that is no string.
pub(super) fn text(value: &str) -> serde_json::Result<Option<Cow<'_, str>>> {
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        None => Ok(None),
        Some(plain) if !plain.contains('\\') => Ok(Some(Cow::Borrowed(plain))),
        Some(_) => serde_json::from_str(value).map(|text: String| Some(Cow::Owned(text))),
    }
}

struct OfObject<'e> {
    events: &'e mut Events,
}

impl<'de> Visitor<'de> for OfObject<'_> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            if key == "logEvents" {
                map.next_value_seed(OfEvents { events: &mut *self.events })?;
            } else if members.len() == MOST_MEMBERS {
                return Err(A::Error::custom(format_args!("an object of more than {MOST_MEMBERS} keys")));
            } else {
                members.push((key, map.next_value()?));
            }
        }
        Ok(Members(members))
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// The array of log events.
struct OfEvents<'e> {
    events: &'e mut Events,
}

impl<'de> DeserializeSeed<'de> for OfEvents<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OfEvents<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of log events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<(), A::Error> {
        while events.next_element_seed(OfEvent { events: &mut *self.events })?.is_some() {}
        Ok(())
    }
}

/// One log event: `{"id": …, "timestamp": …, "message": …}`.
struct OfEvent<'e> {
    events: &'e mut Events,
}

impl<'de> DeserializeSeed<'de> for OfEvent<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OfEvent<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut event: A) -> Result<(), A::Error> {
        let before = self.events.text.len();
        while let Some(key) = event.next_key_seed(Key)? {
            if key == "message" {
                event.next_value_seed(OfMessage { events: &mut *self.events })?;
            } else {
                event.next_value::<IgnoredAny>()?;
            }
        }
        if self.events.text.len() == before {
            // so that the numbers of the other events stay theirs
            self.events.push("");
        }
        Ok(())
    }
}

/// The message of a log event.
struct OfMessage<'e> {
    events: &'e mut Events,
}

impl<'de> DeserializeSeed<'de> for OfMessage<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OfMessage<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of a log event")
    }

    fn visit_str<E>(self, message: &str) -> Result<(), E> {
        self.events.push(message);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
