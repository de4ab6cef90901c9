//! One application: it makes up events, and sends each until it is acknowledged.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use super::{ledger::Ledger, way::Way};

/// How long to wait before what was not acknowledged is sent again.
const PAUSE: Duration = Duration::from_millis(5);

/// What events are about: several matters in each batch, as from any application.
const MATTERS: [&str; 5] = ["timeout", "no such user", "connection refused", "out of stock", "disk full"];

/// An event that is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// What its row is found by. No two events have the same.
    pub(crate) message: String,
    /// Its id, where the sender gives one.
    pub(crate) id: Option<String>,
}

impl Event {
    /// One with a given id.
    pub(crate) fn with_id(id: u128) -> Self {
        let matter = MATTERS[(id % MATTERS.len() as u128) as usize];
        let id = format!("{:032x}", id.max(1));
        Self { message: format!("{matter}: {id}"), id: Some(id) }
    }

    /// One whose id the writer makes.
    pub(crate) fn without_id(message: String) -> Self {
        Self { message, id: None }
    }

    pub(crate) fn json(&self) -> String {
        match &self.id {
            Some(id) => format!(r#"{{"message":"{}","event_id":"{id}"}}"#, self.message),
            None => format!(r#"{{"message":"{}"}}"#, self.message),
        }
    }
}

pub(super) struct Sender {
    number: usize,
    made: usize,
    way: Way,
    ledger: Arc<Ledger>,
    random: StdRng,
}

impl Sender {
    pub(super) fn new(number: usize, way: Way, ledger: Arc<Ledger>, random: StdRng) -> Self {
        Self { number, made: 0, way, ledger, random }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pending = Vec::new();
        while !stop.is_cancelled() {
            while pending.len() < self.way.parcel {
                self.make(&mut pending);
            }
            let answers = self.way.send(&pending).await;
            let sent = pending.len();
            pending = self.ledger.note(&self.way.project, pending, answers);
            let lost = pending.iter_mut().filter(|event| event.id.is_none());
            // It may have been stored all the same: without an id, to send it again is to send another.
            lost.for_each(|event| event.message = message(self.number, &mut self.made));
            if pending.len() == sent {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Makes an event: half of them have an id, some are sent by two senders at once, or by one a second time, and some
    /// are twice in the same request.
    fn make(&mut self, pending: &mut Vec<Event>) {
        let chance = self.random.random_range(0..100);
        let event = match chance {
            0..10 => self.ledger.recent(&self.way.project, &mut self.random),
            10..15 => pending.iter().find(|event| event.id.is_some()).cloned(),
            15..50 => {
                let event = Event::with_id(self.random.random());
                self.ledger.remember(&self.way.project, &event);
                Some(event)
            }
            _ => None,
        };
        let new = || Event::without_id(message(self.number, &mut self.made));
        pending.push(event.unwrap_or_else(new));
    }
}

fn message(sender: usize, made: &mut usize) -> String {
    *made += 1;
    format!("{}: {sender}-{made}", MATTERS[*made % MATTERS.len()])
}
