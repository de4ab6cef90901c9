//! The encodings that bodies of events may come in (RFC 9110, 8.4), and how they are undone.
//!
//! What is decoded is already in memory and bounded. The output is bounded too: a decoder gives it piece by piece, and is
//! not asked for more once the limit is passed. What it needs for itself is bounded by the windows that it accepts.

use std::io::{self, Read};

use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use bytes::{Buf as _, Bytes, buf::Reader};
use flate2::{Decompress, DecompressError, FlushDecompress, Status as Inflated};
use http::{HeaderMap, header};

/// How much is decoded between two looks at the limit.
const PIECE: usize = 64 << 10;
/// So many pieces are decoded before others get their turn: about a millisecond of work.
const PIECES_PER_TURN: usize = 4;
/// The window of gzip, as a power of two: the largest that there is.
const WINDOW_BITS: u8 = 15;
/// The largest window of zstd, as a power of two: what its levels up to 19 use, and no more than 8 MiB.
const ZSTD_WINDOW: u32 = 23;

/// An encoding that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or RFC 1951 alone: clients never agreed on what HTTP means by it.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// What a request says of its body's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoded {
    /// Nothing, or that it has none.
    Plain,
    /// This.
    As(Encoding),
    /// Something that is not understood.
    Unknown,
}

impl Encoded {
    /// What these headers say.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let named = headers.get_all(header::CONTENT_ENCODING).iter();
        let mut named = named.filter(|value| {
            !value.is_empty() && !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")
        });
        match (named.next(), named.next()) {
            (None, _) => Self::Plain,
            (Some(value), None) => {
                value.to_str().ok().and_then(Encoding::named).map_or(Self::Unknown, Self::As)
            }
            (Some(_), Some(_)) => Self::Unknown,
        }
    }
}

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError<E> {
    /// It is not what its encoding says.
    #[error("{0}")]
    Damaged(String),
    /// There is more than the limit.
    #[error("the decoded body is larger than allowed")]
    TooLarge,
    /// There is no room for more.
    #[error("there is no room")]
    NoRoom(E),
}

impl Encoding {
    fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Its name in headers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Decodes all of `body`, to at most `limit` bytes. `make_room` is asked before that many bytes are kept.
    pub(crate) async fn decode<E>(
        self,
        body: Bytes,
        limit: usize,
        mut make_room: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Bytes, DecodeError<E>> {
        let damaged = |error: &io::Error| DecodeError::Damaged(self.explain(error));
        let mut source = self.decoder(body).map_err(|error| damaged(&error))?;
        let mut decoded = source.begin(limit).map_err(|error| damaged(&error))?;
        make_room(decoded.len()).map_err(DecodeError::NoRoom)?;
        let mut piece = Vec::new();
        for turn in 1.. {
            // One more than the limit: what is as long as that is told from what is longer.
            if decoded.len() > limit {
                return Err(DecodeError::TooLarge);
            }
            if source.has_ended() {
                break;
            }
            piece.resize(PIECE.min(limit + 1), 0);
            let length = source.read(&mut piece).map_err(|error| damaged(&error))?;
            if length == 0 {
                break;
            }
            if decoded.len() + length > limit {
                return Err(DecodeError::TooLarge);
            }
            make_room(length).map_err(DecodeError::NoRoom)?;
            if decoded.capacity() - decoded.len() < length {
                // Never to more than the limit, which doubling would pass.
                let more = decoded.capacity().min(limit - decoded.len()).max(length);
                decoded.reserve_exact(more);
            }
            decoded.extend_from_slice(&piece[..length]);
            if turn % PIECES_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(decoded.into())
    }

    fn decoder(self, body: Bytes) -> io::Result<Decoder> {
        Ok(match self {
            Self::Gzip => Decoder::Inflate(Inflate::new(body, Wrapping::Gzip)),
            Self::Deflate => {
                let wrapping = if has_zlib_header(&body) { Wrapping::Zlib } else { Wrapping::None };
                Decoder::Inflate(Inflate::new(body, wrapping))
            }
            Self::Brotli => Decoder::Other(Box::new(brotli(body))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body.reader())?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Decoder::Other(Box::new(decoder))
            }
        })
    }

    fn explain(self, error: &io::Error) -> String {
        let name = self.name();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            format!("the body is cut off: its {name} encoding has no end")
        } else {
            format!("the body is not {name}, as its content-encoding says, or it is damaged ({error})")
        }
    }
}

/// Without the extension for windows of up to a gigabyte, which no client of HTTP may use.
fn brotli(body: Bytes) -> Decompressor<Reader<Bytes>> {
    let mut decoder = Decompressor::new(body.reader(), 4096);
    decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    decoder
}

/// Whether the first two bytes are a header of RFC 1950: the method is deflate, and their check is right.
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}

/// What undoes an encoding.
enum Decoder {
    Inflate(Inflate),
    Other(Box<dyn Read + Send>),
}

impl Decoder {
    /// What the decoded body begins with, as far as that goes without another copy of it: most bodies of events are whole then.
    /// Up to `limit` bytes, and one more if there are more.
    fn begin(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Inflate(inflate) => inflate.begin(limit),
            Self::Other(_) => Ok(Vec::new()),
        }
    }

    /// Whether it is known that no more comes.
    fn has_ended(&self) -> bool {
        matches!(self, Self::Inflate(Inflate { has_ended: true, .. }))
    }

    /// The next piece; of no length at the end.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Inflate(inflate) => inflate.read(piece),
            Self::Other(reader) => reader.read(piece),
        }
    }
}

/// The most members of a gzip body: one that decodes to nothing costs a decoder all the same.
const MAX_MEMBERS: usize = 1000;

/// What is around deflated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapping {
    None,
    Zlib,
    Gzip,
}

/// Inflates a body. (The library's own readers copy all of it once more, and take raw data that are cut off for whole.)
struct Inflate {
    zlib: Decompress,
    wrapping: Wrapping,
    body: Bytes,
    /// How many members of gzip were begun.
    members: usize,
    has_ended: bool,
}

impl Inflate {
    fn new(body: Bytes, wrapping: Wrapping) -> Self {
        Self { zlib: wrapping.decompress(), wrapping, body, members: 1, has_ended: false }
    }

    /// See [`Decoder::begin`].
    fn begin(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        // Most bodies of events become less than five times as large.
        let length = self.body.len().saturating_mul(5).min(limit + 1).min(PIECE * PIECES_PER_TURN);
        let mut decoded = Vec::with_capacity(length);
        while !self.has_ended && decoded.len() < decoded.capacity() {
            self.step(|zlib, body| zlib.decompress_vec(body, &mut decoded, FlushDecompress::Finish))?;
        }
        Ok(decoded)
    }

    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while !self.has_ended && length == 0 {
            length = self.step(|zlib, body| zlib.decompress(body, piece, FlushDecompress::None))?;
        }
        Ok(length)
    }

    /// Does something with what is left of the body; how many bytes that gave. It gives none only if the body goes on.
    fn step(
        &mut self,
        decompress: impl FnOnce(&mut Decompress, &[u8]) -> Result<Inflated, DecompressError>,
    ) -> io::Result<usize> {
        let (read, written) = (self.zlib.total_in(), self.zlib.total_out());
        let inflated = decompress(&mut self.zlib, &self.body)?;
        let consumed = usize::try_from(self.zlib.total_in() - read).map_err(io::Error::other)?;
        let length = usize::try_from(self.zlib.total_out() - written).map_err(io::Error::other)?;
        self.body.advance(consumed);
        if inflated == Inflated::StreamEnd {
            // A body of gzip is one member or several.
            if self.wrapping == Wrapping::Gzip && !self.body.is_empty() {
                self.members += 1;
                if self.members > MAX_MEMBERS {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "too many members"));
                }
                self.zlib = self.wrapping.decompress();
            } else {
                self.has_ended = true;
            }
        } else if consumed == 0 && length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(length)
    }
}

impl Wrapping {
    fn decompress(self) -> Decompress {
        match self {
            Self::None => Decompress::new(false),
            Self::Zlib => Decompress::new(true),
            Self::Gzip => Decompress::new_gzip(WINDOW_BITS),
        }
    }
}

#[cfg(test)]
mod tests;
