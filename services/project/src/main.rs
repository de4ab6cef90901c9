//! The project service.

fn main() -> std::process::ExitCode {
    mesher_common::bootstrap::run::<mesher_project::Config>("mesher-project", mesher_project::spawn)
}
