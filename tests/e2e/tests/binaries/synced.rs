//! What is acknowledged is on the disk: the writer's calls of the system, as strace sees them. It is as near as a test comes
//! to a crash of the machine.

use std::{fs, process::Command};

use mesher_proto::mesher::writer::v1::writer_service_client::WriterServiceClient;
use mesher_testing::{Process, ScratchDir, skipped, tool};
use tonic::transport::{Channel, Endpoint};

use crate::{
    accounts::Accounts,
    load::{
        sender::Event,
        way::{Kind, Way},
    },
    running::Running,
};

/// How often each way is tried.
const TRIES: u128 = 5;

/// A writer that is traced.
struct Traced {
    client: WriterServiceClient<Channel>,
    scratch: ScratchDir,
    _process: Process,
}

impl Traced {
    /// Starts a writer on the database of `running`, with these options of strace; none where strace is missing, or may
    /// not trace.
    async fn start(running: &Running, options: &[&str]) -> Option<Self> {
        let strace = tool("strace", "that what is acknowledged is synced")?.display().to_string();
        if !may_trace(&strace) {
            skipped("this user cannot trace processes: that what is acknowledged is synced is not tested");
            return None;
        }
        let scratch = ScratchDir::new();
        let [trace, log] = ["trace", "log"].map(|name| scratch.join(name).display().to_string());
        // As a grandchild (-D): the process that was started is the writer, and strace ends with it.
        let tracer =
            [&[strace.as_str(), "-D", "-f", "-qq", "-e", "signal=none", "-o", &trace], options].concat();
        let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        // Nothing but what is sent has anything written, and all of it is one log.
        let flags =
            ["--flush-interval", "1h", "--flush-events", "1000000", "--shards", "1", "--log-dir", &log];
        let arguments = [&listen[..], &flags, &["--database-url", running.database.url()]].concat();
        let mut process = Process::start_under(&tracer, "mesher-writer", &arguments, &[]);
        let address = process.ready().await["grpc"];
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Some(Self { client: WriterServiceClient::new(channel), scratch, _process: process })
    }

    /// How many calls succeeded. strace writes each down before the writer goes on.
    fn succeeded(&self, call: &str) -> usize {
        let trace = self.trace();
        trace.lines().filter(|line| line.contains(call) && line.trim_end().ends_with("= 0")).count()
    }

    fn trace(&self) -> String {
        fs::read_to_string(self.scratch.join("trace")).unwrap()
    }

    fn ways(&self, project: &str, key: &str) -> [Way; 3] {
        let client = || self.client.clone();
        let kinds = [Kind::Store(client()), Kind::StoreBatch(client()), Kind::StoreStream(client())];
        kinds.map(|kind| Way { project: project.to_owned(), key: key.to_owned(), kind, parcel: 1 })
    }
}

fn may_trace(strace: &str) -> bool {
    let tried = Command::new(strace).args(["-f", "-o", "/dev/null", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn whatever_is_acknowledged_was_synced_before() {
    let running = Running::start().await;
    let Some(writer) = Traced::start(&running, &["-e", "trace=fdatasync,fsync"]).await else { return };
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    let names = writer.succeeded("fsync");
    for way in writer.ways(&project, &key) {
        for number in 1..=TRIES {
            let before = writer.succeeded("fdatasync");
            let answers = way.send(&[Event::with_id(number)]).await;
            let after = writer.succeeded("fdatasync");
            assert!(answers.ids.len() == 1 && after > before, "{answers:?} after {} syncs", after - before);
            // The first event is the first of a file, whose name is to be safe as well.
            assert!(writer.succeeded("fsync") > names);
        }
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_that_could_not_be_synced() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    let Some(writer) = Traced::start(&running, &["-e", "inject=fdatasync:error=EIO"]).await else { return };
    for way in writer.ways(&project, &key) {
        for number in 1..=TRIES {
            let answers = way.send(&[Event::with_id(number)]).await;
            assert!(answers.ids.is_empty() && answers.surprise.is_none(), "{answers:?}");
        }
    }
    let accounts = Accounts { client: writer.client.clone(), token };
    let stats = accounts.answered(&project).await;
    let tried = i64::try_from(3 * TRIES).unwrap();
    assert_eq!((stats.accepted_count, stats.refused_count), (0, tried), "{stats:?}");
    assert!(writer.trace().contains("INJECTED"), "strace failed no call: {}", writer.trace());
}
