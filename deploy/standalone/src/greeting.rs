//! What is printed once everything is ready: where it is, a first session to copy, and a line for programs that wait
//! for it.

use std::fmt::Write as _;

use mesher_common::handle::Handle;

/// The first session, as a script for `sh` with `curl`. README.md shows the same one.
pub(crate) const FIRST_SESSION: &str = include_str!("../first_session.sh");

/// The address that the script has, which is replaced by the one in use.
const SCRIPT_ADDRESS: &str = "http://127.0.0.1:8080";

/// The addresses, the first session, and `mesher ready SERVICE=ADDRESS …`. `scheme` is that of the gateway's URL.
pub(crate) fn text(handle: &Handle, scheme: &str) -> String {
    let mut text = String::new();
    for service in handle.children() {
        // Writing to a String cannot fail.
        let _ = match (service.address("http"), service.address("grpc"), service.address("admin")) {
            (Some(http), _, Some(admin)) => {
                writeln!(text, "mesher: {:<8} {scheme}://{http:<21} admin http://{admin}", service.name())
            }
            (_, Some(grpc), Some(admin)) => {
                writeln!(text, "mesher: {:<8} grpc://{grpc:<21} admin http://{admin}", service.name())
            }
            _ => Ok(()),
        };
    }
    let gateway = handle.children().iter().find_map(|service| service.address("http"));
    let gateway =
        gateway.map_or_else(|| SCRIPT_ADDRESS.to_owned(), |address| format!("{scheme}://{address}"));
    let session = FIRST_SESSION.replace(SCRIPT_ADDRESS, &gateway);
    let _ = write!(text, "\nA first session, to paste into a shell:\n\n{session}\nmesher ready");
    for service in handle.children() {
        if let Some(address) = service.address("http").or_else(|| service.address("grpc")) {
            let _ = write!(text, " {}={address}", service.name());
        }
    }
    text
}
