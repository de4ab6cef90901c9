//! The payload of an event as it is stored: JSON, compressed with zstd.

use std::{cell::RefCell, io};

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, compress_bound},
};

/// The most bytes in an event's JSON.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The deepest that an event's JSON may be nested: beyond it parsers refuse to follow.
pub const MAX_EVENT_DEPTH: usize = 100;

/// Among zstd's levels, 1 costs the least time; on events of some kilobytes level 3 saves under 5 % more.
const LEVEL: i32 = 1;
/// The shortest repetition that is looked for, in bytes. In JSON they are long: instead of level 1's own 5 it takes a twentieth
/// off the time, for 1 % more bytes.
const MIN_MATCH: u32 = 6;

/// A compressor and its output: making and clearing them takes longer than compressing an event.
struct Workspace {
    compressor: Compressor<'static>,
    buffer: Vec<u8>,
}

impl Workspace {
    fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::MinMatch(MIN_MATCH))?;
        Ok(Self { compressor, buffer: Vec::new() })
    }
}

thread_local! {
    static WORKSPACE: RefCell<Option<Workspace>> = const { RefCell::new(None) };
}

/// Compresses an event's JSON.
pub fn compress(json: &[u8]) -> io::Result<Vec<u8>> {
    compress_for(json, <[u8]>::to_vec)
}

/// Compresses an event's JSON, for `take` to put where it belongs; it cannot compress another one meanwhile.
pub fn compress_for<T>(json: &[u8], take: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    WORKSPACE.with_borrow_mut(|workspace| {
        let Workspace { compressor, buffer } = match workspace {
            Some(workspace) => workspace,
            None => workspace.insert(Workspace::new()?),
        };
        buffer.clear();
        buffer.reserve(compress_bound(json.len()));
        compressor.compress_to_buffer(json, buffer)?;
        Ok(take(buffer))
    })
}

/// Gives back what [`compress`] was given. Never more than [`MAX_EVENT_BYTES`], whatever it is given.
pub fn decompress(payload: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::decompress(payload, MAX_EVENT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_back_and_bombs_do_not() {
        let json = br#"{"message":"boom"}"#;
        assert_eq!(decompress(&compress(json).unwrap()).unwrap(), json);
        let bomb = compress(&vec![0; MAX_EVENT_BYTES + 1]).unwrap();
        assert!(decompress(&bomb).is_err());
    }
}
