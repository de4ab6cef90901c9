//! The payload of an event as it is stored: JSON, compressed with zstd and a dictionary.
//!
//! Each event is compressed alone, and is too small for its own repetitions to make it much smaller. But events have a great
//! deal in common: the keys of Sentry's SDKs and their order, what those say of themselves, the frames of well-known
//! libraries. The dictionary holds that. It was trained with events of unmodified SDKs (`tests/dictionary`).
//!
//! A payload names its dictionary. One that anything was ever stored with stays as it is, for it is needed to read that again; a
//! better one would come beside it, with a number of its own.

use std::{cell::RefCell, io, num::NonZeroU32, sync::LazyLock};

use zstd::{
    bulk::{Compressor, Decompressor},
    dict::DecoderDictionary,
    zstd_safe::{compress_bound, get_dict_id_from_frame},
};

/// What events have in common. Those who look at stored payloads by other means need it too: `zstd -D`.
const DICTIONARY: &[u8] = include_bytes!("payload/1.dict");
/// Its number, which a payload names: the first, in what zstd leaves to everybody's own use. That it is not zero is found out
/// when this is compiled.
const DICTIONARY_ID: NonZeroU32 = NonZeroU32::new(0x4d53_4831).unwrap();

/// The most bytes in an event's JSON.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The deepest that an event's JSON may be nested: beyond it parsers refuse to follow.
pub const MAX_EVENT_DEPTH: usize = 100;

/// Among zstd's levels, 1 costs the least time; on events of some kilobytes level 3 saves under 5 % more.
const LEVEL: i32 = 1;

/// A compressor and its output: making and clearing them takes longer than compressing an event.
struct Workspace {
    compressor: Compressor<'static>,
    buffer: Vec<u8>,
}

impl Workspace {
    fn new() -> io::Result<Self> {
        Ok(Self { compressor: Compressor::with_dictionary(LEVEL, DICTIONARY)?, buffer: Vec::new() })
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
    static DECODER: LazyLock<DecoderDictionary<'static>> =
        LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));
    match get_dict_id_from_frame(payload) {
        None => zstd::bulk::decompress(payload, MAX_EVENT_BYTES),
        Some(DICTIONARY_ID) => {
            Decompressor::with_prepared_dictionary(&DECODER)?.decompress(payload, MAX_EVENT_BYTES)
        }
        Some(id) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("it is compressed with dictionary {id}, which this version of Mesher does not have"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};
    use zstd::zstd_safe::get_dict_id_from_dict;

    use super::*;

    const JSON: &[u8] = br#"{"exception":{"values":[{"type":"ValueError","value":"boom"}]}}"#;

    #[test]
    fn payloads_come_back_and_bombs_do_not() {
        assert_eq!(decompress(&compress(JSON).unwrap()).unwrap(), JSON);
        let bomb = compress(&vec![0; MAX_EVENT_BYTES + 1]).unwrap();
        assert!(decompress(&bomb).is_err());
    }

    #[test]
    fn a_dictionary_never_changes() {
        // Whatever is stored could not be read any more.
        assert_eq!(get_dict_id_from_dict(DICTIONARY), Some(DICTIONARY_ID));
        assert_eq!(
            hex::encode(Sha256::digest(DICTIONARY)),
            "9236f9b95ad7d722990e26b1eef801b3dba5eeecab2238c6bfd10e948ea7955c"
        );
    }

    #[test]
    fn a_payload_without_a_dictionary_is_read_and_one_with_another_is_refused() {
        let plain = zstd::bulk::compress(JSON, LEVEL).unwrap();
        assert_eq!(decompress(&plain).unwrap(), JSON);

        let mut other = DICTIONARY.to_vec();
        other[4..8].copy_from_slice(&7_u32.to_le_bytes());
        let other = Compressor::with_dictionary(LEVEL, &other).unwrap().compress(JSON).unwrap();
        let error = decompress(&other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("dictionary 7"), "{error}");
    }
}
