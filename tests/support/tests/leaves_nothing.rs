//! However a test process ends, nothing stays behind.
//!
//! The test process that ends is this executable again, running the one test `a_process_that_uses_everything` with a
//! variable that says how.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as they do")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use mesher_testing::{Process, ScratchDir, TestDatabase, eventually, skipped};

const ENDING: &str = "TEST_ENDING";
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_process_that_uses_everything() {
    let Ok(ending) = env::var(ENDING) else { return };
    let scratch = ScratchDir::new();
    if ending == "early" {
        // While the server is being made.
        let database = tokio::spawn(TestDatabase::new());
        say(&format!("dir {}", scratch.path().display()));
        database.await.unwrap();
        return;
    }
    if ending == "mounted" {
        let mounted = scratch.mount("disk", 1 << 20);
        say(&format!("dir {}", scratch.path().display()));
        say(if mounted.is_some() { "all set" } else { "not mounted" });
        return std::future::pending().await;
    }
    let database = TestDatabase::new().await;
    let cluster: String = sqlx::query_scalar("SHOW data_directory").fetch_one(database.pool()).await.unwrap();
    let server = fs::read_to_string(Path::new(&cluster).join("postmaster.pid")).unwrap();
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let sleep = Process::run("sleep", sleep);
    say(&format!("dir {}", scratch.path().display()));
    say(&format!("dir {}", Path::new(&cluster).ancestors().nth(2).unwrap().display()));
    say(&format!("process {}", server.lines().next().unwrap()));
    say(&format!("process {}", sleep.id()));
    say("all set");
    match ending.as_str() {
        "return" => {}
        "panic" => panic!("as it was told"),
        "exit" => std::process::exit(0),
        _ => std::future::pending().await,
    }
}

/// Writes past the test harness, on a line of its own.
fn say(line: &str) {
    std::io::Write::write_all(&mut std::io::stdout(), format!("\n{line}\n").as_bytes()).unwrap();
}

fn start(ending: &str) -> Process {
    // Whoever runs the tests in the background of a script has them ignore interrupts, and so would this.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(env::current_exe().unwrap());
    run(ending, command)
}

/// The same, with its temporary files in a directory of its own.
fn start_in(ending: &str, dir: &ScratchDir) -> Process {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env("TMPDIR", dir.path());
    run(ending, command)
}

fn run(ending: &str, mut command: Command) -> Process {
    command.args(["a_process_that_uses_everything", "--exact", "--nocapture"]).env(ENDING, ending);
    Process::run("the test process", command)
}

async fn nothing_is_left(output: &str) {
    let named = |what: &'static str| output.lines().filter_map(move |line| line.strip_prefix(what));
    let dirs: Vec<PathBuf> = named("dir ").map(PathBuf::from).collect();
    let processes: Vec<u32> = named("process ").map(|id| id.trim().parse().unwrap()).collect();
    assert!(!dirs.is_empty());
    eventually("the end of everything", TIMEOUT, async || {
        let left: Vec<_> = dirs.iter().filter(|dir| dir.exists()).collect();
        let alive: Vec<_> = processes.iter().filter(|id| is_alive(**id)).collect();
        if left.is_empty() && alive.is_empty() { Ok(()) } else { Err(format!("{left:?} {alive:?}")) }
    })
    .await;
}

fn is_alive(id: u32) -> bool {
    // That of a process that ended and was not waited for is empty.
    fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn a_test_process_that_ends_leaves_nothing_behind() {
    for ending in ["return", "panic", "exit"] {
        let mut process = start(ending);
        process.wait_for_line(|line| line == "all set", TIMEOUT).await;
        let status = process.wait(TIMEOUT).await;
        assert_eq!(status.success(), ending != "panic", "{ending}");
        nothing_is_left(&process.output()).await;
    }
}

#[tokio::test]
async fn a_test_process_that_is_killed_leaves_nothing_behind() {
    let mut process = start("kill");
    process.wait_for_line(|line| line == "all set", TIMEOUT).await;
    process.kill();
    nothing_is_left(&process.output()).await;
}

#[tokio::test]
async fn a_test_process_that_is_killed_leaves_nothing_mounted() {
    let mut process = start("mounted");
    let line = process.wait_for_line(|line| ["all set", "not mounted"].contains(&line), TIMEOUT).await;
    if line == "not mounted" {
        return skipped("this user cannot mount a file system: that none stays behind is not tested");
    }
    process.kill();
    nothing_is_left(&process.output()).await;
}

#[tokio::test]
async fn a_test_process_that_is_interrupted_leaves_nothing_behind() {
    let mut process = start("interrupt");
    process.wait_for_line(|line| line == "all set", TIMEOUT).await;
    process.interrupt();
    assert!(!process.wait(TIMEOUT).await.success());
    nothing_is_left(&process.output()).await;
}

#[tokio::test]
async fn a_test_process_that_is_killed_while_it_starts_leaves_nothing_behind() {
    for pause in [0, 100, 500, 1000] {
        // What it makes in there is all there is of it.
        let place = ScratchDir::new();
        let mut process = start_in("early", &place);
        process.wait_for_line(|line| line.starts_with("dir "), TIMEOUT).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        process.kill();
        nothing_is_left(&process.output()).await;
        eventually("the end of everything", TIMEOUT, async || {
            let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?} after {pause} ms")) }
        })
        .await;
    }
}
