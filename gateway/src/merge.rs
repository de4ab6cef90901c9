//! Making one answer of those of several replicas, as the `mesher.replicas.v1` options of an RPC and of its answer's fields say.

use prost_reflect::{DynamicMessage, FieldDescriptor, MethodDescriptor, ReflectMessage as _, Value};

/// Whether the RPC is one for every replica.
pub(crate) fn asks_all(rpc: &MethodDescriptor) -> bool {
    let extension = rpc.parent_pool().get_extension_by_name("mesher.replicas.v1.ask_all");
    let value = extension.map(|extension| rpc.options().get_extension(&extension).as_bool());
    value.flatten().unwrap_or_default()
}

/// `mesher.replicas.v1.Merge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    Unspecified,
    Sum,
    Earliest,
    Key,
}

impl Merge {
    fn of(field: &FieldDescriptor) -> Self {
        let extension = field.parent_file().parent_pool().get_extension_by_name("mesher.replicas.v1.merge");
        let number =
            extension.and_then(|extension| field.options().get_extension(&extension).as_enum_number());
        match number {
            Some(1) => Self::Sum,
            Some(2) => Self::Earliest,
            Some(3) => Self::Key,
            _ => Self::Unspecified,
        }
    }
}

/// Merges another answer into `answer`.
pub(crate) fn merge(answer: &mut DynamicMessage, other: &DynamicMessage) {
    for (field, value) in other.fields() {
        let merge_as = Merge::of(&field);
        if !answer.has_field(&field) {
            answer.set_field(&field, value.clone());
            continue;
        }
        let own = answer.get_field_mut(&field);
        match (merge_as, own, value) {
            (Merge::Sum, own, value) => add(own, value),
            (Merge::Earliest, Value::Message(own), Value::Message(value)) if moment(value) < moment(own) => {
                own.clone_from(value);
            }
            (Merge::Earliest, ..) => {}
            (_, Value::Message(own), Value::Message(value)) => merge(own, value),
            (_, Value::List(own), Value::List(value)) => merge_lists(own, value),
            _ => {}
        }
    }
}

fn add(own: &mut Value, value: &Value) {
    match (own, value) {
        (Value::I32(own), Value::I32(value)) => *own = own.saturating_add(*value),
        (Value::I64(own), Value::I64(value)) => *own = own.saturating_add(*value),
        (Value::U32(own), Value::U32(value)) => *own = own.saturating_add(*value),
        (Value::U64(own), Value::U64(value)) => *own = own.saturating_add(*value),
        _ => {}
    }
}

/// A timestamp as what it can be compared by.
fn moment(timestamp: &DynamicMessage) -> (i64, i32) {
    let part = |name: &str| timestamp.get_field_by_name(name);
    let seconds = part("seconds").and_then(|value| value.as_i64());
    let nanos = part("nanos").and_then(|value| value.as_i32());
    (seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// Merges elements with the same key; lists whose elements have none stay as they are.
fn merge_lists(own: &mut Vec<Value>, others: &[Value]) {
    for other in others {
        let Some((other, key)) = other.as_message().and_then(|other| Some((other, key_of(other)?))) else {
            return;
        };
        let has_that_key = |own: &&mut DynamicMessage| own.get_field(&key) == other.get_field(&key);
        match own.iter_mut().filter_map(Value::as_message_mut).find(has_that_key) {
            Some(own) => merge(own, other),
            None => own.push(Value::Message(other.clone())),
        }
    }
}

fn key_of(element: &DynamicMessage) -> Option<FieldDescriptor> {
    element.descriptor().fields().find(|field| Merge::of(field) == Merge::Key)
}

#[cfg(test)]
mod tests {
    use mesher_proto::mesher::writer::v1::{
        DropReason, GetWriterStatsResponse, WriterStats, writer_stats::Drop,
    };
    use prost_reflect::prost_types::Timestamp;

    use super::*;

    fn stats(seconds: i64, accepted: i64, drops: &[(DropReason, i64)]) -> DynamicMessage {
        let drops = drops.iter().map(|(reason, count)| Drop { reason: (*reason).into(), count: *count });
        let stats = WriterStats {
            start_time: Some(Timestamp { seconds, nanos: 1 }),
            accepted_count: accepted,
            drops: drops.collect(),
            ..WriterStats::default()
        };
        let pool = mesher_proto::descriptor_pool();
        let message = pool.get_message_by_name("mesher.writer.v1.GetWriterStatsResponse").unwrap();
        let mut dynamic = DynamicMessage::new(message);
        dynamic.transcode_from(&GetWriterStatsResponse { stats: Some(stats) }).unwrap();
        dynamic
    }

    #[test]
    fn counts_add_up_by_their_reasons() {
        use DropReason::{BufferFull, Duplicate, LogDamaged};
        let mut merged = stats(7, 100, &[(Duplicate, 1), (BufferFull, 2)]);
        merge(&mut merged, &stats(5, 20, &[(BufferFull, 40), (LogDamaged, 8)]));
        merge(&mut merged, &stats(6, 0, &[]));
        assert_eq!(merged, stats(5, 120, &[(Duplicate, 1), (BufferFull, 42), (LogDamaged, 8)]));
    }

    #[test]
    fn what_is_for_every_replica_says_so() {
        let asking: Vec<String> = mesher_proto::descriptor_pool()
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(asks_all)
            .map(|rpc| rpc.name().to_owned())
            .collect();
        assert_eq!(asking, ["Flush", "GetWriterStats"]);
    }
}
