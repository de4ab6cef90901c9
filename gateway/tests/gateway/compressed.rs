//! Bodies as clients encode them.

use std::io::{Read as _, Write as _};

use flate2::{
    Compression,
    read::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

/// Encodes a body.
pub(crate) type Encode = fn(&[u8]) -> Vec<u8>;

/// Every encoding that is understood, by its name in headers.
pub(crate) const ALL: [(&str, Encode); 5] =
    [("gzip", gzip), ("deflate", zlib), ("deflate", deflate), ("br", brotli), ("zstd", zstd)];

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    GzEncoder::new(plain, Compression::fast()).read_to_end(&mut encoded).unwrap();
    encoded
}

pub(crate) fn zlib(plain: &[u8]) -> Vec<u8> {
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
