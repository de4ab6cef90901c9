//! The writer.

fn main() -> std::process::ExitCode {
    mesher_common::bootstrap::run::<mesher_writer::Config>("mesher-writer", mesher_writer::spawn)
}
