//! The issue service.

fn main() -> std::process::ExitCode {
    mesher_common::bootstrap::run::<mesher_issue::Config>("mesher-issue", mesher_issue::spawn)
}
