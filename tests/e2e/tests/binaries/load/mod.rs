//! Applications that send events without end, by every way there is, and hold the writer to its acknowledgements.

pub(crate) mod ledger;
pub(crate) mod sender;
pub(crate) mod way;

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::{ledger::Ledger, sender::Sender, way::Way};

/// Senders at work.
pub(crate) struct Load {
    pub(crate) ledger: Arc<Ledger>,
    stop: CancellationToken,
    senders: JoinSet<()>,
}

impl Load {
    /// Has each of the `ways` used by a sender of its own, with ids and numbers drawn from `seed`.
    pub(crate) fn start(ways: Vec<Way>, seed: u64) -> Self {
        let (ledger, stop) = (Arc::new(Ledger::default()), CancellationToken::new());
        let mut draw = StdRng::seed_from_u64(seed);
        let mut senders = JoinSet::new();
        for (number, way) in ways.into_iter().enumerate() {
            let random = StdRng::seed_from_u64(draw.random());
            let sender = Sender::new(number, way, Arc::clone(&ledger), random);
            senders.spawn(sender.run(stop.clone()));
        }
        Self { ledger, stop, senders }
    }

    /// Waits until so many more events were acknowledged.
    pub(crate) async fn progress(&self, events: usize) {
        let enough = self.ledger.acknowledged() + events;
        self.ledger.reaches(enough).await;
    }

    /// Ends the senders once each has what it asked last, or was refused it; a failure of one is the test's.
    pub(crate) async fn stop(mut self) -> Arc<Ledger> {
        self.stop.cancel();
        while let Some(ended) = self.senders.join_next().await {
            ended.unwrap();
        }
        self.ledger.expect_no_surprise();
        self.ledger
    }
}
