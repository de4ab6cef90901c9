//! Reading certificates, keys and authorities from files.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The most bytes of a file: the authorities of a whole system have a quarter of that.
const MAX_BYTES: u64 = 1 << 20;

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} has more than {MAX_BYTES} bytes, which no file of certificates has", path.display())]
    Large {
        /// Which.
        path: PathBuf,
    },
    /// A file has no PEM of the kind that is needed, or it is broken.
    #[error("{} has no {what} in PEM that could be used: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A certificate and a key do not belong together.
    #[error("the key in {} is not that of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The system has no authorities.
    #[error("this machine names no authorities to trust: name a file of them")]
    NoAuthorities,
    /// The cryptography has nothing for the versions of TLS that are spoken: a bug.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// Which files belong together.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) pair: Option<Pair>,
    pub(super) authorities: Option<PathBuf>,
}

/// What is in them.
pub(super) struct Contents {
    pub(super) cert: Zeroizing<Vec<u8>>,
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) authorities: Zeroizing<Vec<u8>>,
}

impl Files {
    /// Reads all of them.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: Option<&PathBuf>| path.map_or_else(|| Ok(Zeroizing::default()), |path| read(path));
        Ok(Contents {
            cert: read(self.pair.as_ref().map(|pair| &pair.cert))?,
            key: read(self.pair.as_ref().map(|pair| &pair.key))?,
            authorities: read(self.authorities.as_ref())?,
        })
    }
}

impl Contents {
    /// What changes when any of them does.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for part in [&self.cert, &self.key, &self.authorities] {
            all.update(Sha256::digest(part));
        }
        all.finalize().into()
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let mut bytes = Zeroizing::default();
    // A pipe would keep whoever opens it waiting.
    let open = || {
        let is_file = path.metadata()?.is_file();
        if is_file { File::open(path) } else { Err(io::Error::other("it is no regular file")) }
    };
    let read = open().and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let length = read.map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    if length as u64 > MAX_BYTES { Err(TlsError::Large { path: path.to_owned() }) } else { Ok(bytes) }
}

/// The certificates in a file's bytes: one at the least.
pub(super) fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(bytes).collect();
    let why = match found {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => "there is no BEGIN CERTIFICATE in it".to_owned(),
        Err(error) => form(&error).to_owned(),
    };
    Err(TlsError::Content { path: path.to_owned(), what: "certificate", why })
}

/// The private key in a file's bytes.
pub(super) fn key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound => "there is no BEGIN PRIVATE KEY in it",
            error => form(&error),
        };
        TlsError::Content { path: path.to_owned(), what: "private key", why: why.to_owned() }
    })
}

/// What is wrong with the form of a file. The error itself quotes lines, of which one may be a key.
fn form(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "the END line of a section is missing, or not a line of its own"
        }
        pem::Error::IllegalSectionStart { .. } => "the BEGIN line of a section is not a line of its own",
        pem::Error::Base64Decode(_) => "what is between a BEGIN and an END line is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        pem::Error::Io(_) | pem::Error::NoItemsFound | _ => "it is not in the form PEM",
    }
}

/// The authorities in a file's bytes.
pub(super) fn authorities(path: &Path, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        store.add(certificate).map_err(|error| TlsError::Content {
            path: path.to_owned(),
            what: "authority's certificate",
            why: error.to_string(),
        })?;
    }
    Ok(store)
}

/// The authorities that this machine trusts.
pub(super) fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of this machine's authorities cannot be read");
    }
    store.add_parsable_certificates(found.certs);
    if store.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(store) }
}
