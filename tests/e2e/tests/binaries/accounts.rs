//! The account of a project's events that a writer gives.

use mesher_proto::mesher::writer::v1::{
    DropReason, FlushRequest, GetWriterStatsRequest, WriterStats, writer_service_client::WriterServiceClient,
};
use mesher_testing::{assert_adds_up, dropped, eventually};
use tonic::{Request, Status, transport::Channel};

use crate::running::PATIENCE;

/// A member of a project, who asks one writer about it.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(crate) client: WriterServiceClient<Channel>,
    pub(crate) token: String,
}

impl Accounts {
    /// A project's account, if the writer and the database answer. It adds up, and nothing was dropped that was not there
    /// already.
    pub(crate) async fn of(&self, project: &str) -> Result<WriterStats, Status> {
        let request = self.signed(GetWriterStatsRequest { project_id: project.to_owned() });
        let stats = self.client.clone().get_writer_stats(request).await?.into_inner().stats.unwrap();
        assert_adds_up(&stats);
        let others = stats.drops.iter().filter(|drop| drop.reason() != DropReason::Duplicate);
        assert_eq!(others.map(|drop| drop.count).sum::<i64>(), 0, "{stats:?}");
        Ok(stats)
    }

    /// The same, when it answers.
    pub(crate) async fn answered(&self, project: &str) -> WriterStats {
        eventually("the writer gave its account", PATIENCE, async || self.of(project).await).await
    }

    /// Waits until everything is settled that was accepted before.
    pub(crate) async fn flushed(&self, project: &str) {
        eventually("the writer flushed", PATIENCE, async || self.flush(project).await).await;
    }

    /// The account, when nothing is buffered any more.
    pub(crate) async fn settled(&self, project: &str) -> WriterStats {
        eventually("everything was settled", PATIENCE, async || {
            self.flush(project).await?;
            let stats = self.of(project).await?;
            if stats.buffered_count == 0 { Ok(stats) } else { Err(Status::unavailable(format!("{stats:?}"))) }
        })
        .await
    }

    /// Asks for a flush once.
    pub(crate) async fn flush(&self, project: &str) -> Result<(), Status> {
        let request = self.signed(FlushRequest { project_id: project.to_owned() });
        self.client.clone().flush(request).await.map(drop)
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }
}

/// How many events were dropped because they were there already.
pub(crate) fn duplicates(stats: &WriterStats) -> i64 {
    dropped(stats, DropReason::Duplicate)
}
