//! Every file of the corpus still has the property that it was found for.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, panic, path::Path};

fn all_hold(target: &str, property: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        if let Err(reason) = panic::catch_unwind(|| property(&data)) {
            // The reason itself was printed already.
            drop(reason);
            panic!("{} does not hold", path.display());
        }
        count += 1;
    }
    assert!((10..=80).contains(&count), "{} has {count} files", directory.display());
}

#[test]
fn log_reader() {
    all_hold("log_reader", mesher_properties::log_reader);
}

#[test]
fn admission() {
    all_hold("admission", mesher_properties::admission);
}

#[test]
fn grouping() {
    all_hold("grouping", mesher_properties::grouping);
}
