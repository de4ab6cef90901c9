//! All of Mesher in one process.

fn main() -> std::process::ExitCode {
    mesher::main()
}
