//! The organization service.

fn main() -> std::process::ExitCode {
    mesher_common::bootstrap::run::<mesher_org::Config>("mesher-org", mesher_org::spawn)
}
