//! `kill -9` of the writer at any moment: every acknowledged event is in the table, once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use mesher_testing::eventually;

use crate::running::{PATIENCE, Running};

const ROUNDS: u32 = 10;
const SENDERS: u32 = 4;

#[tokio::test]
async fn no_acknowledged_event_is_lost_or_stored_twice_when_the_writer_is_killed() {
    let mut running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (client, url, key) = (running.client.clone(), running.url(), key.clone());
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                for number in 0_u32.. {
                    let id = format!("{sender:08x}{number:024x}");
                    // Every other event brings no id: those made at admission must come through as well.
                    let given =
                        if number % 2 == 0 { format!(r#","event_id":"{id}""#) } else { String::new() };
                    let body = format!(r#"{{"message":"{id}"{given}}}"#);
                    let request =
                        client.post(format!("{url}/v1/events")).header("x-mesher-key", &key).body(body);
                    let Ok(answer) = request.send().await else { continue };
                    if answer.status() == 202 {
                        acknowledged.lock().unwrap().insert(id);
                    } else {
                        // The writer is away; it will be back.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();

    for round in 1..=ROUNDS {
        let before = acknowledged.lock().unwrap().len();
        // A moment that differs from round to round, by how much was done and not by the clock.
        let enough = before + 20 + 37 * usize::try_from(round % 5).unwrap();
        eventually("events were acknowledged", PATIENCE, async || {
            acknowledged.lock().unwrap().len() > enough
        })
        .await;
        running.crash_writer().await;
    }
    for sender in &senders {
        sender.abort();
    }
    let acknowledged: BTreeSet<String> = acknowledged.lock().unwrap().clone();

    // The writer may still be storing what its predecessors left.
    let missing = eventually("everything acknowledged was stored", PATIENCE, async || {
        running.post(&format!("/v1/projects/{project}/events:flush"), &token, "{}").await;
        let stored = stored(&running).await;
        let missing = acknowledged.iter().filter(|id| !stored.contains_key(*id)).count();
        if missing == 0 {
            Ok(stored)
        } else {
            Err(format!("{missing} of {} are missing", acknowledged.len()))
        }
    })
    .await;
    let twice: Vec<_> = missing.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "stored twice: {twice:?}");
}

/// How often each message is in the table.
async fn stored(running: &Running) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT message, count(*) FROM events GROUP BY message")
        .fetch_all(running.database.pool())
        .await
        .unwrap();
    rows.into_iter().collect()
}
