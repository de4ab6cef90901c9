//! Mesher's API: the code generated from the `.proto` files below `api/`, the descriptors of the same files, and
//! what each RPC's `mesher.access.v1.access` option says about who may call it.
//!
//! The `.proto` files are the reference; nothing about the API is written down a second time.

pub mod access;
pub mod codec;
pub mod shape;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The descriptors of every file of the API and of what it imports, as a serialised `FileDescriptorSet` with
/// comments.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// [`FILE_DESCRIPTOR_SET`], decoded once a process.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        #[expect(
            clippy::expect_used,
            reason = "build.rs decoded the same bytes, or this would not have compiled"
        )]
        DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the descriptor set decodes")
    });
    &POOL
}

macro_rules! generated {
    ($package:literal) => {
        #[expect(
            clippy::pedantic,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            reason = "generated code; the comments of the .proto files are its documentation"
        )]
        mod generated {
            tonic::include_proto!($package);
        }
        pub use generated::*;
    };
}

/// `mesher.*`, laid out as the packages are.
#[rustfmt::skip]
pub mod mesher {
    /// Why calls fail.
    pub mod error { #[doc = "Version 1."] #[expect(clippy::doc_markdown, reason = "generated code")] pub mod v1 { tonic::include_proto!("mesher.error.v1"); } }
    /// Reading events back.
    pub mod issue { #[doc = "Version 1."] pub mod v1 { generated!("mesher.issue.v1"); } }
    /// Organizations.
    pub mod org { #[doc = "Version 1."] pub mod v1 { generated!("mesher.org.v1"); } }
    /// Projects and API keys.
    pub mod project { #[doc = "Version 1."] pub mod v1 { generated!("mesher.project.v1"); } }
    /// Users, sessions and members.
    pub mod user { #[doc = "Version 1."] pub mod v1 { generated!("mesher.user.v1"); } }
    /// Taking events in.
    pub mod writer { /* Where the generated code looks for it. */ use super::error; #[doc = "Version 1."] pub mod v1 { generated!("mesher.writer.v1"); } }
}
