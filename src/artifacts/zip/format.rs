//! The records of a zip archive that is written without knowing checksums in advance (APPNOTE.TXT
//! 6.3: 4.3.7 to 4.3.16). Contents are stored as they are; sizes and checksum follow each of them.

use bytes::{BufMut, BytesMut};

/// Sizes, offsets and counts that do not fit below these need ZIP64.
const MAX_32: u64 = u32::MAX as u64;
const MAX_16: usize = u16::MAX as usize;
/// Names are UTF-8; sizes come after the content.
const FLAGS: u16 = (1 << 11) | (1 << 3);
/// Version of the format that is needed: 2.0, and 4.5 for ZIP64.
const PLAIN: u16 = 20;
const LARGE: u16 = 45;
/// Written on Unix, as a regular file that everybody may read.
const MADE_BY_UNIX: u16 = 3 << 8;
const MODE: u32 = 0o100_644 << 16;

/// What the records say about a file.
#[derive(Debug, Clone)]
pub struct Header {
    pub name: String,
    pub size: u64,
    /// Seconds since 1970.
    pub modified: f64,
    /// Where its local record starts.
    pub offset: u64,
    /// Checksum; known when the content is written.
    pub crc: u32,
}

impl Header {
    fn is_large(&self) -> bool {
        self.size >= MAX_32
    }

    fn version(&self) -> u16 {
        match self.is_large() || self.offset >= MAX_32 {
            true => LARGE,
            false => PLAIN,
        }
    }

    /// The record before the content.
    pub fn local(&self) -> BytesMut {
        let mut out = BytesMut::new();
        let large = self.is_large();
        out.put_u32_le(0x0403_4b50);
        out.put_u16_le(if large { LARGE } else { PLAIN });
        self.put_common(&mut out);
        out.put_u32_le(0);
        // With ZIP64 the sizes are told to be in the extra field, and there to be unknown yet.
        let size = if large { u32::MAX } else { 0 };
        out.put_u32_le(size);
        out.put_u32_le(size);
        out.put_u16_le(self.name.len() as u16);
        out.put_u16_le(if large { 20 } else { 0 });
        out.put_slice(self.name.as_bytes());
        if large {
            out.put_u16_le(1);
            out.put_u16_le(16);
            out.put_u64_le(0);
            out.put_u64_le(0);
        }
        out
    }

    /// Flags, method and time.
    fn put_common(&self, out: &mut BytesMut) {
        let (date, time) = dos_time(self.modified);
        out.put_u16_le(FLAGS);
        out.put_u16_le(0);
        out.put_u16_le(time);
        out.put_u16_le(date);
    }

    /// The record after the content.
    pub fn descriptor(&self) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u32_le(0x0807_4b50);
        out.put_u32_le(self.crc);
        match self.is_large() {
            true => {
                out.put_u64_le(self.size);
                out.put_u64_le(self.size);
            }
            false => {
                out.put_u32_le(self.size as u32);
                out.put_u32_le(self.size as u32);
            }
        }
        out
    }

    /// The record in the directory at the end.
    pub fn central(&self) -> BytesMut {
        let mut extra = BytesMut::new();
        if self.is_large() {
            extra.put_u64_le(self.size);
            extra.put_u64_le(self.size);
        }
        if self.offset >= MAX_32 {
            extra.put_u64_le(self.offset);
        }
        let mut out = BytesMut::new();
        out.put_u32_le(0x0201_4b50);
        out.put_u16_le(MADE_BY_UNIX | self.version());
        out.put_u16_le(self.version());
        self.put_common(&mut out);
        out.put_u32_le(self.crc);
        let size = self.size.min(MAX_32) as u32;
        out.put_u32_le(size);
        out.put_u32_le(size);
        out.put_u16_le(self.name.len() as u16);
        let extra_length = if extra.is_empty() { 0 } else { extra.len() + 4 };
        out.put_u16_le(extra_length as u16);
        // No comment, first disk, no internal attributes.
        out.put_u16_le(0);
        out.put_u16_le(0);
        out.put_u16_le(0);
        out.put_u32_le(MODE);
        out.put_u32_le(self.offset.min(MAX_32) as u32);
        out.put_slice(self.name.as_bytes());
        if !extra.is_empty() {
            out.put_u16_le(1);
            out.put_u16_le(extra.len() as u16);
            out.put_slice(&extra);
        }
        out
    }
}

/// The records after the directory: where it starts, and how long it is.
pub fn end(count: usize, start: u64, size: u64) -> BytesMut {
    let mut out = BytesMut::new();
    if count >= MAX_16 || start >= MAX_32 || size >= MAX_32 {
        out.put_u32_le(0x0606_4b50);
        out.put_u64_le(44);
        out.put_u16_le(MADE_BY_UNIX | LARGE);
        out.put_u16_le(LARGE);
        out.put_u32_le(0);
        out.put_u32_le(0);
        out.put_u64_le(count as u64);
        out.put_u64_le(count as u64);
        out.put_u64_le(size);
        out.put_u64_le(start);
        out.put_u32_le(0x0706_4b50);
        out.put_u32_le(0);
        out.put_u64_le(start + size);
        out.put_u32_le(1);
    }
    out.put_u32_le(0x0605_4b50);
    out.put_u16_le(0);
    out.put_u16_le(0);
    let count = count.min(MAX_16) as u16;
    out.put_u16_le(count);
    out.put_u16_le(count);
    out.put_u32_le(size.min(MAX_32) as u32);
    out.put_u32_le(start.min(MAX_32) as u32);
    out.put_u16_le(0);
    out
}

/// Date and time as MS-DOS has them, in UTC: from 1980 to 2107, to two seconds.
fn dos_time(unix: f64) -> (u16, u16) {
    let seconds = (unix.max(0.0) as i64).clamp(315_532_800, 4_354_819_198);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = crate::workspace::iso_time::civil(days);
    let date = ((year - 1980) << 9) | (month << 5) | day;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let time = (hour << 11) | (minute << 5) | (second % 60 / 2);
    (date as u16, time as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_ms_dos() {
        assert_eq!(dos_time(0.0), (0x21, 0));
        // 2024-02-29 12:34:56
        let (date, time) = dos_time(1_709_210_096.7);
        assert_eq!(date, (44 << 9) | (2 << 5) | 29);
        assert_eq!(time, (12 << 11) | (34 << 5) | 28);
        assert_eq!(dos_time(f64::MAX).0 >> 9, 127);
    }
}
