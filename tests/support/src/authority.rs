//! Certificates for the tests of TLS.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};

use crate::{ScratchDir, http_client};

/// An authority that vouches for what it issues, and the directory of all that it made: its own certificate is in `ca.pem`.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: ScratchDir,
}

impl Authority {
    /// A new one, which goes by `name`.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(params, key));
        let issuer = issuer.unwrap_or_else(|error| panic!("no authority: {error}"));
        let authority = Self { issuer, dir: ScratchDir::new() };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    /// Writes a certificate for `host`, a name or an IP address, into NAME.crt, and its key into NAME.key; whatever was there
    /// goes. It is good from the year 2000 to the beginning of `until`.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn issue(&self, name: &str, host: &str, until: i32) {
        let issued = CertificateParams::new([host.to_owned()]).and_then(|mut params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &self.issuer)?, key))
        });
        let (certificate, key) = issued.unwrap_or_else(|error| panic!("no certificate for {host}: {error}"));
        self.write(&format!("{name}.crt"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// Begins to make a client that trusts nobody else, and tells whom it found.
    ///
    /// # Panics
    /// If its certificate cannot be read.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let certificate = reqwest::Certificate::from_pem(self.issuer.pem().as_bytes());
        let certificate = certificate.unwrap_or_else(|error| panic!("no certificate: {error}"));
        http_client().tls_certs_only([certificate]).tls_info(true)
    }

    /// Where it writes a file of that name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory of its files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
}
