//! `WriterService`: proto to domain and back.

use std::pin::Pin;

use futures_util::Stream;
use mesher_common::{
    access::{API_KEY_HEADER, Access, Sender},
    clock::{Clock, timestamp},
    id::{EventId, ProjectId},
    status::Violation,
};
use mesher_proto::mesher::{
    error::v1::ErrorReason,
    writer::v1::{
        self as proto, event_payload, store_request, store_result, writer_service_server::WriterService,
    },
};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    admission::{AdmissionError, IdsBeside, Sent, admit_with_id},
    arrivals::Arrivals,
    config::Durability,
    engine::{
        Engine,
        account::{Account, DropReason, RefuseReason},
    },
    error::WriterError,
    event::Event,
    limits::{Grant, Limits},
    streamed::Streamed,
};

/// The most events in one request.
const MAX_BATCH: usize = 1000;
/// After so many events of a batch, other calls get their turn: reading one takes tens of microseconds.
const EVENTS_PER_TURN: usize = 32;

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    pub(crate) access: Access,
    engine: Engine,
    limits: Limits,
    arrivals: Arrivals,
    started: prost_types::Timestamp,
    pub(crate) durability: proto::Durability,
    pub(crate) shutdown: CancellationToken,
}

impl Service {
    /// The service on `engine`, which makes events as durable as it says, within `limits`, by the time of `clock`. Its streams end when
    /// `shutdown` is cancelled.
    pub fn new(
        access: Access,
        engine: Engine,
        limits: Limits,
        durability: Durability,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> Self {
        let started = timestamp(clock.now());
        let durability = match durability {
            Durability::Disk => proto::Durability::Disk,
            Durability::Memory => proto::Durability::Memory,
        };
        Self { access, engine, limits, arrivals: Arrivals::new(clock), started, durability, shutdown }
    }

    /// Admits what there is, and buffers it: a result for each event.
    pub(crate) async fn store_all(
        &self,
        sender: &Sender,
        payloads: &[proto::EventPayload],
    ) -> Result<Vec<proto::StoreResult>, Status> {
        if payloads.len() > MAX_BATCH {
            let description = format!("has {} events; {MAX_BATCH} are allowed", payloads.len());
            return Err(Violation::new("events", description).into());
        }
        let times = self.arrivals.take(payloads.len());
        let mut events: Vec<Event> = Vec::with_capacity(payloads.len());
        let mut results = Vec::with_capacity(payloads.len());
        let mut refused = [0; RefuseReason::ALL.len()];
        let mut grant = self.limits.grant(sender, payloads.len());
        for (index, (payload, time)) in payloads.iter().zip(times).enumerate() {
            if index % EVENTS_PER_TURN == EVENTS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let sent = payload.payload.as_ref().map(|payload| match payload {
                event_payload::Payload::Event(event) => Sent::Struct(event),
                event_payload::Payload::Json(json) => Sent::Json(json),
            });
            let admit = || {
                let (id, fallback) = (&payload.event_id, &payload.fallback_event_id);
                Ok(admitted(sender.project_id, sent, id, fallback, time)?)
            };
            let outcome = match grant.check().map_err(WriterError::from).and_then(|()| admit()) {
                Ok(event) => {
                    grant.use_for(&event);
                    let id = event.id.to_hex();
                    events.push(event);
                    store_result::Outcome::EventId(id)
                }
                Err(error) => {
                    refused[error.refuse_reason() as usize] += 1;
                    store_result::Outcome::Error(rpc_status(&error.into()))
                }
            };
            results.push(proto::StoreResult { outcome: Some(outcome) });
        }
        for reason in RefuseReason::ALL {
            let count = refused[reason as usize];
            if count > 0 {
                self.engine.refuse(sender.project_id, reason, count);
            }
        }
        if !events.is_empty() {
            self.accept(sender.project_id, events, grant).await?;
        }
        Ok(results)
    }

    /// Buffers events, or gives back what they cost.
    async fn accept(
        &self,
        project: ProjectId,
        events: Vec<Event>,
        mut grant: Grant,
    ) -> Result<(), WriterError> {
        grant.release();
        let accepted = self.engine.accept(project, events).await?;
        let kept = grant.keep();
        let accepted = accepted.await;
        if accepted.is_err() {
            kept.give_back();
        }
        Ok(accepted?)
    }
}

#[tonic::async_trait]
impl WriterService for Service {
    async fn store(
        &self,
        request: Request<proto::StoreRequest>,
    ) -> Result<Response<proto::StoreResponse>, Status> {
        let sender = self.access.api_key::<proto::StoreRequest>(request.metadata()).await?;
        let sent = request.get_ref().payload.as_ref().map(|payload| match payload {
            store_request::Payload::Event(event) => Sent::Struct(event),
            store_request::Payload::Json(json) => Sent::Json(json),
        });
        let project = sender.project_id;
        let mut grant = self.limits.grant(&sender, 1);
        let admit = || Ok(admitted(project, sent, "", "", self.arrivals.take_one())?);
        let event = match grant.check().map_err(WriterError::from).and_then(|()| admit()) {
            Ok(event) => event,
            Err(error) => {
                self.engine.refuse(project, error.refuse_reason(), 1);
                return Err(error.into());
            }
        };
        grant.use_for(&event);
        let event_id = event.id.to_hex();
        self.accept(project, vec![event], grant).await?;
        Ok(Response::new(proto::StoreResponse { event_id, durability: self.durability.into() }))
    }

    async fn store_batch(
        &self,
        request: Request<proto::StoreBatchRequest>,
    ) -> Result<Response<proto::StoreBatchResponse>, Status> {
        let sender = self.access.api_key::<proto::StoreBatchRequest>(request.metadata()).await?;
        let results = self.store_all(&sender, &request.get_ref().events).await?;
        Ok(Response::new(proto::StoreBatchResponse { results, durability: self.durability.into() }))
    }

    type StoreStreamStream = Pin<Box<dyn Stream<Item = Result<proto::StoreStreamResponse, Status>> + Send>>;

    async fn store_stream(
        &self,
        request: Request<Streaming<proto::StoreStreamRequest>>,
    ) -> Result<Response<Self::StoreStreamStream>, Status> {
        let (metadata, _, requests) = request.into_parts();
        // Parcels have their own.
        if metadata.contains_key(API_KEY_HEADER) {
            self.access.api_key::<proto::StoreStreamRequest>(&metadata).await?;
        }
        Ok(Response::new(Box::pin(Streamed::new(self.clone(), metadata, requests).answers())))
    }

    async fn flush(
        &self,
        request: Request<proto::FlushRequest>,
    ) -> Result<Response<proto::FlushResponse>, Status> {
        let (_, request) = self.access.role(request).await?;
        let project = ProjectId::parse("project_id", &request.project_id)?;
        let stored = self.engine.flush(project).await.map_err(WriterError::from)?;
        Ok(Response::new(proto::FlushResponse { stored_count: signed(stored) }))
    }

    async fn get_writer_stats(
        &self,
        request: Request<proto::GetWriterStatsRequest>,
    ) -> Result<Response<proto::GetWriterStatsResponse>, Status> {
        let (_, request) = self.access.role(request).await?;
        let project = ProjectId::parse("project_id", &request.project_id)?;
        let account = self.engine.account(project).await.map_err(WriterError::from)?;
        Ok(Response::new(proto::GetWriterStatsResponse { stats: Some(stats(&account, self.started)) }))
    }
}

fn admitted(
    project: ProjectId,
    sent: Option<Sent<'_>>,
    id: &str,
    fallback: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Event, AdmissionError> {
    let sent = sent.ok_or_else(|| Violation::new("payload", "is missing: give event or json"))?;
    let parsed = |field, id: &str| if id.is_empty() { Ok(None) } else { EventId::parse(field, id).map(Some) };
    let ids = IdsBeside { id: parsed("event_id", id)?, fallback: parsed("fallback_event_id", fallback)? };
    admit_with_id(project, &sent, ids, now)
}

/// An error as part of an answer.
pub(crate) fn rpc_status(status: &Status) -> tonic_types::Status {
    // What the details hold is this very message; it is only missing where the code and the text say all.
    tonic_types::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

fn stats(account: &Account, started: prost_types::Timestamp) -> proto::WriterStats {
    let drops = DropReason::ALL
        .into_iter()
        .map(|reason| proto::writer_stats::Drop {
            reason: match reason {
                DropReason::BufferFull => proto::DropReason::BufferFull,
                DropReason::DatabaseFailed => proto::DropReason::DatabaseFailed,
                DropReason::Duplicate => proto::DropReason::Duplicate,
                DropReason::ProjectDeleted => proto::DropReason::ProjectDeleted,
                DropReason::LogDamaged => proto::DropReason::LogDamaged,
            }
            .into(),
            count: signed(account.dropped(reason)),
        })
        .filter(|drop| drop.count > 0)
        .collect();
    let refusals = RefuseReason::ALL
        .into_iter()
        .map(|reason| proto::writer_stats::Refusal {
            reason: match reason {
                RefuseReason::Invalid => ErrorReason::InvalidField,
                RefuseReason::TooLarge => ErrorReason::TooLarge,
                RefuseReason::RateLimited => ErrorReason::RateLimited,
                RefuseReason::QuotaFull => ErrorReason::QuotaExceeded,
                RefuseReason::LogFailed => ErrorReason::DiskUnavailable,
                RefuseReason::Overloaded => ErrorReason::Overloaded,
                RefuseReason::Internal => ErrorReason::Internal,
            }
            .into(),
            count: signed(account.refused_for(reason)),
        })
        .filter(|refusal| refusal.count > 0)
        .collect();
    proto::WriterStats {
        start_time: Some(started),
        accepted_count: signed(account.accepted),
        stored_count: signed(account.stored),
        buffered_count: signed(account.buffered),
        drops,
        dead_lettered_count: signed(account.dead_lettered),
        refused_count: signed(account.refused),
        refusals,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
