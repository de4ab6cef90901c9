//! The services, each as its own binary would start it.

use std::net::SocketAddr;

use anyhow::Context as _;
use mesher_common::{
    config::{ConfigError, DatabaseArgs},
    handle::Handle,
    public_url::PublicUrl,
    server,
    tls::{HTTP_1_1, HTTP_2, ListenerTlsArgs, Metrics, UpstreamTlsArgs},
};

use mesher_gateway::Addresses;
use mesher_writer::config::WriterArgs;

use crate::{
    config::Config,
    database::{Logins, data_dir},
};

/// Fails if something would be served in plain text where it may not, or with certificates that cannot be used, before
/// anything is started.
pub(crate) fn check_tls(config: &Config) -> Result<(), ConfigError> {
    config.tls.check("--gateway-listen", config.gateway_listen)?;
    config.tls.open(&[HTTP_2, HTTP_1_1], &Metrics::default())?;
    for (flag, address) in [
        ("--org-listen", config.org_listen),
        ("--project-listen", config.project_listen),
        ("--user-listen", config.user_listen),
        ("--writer-listen", config.writer_listen),
        ("--issue-listen", config.issue_listen),
    ] {
        if !config.tls.insecure && !address.ip().to_canonical().is_loopback() {
            let reason = format!(
                "{address} is within reach of other machines, and this service speaks plain text here, which whoever \
                 is on the way reads along: listen on 127.0.0.1:{}, or run mesher's services one by one, each with a \
                 certificate, or, where the network itself is safe, say --insecure (MESHER_INSECURE=true)",
                address.port()
            );
            return Err(ConfigError { flag, reason });
        }
    }
    Ok(())
}

/// Fails if an address is taken, before anything is started. It may still be taken a moment later; then its service says
/// so.
pub(crate) async fn check_ports(config: &Config) -> anyhow::Result<()> {
    for (name, kind, address) in [
        ("gateway", "HTTP", config.gateway_listen),
        ("gateway", "admin", config.gateway_admin_listen),
        ("org", "gRPC", config.org_listen),
        ("org", "admin", config.org_admin_listen),
        ("project", "gRPC", config.project_listen),
        ("project", "admin", config.project_admin_listen),
        ("user", "gRPC", config.user_listen),
        ("user", "admin", config.user_admin_listen),
        ("writer", "gRPC", config.writer_listen),
        ("writer", "admin", config.writer_admin_listen),
        ("issue", "gRPC", config.issue_listen),
        ("issue", "admin", config.issue_admin_listen),
    ] {
        server::bind(name, kind, address).await?;
    }
    Ok(())
}

/// Starts the services and then the gateway; the gateway is the first of what is returned, because it stops first. What
/// was started is stopped again when one of them fails.
pub(crate) async fn spawn(config: &Config, logins: &Logins) -> anyhow::Result<Vec<Handle>> {
    let mut handles = Vec::new();
    match spawn_each(config, logins, &mut handles).await {
        Ok(()) => {
            handles.reverse();
            Ok(handles)
        }
        Err(error) => {
            for handle in handles {
                // The first error is the one to tell.
                let _ = handle.shutdown().await;
            }
            Err(error)
        }
    }
}

async fn spawn_each(config: &Config, logins: &Logins, handles: &mut Vec<Handle>) -> anyhow::Result<()> {
    let database = |role| {
        Ok::<_, anyhow::Error>(DatabaseArgs {
            database_url: logins.of(role)?,
            database_connections: config.database_connections,
            database_wait: config.database_wait,
        })
    };
    let process = &config.process;
    let plain_text = ListenerTlsArgs::plain_text(config.tls.insecure);
    let org = mesher_org::spawn(mesher_org::Config {
        listen: config.org_listen,
        admin_listen: config.org_admin_listen,
        tls: plain_text.clone(),
        peers: config.peers.clone(),
        database: database(mesher_org::DATABASE_ROLE)?,
        process: process.clone(),
    })
    .await?;
    let org_address = address(&org)?;
    handles.push(org);
    let project = mesher_project::spawn(mesher_project::Config {
        listen: config.project_listen,
        admin_listen: config.project_admin_listen,
        tls: plain_text.clone(),
        public_url: config.public_url.clone(),
        gateway_url: gateway_url(config),
        peers: config.peers.clone(),
        database: database(mesher_project::DATABASE_ROLE)?,
        process: process.clone(),
    })
    .await?;
    let project_address = address(&project)?;
    handles.push(project);
    let user = mesher_user::spawn(mesher_user::Config {
        listen: config.user_listen,
        admin_listen: config.user_admin_listen,
        tls: plain_text.clone(),
        users: config.users.clone(),
        peers: config.peers.clone(),
        database: database(mesher_user::DATABASE_ROLE)?,
        process: process.clone(),
    })
    .await?;
    let user_address = address(&user)?;
    handles.push(user);
    let log_dir = match &config.writer.log_dir {
        Some(log_dir) => log_dir.clone(),
        None => data_dir(config)?.join("log"),
    };
    let writer = mesher_writer::spawn(mesher_writer::Config {
        listen: config.writer_listen,
        admin_listen: config.writer_admin_listen,
        tls: plain_text.clone(),
        writer: WriterArgs { log_dir: Some(log_dir), ..config.writer.clone() },
        database: database(mesher_writer::DATABASE_ROLE)?,
        process: process.clone(),
    })
    .await?;
    let writer_address = address(&writer)?;
    handles.push(writer);
    let issue = mesher_issue::spawn(mesher_issue::Config {
        listen: config.issue_listen,
        admin_listen: config.issue_admin_listen,
        tls: plain_text.clone(),
        database: database(mesher_issue::DATABASE_ROLE)?,
        process: process.clone(),
    })
    .await?;
    let issue_address = address(&issue)?;
    handles.push(issue);
    let gateway = mesher_gateway::spawn(mesher_gateway::Config {
        listen: config.gateway_listen,
        admin_listen: config.gateway_admin_listen,
        tls: config.tls.clone(),
        org_address,
        project_address,
        user_address,
        writer_address,
        issue_address,
        upstream_tls: UpstreamTlsArgs::default(),
        limits: config.limits.clone(),
        proxies: config.proxies.clone(),
        process: process.clone(),
    })
    .await?;
    handles.push(gateway);
    Ok(())
}

/// Where the gateway finds a service: at its own address, or on the loopback interface if it listens on all.
fn address(service: &Handle) -> anyhow::Result<Addresses> {
    let mut address: SocketAddr = service.address("grpc").context("a service has no gRPC address")?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}").parse()?)
}

/// Where the gateway will be: nothing where it takes any free port, or listens on more addresses than one.
fn gateway_url(config: &Config) -> Option<PublicUrl> {
    let address = config.gateway_listen;
    if address.port() == 0 || address.ip().is_unspecified() {
        return None;
    }
    format!("{}://{address}", config.gateway_scheme()).parse().ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Config, gateway_url};

    #[test]
    fn the_gateways_url_is_known_where_it_listens_on_one_address() {
        for (flags, url) in [
            (&[][..], Some("http://127.0.0.1:8080")),
            (&["--gateway-listen", "[::1]:81"], Some("http://[::1]:81")),
            (
                &["--gateway-listen", "10.1.2.3:443", "--tls-cert", "c", "--tls-key", "k"],
                Some("https://10.1.2.3:443"),
            ),
            (&["--gateway-listen", "127.0.0.1:0"], None),
            (&["--gateway-listen", "0.0.0.0:8080"], None),
        ] {
            let config = Config::try_parse_from([&["mesher"], flags].concat()).unwrap();
            assert_eq!(gateway_url(&config).map(|url| url.to_string()).as_deref(), url, "{flags:?}");
        }
    }
}
