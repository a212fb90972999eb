//! Messages that come in chunks (protocol 3).

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};

use crate::wire::Value;

/// Chunked messages at the same time.
const MAX_MESSAGES: usize = 64;

/// See the module's text.
#[derive(Default)]
pub(super) struct LongMessages {
    open: HashMap<String, BTreeMap<i64, Bytes>>,
}

impl LongMessages {
    /// One call of the message cache; the whole message when it is complete.
    ///
    /// # Errors
    /// What the sender did wrong.
    pub fn step(&mut self, step: &str, mut args: Vec<Value>) -> Result<Option<Bytes>, String> {
        let key = args.first().and_then(Value::as_str).map(str::to_owned);
        let key = key.ok_or("the key of a long message must be a text")?;
        match step {
            "create" => {
                if self.open.len() >= MAX_MESSAGES {
                    return Err("too many long messages at once".into());
                }
                self.open.insert(key, BTreeMap::new());
            }
            "append" | "set" => {
                let chunks = self.open.get_mut(&key).ok_or("unknown long message")?;
                let (index, data) = match step {
                    "append" => (chunks.len() as i64, args.get_mut(1)),
                    _ => (
                        args.get(1).and_then(Value::as_i64).unwrap_or_default(),
                        args.get_mut(2),
                    ),
                };
                let data = data.map(std::mem::take).and_then(Value::into_bytes);
                chunks.insert(index, data.ok_or("a chunk must be bytes")?);
            }
            "remove" => {
                self.open.remove(&key);
            }
            "process" => {
                let chunks = self.open.remove(&key).ok_or("unknown long message")?;
                let mut whole = BytesMut::new();
                for chunk in chunks.values() {
                    whole.extend_from_slice(chunk);
                }
                return Ok(Some(whole.freeze()));
            }
            other => return Err(format!("there is no function message_cache.{other}")),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_in_their_order() {
        let mut long = LongMessages::default();
        let chunk = |text: &'static str| Value::from(Bytes::from_static(text.as_bytes()));
        long.step("create", vec!["k".into(), true.into()]).unwrap();
        long.step("set", vec!["k".into(), 1.into(), chunk("b")])
            .unwrap();
        long.step("set", vec!["k".into(), 0.into(), chunk("a")])
            .unwrap();
        long.step("append", vec!["k".into(), chunk("c")]).unwrap();
        let whole = long.step("process", vec!["k".into()]).unwrap();
        assert_eq!(whole.unwrap(), "abc");
        assert!(long.step("process", vec!["k".into()]).is_err());
        assert!(long.step("set", vec![]).is_err());
    }
}
