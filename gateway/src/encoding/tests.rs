use std::io::{Read as _, Write as _};

use flate2::{Compression, read::DeflateEncoder, read::GzEncoder, read::ZlibEncoder};
use http::HeaderValue;

use super::*;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    GzEncoder::new(plain, Compression::fast()).read_to_end(&mut encoded).unwrap();
    encoded
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    ZlibEncoder::new(plain, Compression::fast()).read_to_end(&mut encoded).unwrap();
    encoded
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    DeflateEncoder::new(plain, Compression::fast()).read_to_end(&mut encoded).unwrap();
    encoded
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 22);
    encoder.write_all(plain).unwrap();
    encoder.into_inner()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ALL: [(Encoding, Encode); 5] = [
    (Encoding::Gzip, gzip),
    (Encoding::Deflate, zlib),
    (Encoding::Deflate, deflate),
    (Encoding::Brotli, brotli),
    (Encoding::Zstd, zstd),
];

async fn decode(encoding: Encoding, body: Vec<u8>, limit: usize) -> Result<Bytes, DecodeError<()>> {
    encoding.decode(body.into(), limit, |_| Ok(())).await
}

/// Text that compresses, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    (0..).flat_map(|number: u32| number.to_string().into_bytes()).take(length).collect()
}

#[tokio::test]
async fn every_encoding_is_undone_up_to_the_limit_and_not_beyond() {
    for (encoding, encode) in ALL {
        for length in [0, 1, 1000, PIECE, 5 * PIECE + 1] {
            let plain = text(length);
            let mut rooms = 0;
            let make_room = |more| {
                rooms += more;
                Ok::<_, ()>(())
            };
            let decoded = encoding.decode(encode(&plain).into(), length, make_room).await.unwrap();
            assert!(decoded == plain, "{encoding:?} of {length} bytes");
            assert_eq!(rooms, length, "room is made for every byte");
            if length > 0 {
                let beyond = decode(encoding, encode(&plain), length - 1).await;
                assert!(matches!(beyond, Err(DecodeError::TooLarge)), "{encoding:?} of {length} bytes");
            }
        }
    }
}

#[tokio::test]
async fn what_is_cut_off_anywhere_is_damaged() {
    let plain = text(5000);
    for (encoding, encode) in ALL {
        let encoded = encode(&plain);
        for length in (1..encoded.len()).step_by(7).chain([encoded.len() - 1]) {
            match decode(encoding, encoded[..length].to_vec(), 1 << 20).await {
                Err(DecodeError::Damaged(why)) => assert!(why.contains(encoding.name()), "{why}"),
                other => panic!("{encoding:?} of {length} bytes gave {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_of_another_encoding_is_damaged() {
    let json = br#"{"message":"not encoded at all"}"#;
    for (encoding, _) in ALL {
        for body in [json.to_vec(), vec![0xff; 100], vec![b' '; 100]] {
            let decoded = decode(encoding, body.clone(), 1 << 20).await;
            assert!(matches!(decoded, Err(DecodeError::Damaged(_))), "{encoding:?} of {body:?}: {decoded:?}");
        }
    }
}

#[tokio::test]
async fn several_members_are_one_body() {
    for (encoding, encode) in [(Encoding::Gzip, gzip as Encode), (Encoding::Zstd, zstd)] {
        let twice = [encode(b"{\"a\":"), encode(b"1}")].concat();
        assert_eq!(decode(encoding, twice, 100).await.unwrap(), "{\"a\":1}");
    }
}

#[tokio::test]
async fn masses_of_members_are_refused_although_they_are_nothing() {
    for (members, is_fine) in [(MAX_MEMBERS, true), (MAX_MEMBERS + 1, false)] {
        let decoded = decode(Encoding::Gzip, gzip(b"").repeat(members), 100).await;
        assert_eq!(decoded.is_ok(), is_fine, "{members}: {decoded:?}");
    }
}

#[tokio::test]
async fn a_window_beyond_the_limit_is_refused_before_it_is_made() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&text(1000)).unwrap();
    let zstd = encoder.finish().unwrap();
    assert!(matches!(decode(Encoding::Zstd, zstd, 1 << 20).await, Err(DecodeError::Damaged(_))));

    let large = brotli::enc::BrotliEncoderParams { large_window: true, lgwin: 30, ..Default::default() };
    let mut encoder = brotli::CompressorWriter::with_params(Vec::new(), 4096, &large);
    encoder.write_all(&text(1000)).unwrap();
    let brotli = encoder.into_inner();
    assert!(matches!(decode(Encoding::Brotli, brotli, 1 << 20).await, Err(DecodeError::Damaged(_))));
}

#[tokio::test]
async fn without_room_nothing_is_kept() {
    let decoded = Encoding::Gzip.decode(gzip(b"{}").into(), 100, |_| Err("full")).await;
    assert!(matches!(decoded, Err(DecodeError::NoRoom("full"))));
}

#[test]
fn encodings_are_told_by_their_names() {
    let of = |values: &[&'static str]| {
        let values = values.iter().map(|value| (header::CONTENT_ENCODING, HeaderValue::from_static(value)));
        Encoded::of(&values.collect())
    };
    assert_eq!(of(&[]), Encoded::Plain);
    assert_eq!(of(&["", "identity", " Identity "]), Encoded::Plain);
    assert_eq!(of(&["GZip"]), Encoded::As(Encoding::Gzip));
    assert_eq!(of(&["x-gzip"]), Encoded::As(Encoding::Gzip));
    assert_eq!(of(&["identity", "br"]), Encoded::As(Encoding::Brotli));
    for unknown in [&["compress"][..], &["gzip, br"], &["gzip", "gzip"], &["utf-8"]] {
        assert_eq!(of(unknown), Encoded::Unknown, "{unknown:?}");
    }
}
