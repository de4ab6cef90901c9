//! Mesher's services on a database of their own, for tests: started by their own `spawn`, each on free ports, and called
//! over gRPC by the generated clients.
//!
//! These helpers panic where a test could do nothing but fail.

#![expect(clippy::missing_panics_doc, reason = "a test is what calls them, and a panic is how it fails")]

mod events;
mod people;
mod status;

use std::net::SocketAddr;

use clap::Parser;
use mesher_common::handle::Handle;
use mesher_proto::mesher::{
    issue::v1::issue_service_client::IssueServiceClient, org::v1::org_service_client::OrgServiceClient,
    project::v1::project_service_client::ProjectServiceClient,
    user::v1::user_service_client::UserServiceClient, writer::v1::writer_service_client::WriterServiceClient,
};
use mesher_testing::{ScratchDir, TestDatabase};
use tonic::transport::{Channel, Endpoint};

pub use self::{
    events::{flush, json, store},
    people::{Key, Org, Project, User, signed, with_key},
    status::{error_info, reason, violated_field},
};

/// The writer's flag for where its log is.
const LOG_DIR: &str = "--log-dir";

const FLUSH_INTERVAL: &str = "--flush-interval";

/// The five services, running.
#[derive(Debug)]
pub struct Suite {
    /// Their database.
    pub database: TestDatabase,
    org: Handle,
    project: Handle,
    user: Handle,
    writer: Handle,
    issue: Handle,
    /// The writer's log is in there.
    _scratch: ScratchDir,
}

impl Suite {
    /// Starts the services with their default settings, but for the writer's flushes: see [`Suite::start_with`].
    pub async fn start() -> Self {
        Self::start_with(&[], &[]).await
    }

    /// Starts the services, the user service and the writer with these flags besides. No event is flushed for its age
    /// unless they say when: a test that looks at what is buffered must not have to be faster than a timer.
    pub async fn start_with(user: &[&str], writer: &[&str]) -> Self {
        let database = TestDatabase::new().await;
        let scratch = ScratchDir::new();
        let log_dir = scratch.join("log").display().to_string();
        let mut writer = writer.to_vec();
        if !writer.contains(&LOG_DIR) {
            writer.extend([LOG_DIR, &log_dir]);
        }
        if !writer.contains(&FLUSH_INTERVAL) {
            writer.extend([FLUSH_INTERVAL, "1h"]);
        }
        let url = database.url();
        let (org, project, user, writer, issue) = tokio::join!(
            Box::pin(mesher_org::spawn(config("mesher-org", url, &[]))),
            Box::pin(mesher_project::spawn(config("mesher-project", url, &[]))),
            Box::pin(mesher_user::spawn(config("mesher-user", url, user))),
            Box::pin(mesher_writer::spawn(config("mesher-writer", url, &writer))),
            Box::pin(mesher_issue::spawn(config("mesher-issue", url, &[]))),
        );
        let started =
            |result: Result<Handle, _>| result.unwrap_or_else(|error| panic!("not started: {error:#}"));
        Self {
            database,
            org: started(org),
            project: started(project),
            user: started(user),
            writer: started(writer),
            issue: started(issue),
            _scratch: scratch,
        }
    }

    /// A client of the organization service.
    pub fn orgs(&self) -> OrgServiceClient<Channel> {
        OrgServiceClient::new(channel(&self.org))
    }

    /// A client of the project service.
    pub fn projects(&self) -> ProjectServiceClient<Channel> {
        ProjectServiceClient::new(channel(&self.project))
    }

    /// A client of the user service.
    pub fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(channel(&self.user))
    }

    /// A client of the writer.
    pub fn writer(&self) -> WriterServiceClient<Channel> {
        WriterServiceClient::new(channel(&self.writer))
    }

    /// A client of the issue service.
    pub fn issues(&self) -> IssueServiceClient<Channel> {
        IssueServiceClient::new(channel(&self.issue))
    }

    /// A channel to the service that serves a package such as `mesher.org.v1`.
    pub fn channel_of(&self, package: &str) -> Channel {
        channel(self.serving(package))
    }

    /// Where the service that serves a package such as `mesher.org.v1` listens for gRPC.
    pub fn address_of(&self, package: &str) -> SocketAddr {
        address(self.serving(package), "grpc")
    }

    /// Where the writer serves its health, readiness and metrics over HTTP.
    pub fn writer_admin(&self) -> SocketAddr {
        address(&self.writer, "admin")
    }

    fn serving(&self, package: &str) -> &Handle {
        match package {
            "mesher.org.v1" => &self.org,
            "mesher.project.v1" => &self.project,
            "mesher.user.v1" => &self.user,
            "mesher.writer.v1" => &self.writer,
            "mesher.issue.v1" => &self.issue,
            other => panic!("no service serves {other}"),
        }
    }

    /// Starts the gateway before these services, with its default settings.
    pub async fn gateway(&self) -> Handle {
        let services = ["org", "project", "user", "writer", "issue"].map(|name| {
            let address = self.address_of(&format!("mesher.{name}.v1"));
            [format!("--{name}-address"), format!("http://{address}")]
        });
        let listen = ["mesher-gateway", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let args = listen.into_iter().chain(services.as_flattened().iter().map(String::as_str));
        let config = mesher_gateway::Config::try_parse_from(args).unwrap_or_else(|error| panic!("{error}"));
        mesher_gateway::spawn(config)
            .await
            .unwrap_or_else(|error| panic!("the gateway did not start: {error:#}"))
    }

    /// Stops the writer in order, as SIGTERM does.
    pub async fn stop_writer(self) -> TestDatabase {
        self.writer.shutdown().await.unwrap_or_else(|error| panic!("the writer did not stop: {error:#}"));
        self.database
    }
}

/// The configuration that a binary has by its command line, on free ports.
fn config<C: Parser>(name: &str, url: &str, flags: &[&str]) -> C {
    let args = [name, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--database-url", url];
    C::try_parse_from(args.iter().chain(flags)).unwrap_or_else(|error| panic!("{error}"))
}

fn address(service: &Handle, kind: &str) -> SocketAddr {
    service.address(kind).unwrap_or_else(|| panic!("{} has no {kind} address", service.name()))
}

fn channel(service: &Handle) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", address(service, "grpc")));
    endpoint.unwrap_or_else(|error| panic!("{error}")).connect_lazy()
}
