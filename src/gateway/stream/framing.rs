//! Messages as they stand in a stream: a length of four bytes, most significant first, then the
//! message (protocol 6).

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use crate::map;
use crate::router::Outgoing;
use crate::wire::{self, Map, Value};

/// Bodies above this become a piece of their own instead of being copied behind their header.
const OWN_PIECE_ABOVE: usize = 16 * 1024;
/// Small messages are joined into pieces of about this size.
const JOIN_UP_TO: usize = 64 * 1024;

/// A control message: a single map that the client's library keeps to itself.
pub fn control(map: Map) -> Outgoing {
    Outgoing::Frame {
        header: wire::encode(&Value::Map(map)),
        body: Bytes::new(),
    }
}

/// Turns messages into the pieces of a response, in order.
pub fn pack(messages: impl IntoIterator<Item = Outgoing>, into: &mut VecDeque<Bytes>) {
    let mut joined = BytesMut::new();
    for message in messages {
        let (header, body) = match message {
            Outgoing::Frame { header, body } => (header, body),
            Outgoing::Ping => (sign_of_life(), Bytes::new()),
        };
        let Ok(length) = u32::try_from(header.len() + body.len()) else {
            // No door lets in messages of this size.
            tracing::error!("a message is too long for a stream");
            continue;
        };
        joined.put_u32(length);
        joined.extend_from_slice(&header);
        if body.len() > OWN_PIECE_ABOVE {
            into.push_back(joined.split().freeze());
            into.push_back(body);
        } else {
            joined.extend_from_slice(&body);
            if joined.len() > JOIN_UP_TO {
                into.push_back(joined.split().freeze());
            }
        }
    }
    if !joined.is_empty() {
        into.push_back(joined.freeze());
    }
}

fn sign_of_life() -> Bytes {
    wire::encode(&Value::Map(map! { "type" => "ping" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(header: &'static [u8], body: Vec<u8>) -> Outgoing {
        Outgoing::Frame {
            header: Bytes::from_static(header),
            body: body.into(),
        }
    }

    fn packed(messages: Vec<Outgoing>) -> VecDeque<Bytes> {
        let mut pieces = VecDeque::new();
        pack(messages, &mut pieces);
        pieces
    }

    #[test]
    fn each_message_follows_its_length() {
        let pieces = packed(vec![frame(b"head", b"body".to_vec()), Outgoing::Ping]);
        assert_eq!(pieces.len(), 1);
        assert_eq!(
            &pieces[0][..],
            b"\0\0\0\x08headbody\0\0\0\x0b\x81\xa4type\xa4ping"
        );
    }

    #[test]
    fn large_bodies_are_not_copied() {
        let body = vec![7; OWN_PIECE_ABOVE + 1];
        let at = body.as_ptr();
        let pieces = packed(vec![
            frame(b"a", vec![]),
            frame(b"b", body),
            frame(b"c", vec![]),
        ]);
        assert_eq!(pieces.len(), 3);
        assert_eq!(&pieces[0][..], b"\0\0\0\x01a\0\0\x40\x02b");
        assert_eq!(pieces[1].as_ptr(), at);
        assert_eq!(&pieces[2][..], b"\0\0\0\x01c");
    }

    #[test]
    fn many_small_messages_share_pieces_of_bounded_size() {
        let pieces = packed((0..1000).map(|_| frame(b"h", vec![0; 1000])).collect());
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 1000 * 1005);
        assert!(pieces.len() > 10);
        assert!(pieces.iter().all(|piece| piece.len() < JOIN_UP_TO + 2000));
    }
}
