//! What is measured, and where: a PostgreSQL server, writers, and a directory on a disk.

mod binary;
mod projects;
mod server;
mod service;
mod writer;

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use anyhow::Context as _;

use self::{binary::target_dir, writer::Launch};
pub(crate) use self::{
    projects::{Project, Projects},
    server::Server,
    service::Service,
    writer::Writer,
};
use crate::{host::Host, options::Options, report::Report, usage::Cpu};

/// Everything that a figure needs.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) server: Server,
    pub(crate) report: Report,
    dir: PathBuf,
    launch: Launch,
}

impl Bench {
    /// Prepares everything, in a directory that is always the same: what a run leaves that was killed is cleared by the next.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let target = target_dir()?;
        let dir = options.dir.clone().unwrap_or_else(|| target.join("bench"));
        fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let dir = fs::canonicalize(dir)?.join("mesher-bench");
        let data = dir.join("postgres");
        let cache = target.join("tools").join("postgresql");
        if data.exists() {
            Server::stop_leftover(data.clone(), cache.clone()).await?;
            fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        }
        fs::create_dir_all(&dir)?;
        // As root, PostgreSQL runs as someone else, who has to get through.
        fs::set_permissions(&dir, Permissions::from_mode(0o711))?;
        let binaries = binary::directory()?;
        let server = Server::start(data, cache).await?;
        let report = Report::new(Host::of(&dir, server.version())?, &options);
        let launch = Launch {
            binaries,
            database_url: server.url().to_owned(),
            log_dir: dir.join("log"),
            flags: options.writer_flag.clone(),
        };
        Ok(Self { options, server, report, dir, launch })
    }

    /// A directory on the disk that is measured.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    /// The directory of the writer's log.
    pub(crate) fn log_dir(&self) -> &std::path::Path {
        &self.launch.log_dir
    }

    /// Starts a writer with an empty log and an empty table behind it.
    pub(crate) async fn fresh_writer(&self) -> anyhow::Result<Writer> {
        self.server.clear().await?;
        writer::remove_log(&self.launch.log_dir)?;
        Writer::start(&self.launch).await
    }

    /// Starts a writer on the log that another one left.
    pub(crate) async fn next_writer(&self) -> anyhow::Result<Writer> {
        Writer::start(&self.launch).await
    }

    /// The processor time used so far, with that of a writer if there is one.
    pub(crate) fn cpu(&self, writer: Option<&Writer>) -> anyhow::Result<Cpu> {
        Cpu::now(writer.map(Writer::id), None, self.server.id()?)
    }

    /// The same, with that of a gateway and of the service behind it.
    pub(crate) fn cpu_behind(&self, gateway: &Service, service: u32) -> anyhow::Result<Cpu> {
        Cpu::now(Some(service), Some(gateway.id()), self.server.id()?)
    }

    /// Starts the organization service.
    pub(crate) async fn org(&self) -> anyhow::Result<Service> {
        let none = std::iter::empty::<&OsStr>();
        Service::start(&self.launch.binaries, "mesher-org", none, Some(&self.launch.database_url)).await
    }

    /// Starts a gateway before the service of that name at an address. Nobody calls the others.
    pub(crate) async fn gateway(&self, service: &str, address: SocketAddr) -> anyhow::Result<Service> {
        let flags = [format!("--{service}-address"), format!("http://{address}")];
        Service::start(&self.launch.binaries, "mesher-gateway", flags.iter().map(OsStr::new), None).await
    }

    /// So many projects, each with a key.
    pub(crate) async fn projects(&self, count: usize) -> anyhow::Result<Projects> {
        Projects::create(&mut self.server.connect().await?, count).await
    }

    /// Stops PostgreSQL and removes the directory.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.server.stop().await?;
        fs::remove_dir_all(&self.dir).with_context(|| format!("{} cannot be removed", self.dir.display()))
    }
}
