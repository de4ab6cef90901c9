//! The gateway.

fn main() -> std::process::ExitCode {
    mesher_common::bootstrap::run::<mesher_gateway::Config>("mesher-gateway", mesher_gateway::spawn)
}
