//! Objects that arrive as Kubernetes' protobuf: clients post Secrets, ConfigMaps and Namespaces so
//! where a server offers both forms. Only the fields that these tools fill are read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Prefix of such a body.
const MAGIC: &[u8] = b"k8s\0";

/// Decodes the object in a body; `None` if it is malformed or of an unsupported kind.
pub(crate) fn decode(body: &[u8]) -> Option<Value> {
    let envelope = Message::parse(body.strip_prefix(MAGIC)?)?;
    let about = Message::parse(envelope.bytes(1)?)?;
    let kind = about.text(2)?;
    let message = Message::parse(envelope.bytes(2)?)?;
    let mut object = json!({ "apiVersion": about.text(1)?, "kind": kind });
    match kind.as_str() {
        "DeleteOptions" => {
            if let Some(seconds) = message.number(1) {
                object["gracePeriodSeconds"] = json!(seconds);
            }
            return Some(object);
        }
        "Secret" => {
            object["data"] = message.map(2, |bytes| json!(base64(bytes)))?;
            object["type"] = json!(message.text(3).unwrap_or_else(|| "Opaque".to_owned()));
        }
        "ConfigMap" => {
            object["data"] = message.map(2, |bytes| json!(String::from_utf8_lossy(bytes)))?;
        }
        "Namespace" => {}
        _ => return None,
    }
    object["metadata"] = metadata(&Message::parse(message.bytes(1)?)?)?;
    Some(object)
}

fn metadata(message: &Message<'_>) -> Option<Value> {
    let mut metadata = json!({});
    let texts = [
        (1, "name"),
        (2, "generateName"),
        (3, "namespace"),
        (6, "resourceVersion"),
    ];
    for (number, field) in texts {
        if let Some(text) = message.text(number).filter(|text| !text.is_empty()) {
            metadata[field] = json!(text);
        }
    }
    for (number, field) in [(11, "labels"), (12, "annotations")] {
        let map = message.map(number, |bytes| json!(String::from_utf8_lossy(bytes)))?;
        if map.as_object().is_some_and(|map| !map.is_empty()) {
            metadata[field] = map;
        }
    }
    Some(metadata)
}

/// The fields of one message, by number, each as often as it came.
struct Message<'a>(BTreeMap<u64, Vec<Field<'a>>>);

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    fn parse(mut rest: &'a [u8]) -> Option<Message<'a>> {
        let mut fields: BTreeMap<u64, Vec<Field<'a>>> = BTreeMap::new();
        while !rest.is_empty() {
            let tag = varint(&mut rest)?;
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut rest)?),
                2 => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    let (bytes, after) = rest.split_at_checked(length)?;
                    rest = after;
                    Field::Bytes(bytes)
                }
                _ => return None,
            };
            fields.entry(tag >> 3).or_default().push(field);
        }
        Some(Message(fields))
    }

    fn bytes(&self, number: u64) -> Option<&'a [u8]> {
        match self.0.get(&number)?.last()? {
            Field::Bytes(bytes) => Some(bytes),
            Field::Number(_) => None,
        }
    }

    fn number(&self, number: u64) -> Option<u64> {
        match self.0.get(&number)?.last()? {
            Field::Number(value) => Some(*value),
            Field::Bytes(_) => None,
        }
    }

    fn text(&self, number: u64) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes(number)?).into_owned())
    }

    /// Decodes a map field: each entry is a message of key 1 and value 2.
    fn map(&self, number: u64, value: impl Fn(&[u8]) -> Value) -> Option<Value> {
        let mut map = json!({});
        for field in self.0.get(&number).into_iter().flatten() {
            let Field::Bytes(bytes) = field else {
                return None;
            };
            let entry = Message::parse(bytes)?;
            map[entry.text(1)?] = value(entry.bytes(2).unwrap_or_default());
        }
        Some(map)
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let filled = place <= chunk.len();
            text.push(if filled {
                ALPHABET[index as usize].into()
            } else {
                '='
            });
        }
    }
    text
}

/// Decodes the value of a Secret; `None` if it is not base64.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut filled) = (0_u32, 0);
    for symbol in text
        .bytes()
        .filter(|symbol| !symbol.is_ascii_whitespace() && *symbol != b'=')
    {
        let value = ALPHABET.iter().position(|one| *one == symbol)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        filled += 6;
        if filled >= 8 {
            filled -= 8;
            bytes.push((bits >> filled & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes one field with short bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).expect("short");
        [&[number << 3 | 2, length][..], bytes].concat()
    }

    #[test]
    fn a_secret_arrives() {
        let entry = |key: &str, value: &[u8]| [field(1, key.as_bytes()), field(2, value)].concat();
        let metadata = [field(1, b"s"), field(11, &entry("owner", b"helm"))].concat();
        let secret = [
            field(1, &metadata),
            field(2, &entry("a", b"\x00\xff")),
            field(3, b"T"),
        ];
        let about = [field(1, b"v1"), field(2, b"Secret")].concat();
        let body = [MAGIC, &field(1, &about), &field(2, &secret.concat())].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "T", "data": { "a": "AP8=" },
            "metadata": { "name": "s", "labels": { "owner": "helm" } },
        });
        assert_eq!(decode(&body), Some(expected));
        assert_eq!(decode(&body[..body.len() - 1]), None);
    }

    #[test]
    fn base64_is_its_own_inverse() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (plain, text) in cases {
            assert_eq!(base64(plain.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(from_base64("a*"), None);
    }
}
