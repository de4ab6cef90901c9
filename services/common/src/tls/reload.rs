//! Reading certificates, keys and authorities again when they change.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    files::{Contents, Files, TlsError},
    metrics::Metrics,
    settings::Role,
};
use crate::config::ConfigError;

/// How often the files are looked at. They are read rather than watched: what a Secret of Kubernetes mounts is changed by
/// links that are turned to other directories, of which a watch on a file hears nothing.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

type Apply = Box<dyn Fn(&Contents) -> Result<(), TlsError> + Send>;

/// What reads files again; see [`Reloader::keep`].
pub struct Reloader {
    role: Role,
    files: Files,
    apply: Apply,
    /// The state of the files that was last looked at, as far as they could be read.
    seen: Result<[u8; 32], String>,
    metrics: Metrics,
}

impl Reloader {
    /// Reads `files`, of which `make` makes what is used, or says by which flag a file was named that cannot be used. What is
    /// used from then on is in what is given back.
    pub(super) fn open<T: Send + Sync + 'static>(
        role: Role,
        files: Files,
        make: impl Fn(&Contents) -> Result<T, TlsError> + Send + 'static,
        metrics: &Metrics,
    ) -> Result<(watch::Receiver<Arc<T>>, Self), ConfigError> {
        let refuse =
            |error: TlsError| ConfigError { flag: role.flag_of(&error, &files), reason: error.to_string() };
        let contents = files.read().map_err(refuse)?;
        let (sender, receiver) = watch::channel(Arc::new(make(&contents).map_err(refuse)?));
        let seen = Ok(contents.digest());
        let apply: Apply = Box::new(move |contents| {
            sender.send_replace(Arc::new(make(contents)?));
            Ok(())
        });
        Ok((receiver, Self { role, files, apply, seen, metrics: metrics.clone() }))
    }

    /// Looks at the files until `stop` is cancelled. What cannot be used is logged and counted, once for each change, and what
    /// was used before goes on being used.
    pub async fn keep(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
            self = spawn_blocking(move || {
                self.look();
                self
            })
            .await
            .context("certificates could not be read again")?;
        }
        Ok(())
    }

    /// Reads the files, and uses what is in them if that is new.
    pub(super) fn look(&mut self) {
        let read = self.files.read();
        let state = match &read {
            Ok(contents) => Ok(contents.digest()),
            Err(error) => Err(error.to_string()),
        };
        if state == self.seen {
            return;
        }
        self.seen = state;
        let used = read.and_then(|contents| (self.apply)(&contents));
        self.metrics.reload(self.role.name(), used.is_ok());
        match used {
            Ok(()) => tracing::info!(of = self.role.name(), "new certificates are used for new connections"),
            Err(error) => {
                tracing::error!(of = self.role.name(), %error, "new certificates cannot be used: the old ones go on");
            }
        }
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reloader").field("files", &self.files).finish_non_exhaustive()
    }
}
