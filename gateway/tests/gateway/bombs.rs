//! Bodies that are small until they are decoded.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::support::{binary, client};

const MIB: usize = 1 << 20;

/// A gibibyte: members of a mebibyte each, which the format strings together.
fn members(encode: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    encode(&vec![b' '; MIB]).repeat(1024)
}

/// A mebibyte in a block that ends at a byte and refers to nothing before it, so that it can be repeated.
fn block() -> Vec<u8> {
    let mut encoder = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut block = Vec::with_capacity(MIB);
    encoder.compress_vec(&vec![b' '; MIB], &mut block, flate2::FlushCompress::Full).unwrap();
    block
}

/// A gibibyte in one stream.
fn deflated() -> Vec<u8> {
    block().repeat(1024)
}

/// As many mebibytes as `/store/` takes of what has no header for its encoding: over fifty.
fn wrapped() -> String {
    let block = block();
    let count = 750_000 / block.len();
    assert!(count > 50, "{count}");
    BASE64_STANDARD.encode([&[0x78, 0x01], block.repeat(count).as_slice()].concat())
}

/// 64 MiB: brotli has nothing to repeat.
fn brotli() -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 24);
    for _ in 0..64 {
        encoder.write_all(&vec![b' '; MIB]).unwrap();
    }
    encoder.into_inner()
}

#[tokio::test]
async fn a_bomb_costs_no_more_memory_than_the_limit() {
    let mut gateway = binary(&["--max-envelope", "16777216"]);
    let address = gateway.ready().await["http"];
    let before = gateway.peak_memory();
    let zstd = members(|plain| zstd::encode_all(plain, 1).unwrap());
    for (encoding, bomb) in [
        ("gzip", members(crate::compressed::gzip)),
        ("deflate", deflated()),
        ("br", brotli()),
        ("zstd", zstd),
    ] {
        let url = format!("http://{address}/api/1/envelope/?sentry_key=k");
        let request = client().post(url).header("content-encoding", encoding).body(bomb);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 413, "{encoding}");
        assert!(answer.headers()["x-sentry-error"].to_str().unwrap().contains("larger than"), "{answer:?}");
    }
    let url = format!("http://{address}/api/1/store/?sentry_key=k");
    assert_eq!(client().post(url).body(wrapped()).send().await.unwrap().status(), 413);
    // What it is fed, what it makes of it, the window of a decoder; and nothing like the gibibyte.
    let more = gateway.peak_memory() - before;
    assert!(more < 80, "{more} MiB more than before");
}
