//! The PostgreSQL server that the tests of one process share.
//!
//! It is started on first use, by a thread with a runtime of its own: that of the first test ends with that test. The
//! thread makes the databases too, one after the other. Nothing stops it; the watchdog stops the server.

use std::{
    env,
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
    time::Duration,
};

use mesher_postgres::{Options, Postgres, Search, locate, start};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use crate::{scratch::ScratchDir, watchdog};

const TEMPLATE: &str = "mesher_template";

/// A lost database costs nothing here, and a synced one takes time.
const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "300"),
    ("shared_buffers", "64MB"),
    // Hundreds of databases of a few seconds each would keep it busy for nothing.
    ("autovacuum", "off"),
];

/// For how long the template may stay in use after it was migrated: its connection ends in its own time.
const TEMPLATE_LIMIT: Duration = Duration::from_secs(10);

const OBJECT_IN_USE: &str = "55006";

/// What a new database begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schema {
    /// The newest schema.
    Migrated,
    /// Nothing.
    None,
}

/// A database that was made for a test.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) connect: PgConnectOptions,
    pub(crate) url: String,
    pub(crate) name: String,
}

struct Request {
    schema: Schema,
    answer: oneshot::Sender<Result<Created, String>>,
}

static REQUESTS: LazyLock<mpsc::UnboundedSender<Request>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::unbounded_channel();
    let spawned = thread::Builder::new().name("test-postgres".to_owned()).spawn(move || serve(receiver));
    if let Err(error) = spawned {
        panic!("cannot start the thread of the test database server: {error}");
    }
    sender
});

/// Makes a database.
pub(crate) async fn create(schema: Schema) -> Result<Created, String> {
    let (answer, created) = oneshot::channel();
    let gone = || "the thread of the test database server has ended".to_owned();
    REQUESTS.send(Request { schema, answer }).map_err(|_| gone())?;
    created.await.map_err(|_| gone())?
}

fn serve(mut requests: mpsc::UnboundedReceiver<Request>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer_all = async move {
        let mut server = Server::start().await;
        while let Some(request) = requests.recv().await {
            let result = match &mut server {
                Ok(server) => server.create(request.schema).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.clone()),
            };
            // A test that was cancelled meanwhile does not want it any more.
            let _ = request.answer.send(result);
        }
    };
    match runtime {
        Ok(runtime) => runtime.block_on(answer_all),
        Err(error) => panic!("cannot make a runtime for the test database server: {error}"),
    }
}

struct Server {
    postgres: Postgres,
    connection: PgConnection,
    created: u64,
    _scratch: ScratchDir,
}

impl Server {
    async fn start() -> Result<Self, String> {
        let scratch = ScratchDir::new_in_memory();
        let options = options(&scratch, SETTINGS).await?;
        let postgres = start_guarded(&scratch, options).await?;
        let connection =
            prepare(&postgres).await.map_err(|error| format!("the template database: {error}"))?;
        Ok(Self { postgres, connection, created: 0, _scratch: scratch })
    }

    async fn create(&mut self, schema: Schema) -> Result<Created, sqlx::Error> {
        self.created += 1;
        let name = format!("test_{}", self.created);
        let template = match schema {
            Schema::Migrated => TEMPLATE,
            Schema::None => "template0",
        };
        // The other strategy writes every copy to the write-ahead log too.
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY");
        let deadline = Instant::now() + TEMPLATE_LIMIT;
        loop {
            match sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut self.connection).await {
                Err(sqlx::Error::Database(error))
                    if error.code().as_deref() == Some(OBJECT_IN_USE) && Instant::now() < deadline =>
                {
                    sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        Ok(Created {
            connect: self.postgres.connect_options().database(&name),
            url: self.postgres.url_of(&name),
            name,
        })
    }
}

/// A server in `scratch` with these settings.
pub(crate) async fn options(scratch: &ScratchDir, settings: &[(&str, &str)]) -> Result<Options, String> {
    let explicit = env::var_os("MESHER_POSTGRES_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let search = Search { explicit, cache_dir: cache_dir(), data_dir: None };
    let binaries = locate(&search).await.map_err(|error| error.to_string())?;
    let options = Options::new(binaries, scratch.join("postgres"));
    Ok(settings.iter().fold(options, |options, (name, value)| options.set(*name, *value)))
}

/// Starts a server whose data is in `scratch`; its socket goes away as well, wherever it is.
pub(crate) async fn start_guarded(scratch: &ScratchDir, options: Options) -> Result<Postgres, String> {
    let postgres = start(options).await.map_err(|error| error.to_string())?;
    if !postgres.socket_dir().starts_with(scratch.path()) {
        watchdog::guard_dir(postgres.socket_dir());
    }
    Ok(postgres)
}

/// Migrates the template once, and closes it to connections: a template in use cannot be copied.
async fn prepare(postgres: &Postgres) -> Result<PgConnection, Box<dyn std::error::Error>> {
    let mut connection = PgConnection::connect_with(&postgres.connect_options()).await?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {TEMPLATE}"))).execute(&mut connection).await?;
    mesher_migrations::migrate(&postgres.connect_options().database(TEMPLATE)).await?;
    let close = format!("ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true");
    sqlx::query(AssertSqlSafe(close)).execute(&mut connection).await?;
    Ok(connection)
}

/// Where PostgreSQL's binaries are fetched to where there are none: with what was built; for root where the user that
/// the server runs as can get to as well, which a home directory is not.
fn cache_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/mesher");
    }
    let built = env::current_exe().ok().and_then(|path| path.ancestors().nth(3).map(Path::to_path_buf));
    built.unwrap_or_else(env::temp_dir).join("tools").join("postgresql")
}
