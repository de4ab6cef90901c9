//! A database that does not say anything any more, as when its machine has lost its power.

use mesher_testing::{ScratchDir, TestDatabase, eventually};
use sqlx::postgres::PgPoolOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::watch,
};

use super::*;

/// A way to the database on which everything that is said can get lost.
struct Way {
    is_silent: watch::Sender<bool>,
    /// How many connections were made by it.
    connections: watch::Receiver<usize>,
}

impl Way {
    /// A way to the Unix socket `to`, by the Unix socket `by`.
    fn new(by: &std::path::Path, to: String) -> Self {
        let listener = UnixListener::bind(by).unwrap();
        let (is_silent, silent) = watch::channel(false);
        let (count, connections) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.send_modify(|count| *count += 1);
                let (mut answers, mut asked) = UnixStream::connect(&to).await.unwrap().into_split();
                let (mut questions, mut answered) = client.into_split();
                let silent = silent.clone();
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut answered).await });
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = questions.read(&mut bytes).await {
                        if !*silent.borrow() && asked.write_all(&bytes[..length]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { is_silent, connections }
    }
}

#[tokio::test]
async fn a_look_up_that_is_never_answered_fails_and_its_connection_is_not_used_again() {
    let (database, scratch) = (TestDatabase::new().await, ScratchDir::new());
    let options = database.connect_options();
    let name = format!(".s.PGSQL.{}", options.get_port());
    let to = options.get_socket().unwrap().join(&name);
    let way = Way::new(&scratch.join(&name), to.display().to_string());
    // Only what is in the middle of a query is of interest here: nothing looks at the connection before.
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.idle_timeout(None).max_lifetime(None).connect_lazy_with(options.socket(scratch.path()));
    let keys = [key()];
    assert!(pool.look_up(&keys).await.unwrap().is_empty());
    // The pool looks at a connection that is given back.
    eventually("the connection was given back", PATIENCE, async || pool.num_idle() == 1).await;

    way.is_silent.send(true).unwrap();
    tokio::time::pause();
    let asked = timeout(Duration::from_hours(1), pool.look_up(&keys));
    let error = asked.await.expect("it is given up").unwrap_err();
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error:?}");
    tokio::time::resume();

    way.is_silent.send(false).unwrap();
    assert!(pool.look_up(&keys).await.unwrap().is_empty());
    assert_eq!(*way.connections.borrow(), 2);
}
