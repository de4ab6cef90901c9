//! The user service.

fn main() -> std::process::ExitCode {
    mesher_common::bootstrap::run::<mesher_user::Config>("mesher-user", mesher_user::spawn)
}
