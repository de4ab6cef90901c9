//! A writer's process, that can be killed and started again where it was.

use std::process::ExitStatus;

use mesher_proto::mesher::writer::v1::writer_service_client::WriterServiceClient;
use mesher_testing::{Process, ScratchDir, eventually};
use tonic::transport::{Channel, Endpoint};

use crate::running::PATIENCE;

const NAME: &str = "mesher-writer";

/// How often a start is tried at an address that somebody else has for a moment.
const STARTS: usize = 20;

/// A writer with a log of its own, at the same addresses after every start.
pub(crate) struct Writer {
    pub(crate) process: Process,
    flags: Vec<String>,
    grpc: String,
    admin: String,
    /// Its log is in there.
    _scratch: ScratchDir,
}

impl Writer {
    /// Starts one on the database at `url`, with these flags.
    pub(crate) async fn start(url: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let scratch = ScratchDir::new();
        let log_dir = scratch.join("log").display().to_string();
        let given = [&["--database-url", url, "--log-dir", &log_dir], flags].concat();
        let free = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let mut process = Process::start(NAME, &[&free[..], &given].concat(), variables);
        let addresses = process.ready().await;
        let [grpc, admin] = ["grpc", "admin"].map(|kind| addresses[kind].to_string());
        let flags = [&["--listen", &grpc, "--admin-listen", &admin], &given[..]].concat();
        let flags = flags.into_iter().map(str::to_owned).collect();
        Self { process, flags, grpc, admin, _scratch: scratch }
    }

    /// Where it serves `grpc` or `admin`.
    pub(crate) fn address(&self, kind: &str) -> &str {
        if kind == "grpc" { &self.grpc } else { &self.admin }
    }

    /// A client of this writer and no other, which connects again when the writer is back.
    pub(crate) fn client(&self) -> WriterServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        WriterServiceClient::new(endpoint.connect_lazy())
    }

    /// Kills it, as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.process.kill();
        self.process.wait(PATIENCE).await;
        self.expect_calm();
    }

    /// Asks it to end, and says how it did.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate();
        let status = self.process.wait(PATIENCE).await;
        self.expect_calm();
        status
    }

    /// Starts it where it was, and does not wait until it serves.
    pub(crate) fn start_again(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        self.process = Process::start(NAME, &flags, &[]);
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self) {
        for _ in 0..STARTS {
            let process = &mut self.process;
            eventually("the writer was ready, or ended", PATIENCE, async || {
                process.ended().is_some() || process.output().contains("mesher-writer ready")
            })
            .await;
            if process.ended().is_none() {
                return;
            }
            process.wait(PATIENCE).await;
            // While nobody listened there, the system gave the port to a connection that somebody made.
            let output = process.output();
            assert!(output.contains("Address already in use"), "{output}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            self.start_again();
        }
        panic!("the writer's port was never free");
    }

    /// Whatever is done to it, it neither panics nor finds its log damaged.
    fn expect_calm(&self) {
        let output = self.process.output();
        let told = output.lines().find(|line| line.contains("panicked") || line.contains("damaged"));
        assert!(told.is_none(), "{output}");
    }
}
