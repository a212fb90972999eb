//! One member out of an archive, unpacked while it is read.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};
use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};

use super::source::fetch;
use super::{Member, Method, ZipError};
use crate::artifacts::blobs::Outgoing;
use crate::artifacts::objects::{Object, Objects};

/// Bytes that are unpacked at once.
const PIECE: usize = 64 * 1024;
/// Length of a local record without its names.
const LOCAL: u64 = 30;

/// The bytes of a member, checked against what the directory says.
pub type MemberStream = BoxStream<'static, io::Result<Bytes>>;

/// Opens a member of an archive.
///
/// # Errors
/// It is packed in a way that is not supported, its record is broken, or the storage failed.
pub async fn open(
    objects: &Objects,
    archive: &Object,
    member: &Member,
) -> Result<MemberStream, ZipError> {
    if member.encrypted {
        return Err(ZipError::Unsupported("it is encrypted"));
    }
    let inflate = match member.method {
        Method::Stored if member.packed == member.size => None,
        Method::Stored => return Err(broken("a stored member has two sizes")),
        Method::Deflated => Some(Decompress::new(false)),
        Method::Other => return Err(ZipError::Unsupported("its compression is not known here")),
    };
    let start = data_start(objects, archive, member).await?;
    let end = start.checked_add(member.packed);
    let end = end.filter(|end| *end <= archive.size);
    let end = end.ok_or_else(|| broken("a member lies beyond the end"))?;
    let pieces = match start == end {
        true => stream::empty().boxed(),
        false => objects.open_range(archive, Some(start..end)).await?,
    };
    let unpacking = Unpacking {
        pieces,
        packed: Bytes::new(),
        inflate,
        more: false,
        left: member.size,
        hasher: Hasher::new(),
        crc: member.crc,
        ended: false,
    };
    let unpacked = stream::try_unfold(unpacking, |mut unpacking| async move {
        let piece = unpacking.next().await?;
        Ok(piece.map(|piece| (piece, unpacking)))
    });
    Ok(unpacked.boxed())
}

/// Where the content of a member starts: behind a record whose length the directory does not tell.
async fn data_start(objects: &Objects, archive: &Object, member: &Member) -> Result<u64, ZipError> {
    let end = member.start.checked_add(LOCAL);
    let end = end.filter(|end| *end <= archive.size);
    let end = end.ok_or_else(|| broken("a member starts beyond the end"))?;
    let mut record = fetch(objects, archive, member.start..end).await?;
    if record.len() as u64 != LOCAL || record.get_u32_le() != 0x0403_4b50 {
        return Err(broken("a member has no record"));
    }
    record.advance(22);
    let (name, extra) = (record.get_u16_le(), record.get_u16_le());
    Ok(end + u64::from(name) + u64::from(extra))
}

fn broken(what: &str) -> ZipError {
    ZipError::Invalid(what.to_owned())
}

struct Unpacking {
    pieces: Outgoing,
    /// What came and is not unpacked.
    packed: Bytes,
    /// None for what is stored as it is.
    inflate: Option<Decompress>,
    /// What came before may unpack to more than was taken so far.
    more: bool,
    /// Bytes that are still to come.
    left: u64,
    hasher: Hasher,
    crc: u32,
    ended: bool,
}

impl Unpacking {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.ended {
            if self.packed.is_empty() && !self.more {
                let piece = self.pieces.try_next().await.map_err(io::Error::other)?;
                match piece {
                    Some(piece) => self.packed = piece,
                    None => self.ended = true,
                }
            }
            let piece = match &mut self.inflate {
                None => std::mem::take(&mut self.packed),
                Some(_) if self.ended => Bytes::new(),
                Some(inflate) => {
                    let (piece, ended) = inflated(inflate, &mut self.packed)?;
                    self.ended = ended;
                    self.more = piece.len() == PIECE;
                    piece
                }
            };
            let left = self.left.checked_sub(piece.len() as u64);
            // A small archive that claims to hold little may unpack to a lot.
            self.left = left.ok_or_else(|| wrong("is longer than the directory says"))?;
            self.hasher.update(&piece);
            if self.ended {
                self.check()?;
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn check(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(wrong("is shorter than the directory says"));
        }
        match std::mem::take(&mut self.hasher).finalize() == self.crc {
            true => Ok(()),
            false => Err(wrong("has a wrong checksum")),
        }
    }
}

/// The next piece, and whether it is the last one.
fn inflated(inflate: &mut Decompress, packed: &mut Bytes) -> io::Result<(Bytes, bool)> {
    let mut piece = BytesMut::zeroed(PIECE);
    let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(packed, &mut piece, FlushDecompress::None)
        .map_err(io::Error::other)?;
    let read = (inflate.total_in() - before_in) as usize;
    let written = (inflate.total_out() - before_out) as usize;
    packed.advance(read);
    piece.truncate(written);
    if read + written == 0 && status != Status::StreamEnd && !packed.is_empty() {
        return Err(wrong("is broken"));
    }
    Ok((piece.freeze(), status == Status::StreamEnd))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a member of the archive {what}"),
    )
}
