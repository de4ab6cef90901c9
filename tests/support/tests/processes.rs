//! Processes, tools and conditions.

use std::{process::Command, time::Duration};

use mesher_testing::{Process, ScratchDir, eventually, tool};

const TIMEOUT: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::run("script", command)
}

#[tokio::test]
async fn the_addresses_of_a_ready_process_are_read() {
    let mut process = shell(
        "echo starting >&2; echo 'script ready grpc=127.0.0.1:40001 admin=127.0.0.1:40002'; exec sleep 600",
    );
    let addresses = process.ready().await;
    assert_eq!(addresses.len(), 2);
    assert_eq!(addresses["admin"].port(), 40002);
    process.wait_for_line(|line| line == "starting", TIMEOUT).await;
}

#[tokio::test]
#[should_panic(
    expected = "script ended before it wrote the line waited for. It wrote:\nport 50051 is in use\n"
)]
async fn a_process_that_ends_before_it_is_ready_shows_what_it_wrote() {
    shell("echo 'port 50051 is in use' >&2; exit 1").ready().await;
}

#[tokio::test]
#[should_panic(expected = "script did not write the line waited for within")]
async fn a_line_that_does_not_come_is_not_waited_for_forever() {
    shell("echo something else; exec sleep 600")
        .wait_for_line(|line| line == "this", Duration::from_millis(100))
        .await;
}

#[tokio::test]
#[should_panic(expected = "mesher-nonesuch is missing: run `cargo build --workspace --bins`")]
async fn a_binary_that_was_not_built_is_named() {
    Process::start("mesher-nonesuch", &[], &[]);
}

#[tokio::test]
async fn a_process_is_asked_to_end_and_its_last_words_are_kept() {
    let mut process = shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done");
    process.wait_for_line(|line| line == "up", TIMEOUT).await;
    process.terminate();
    assert_eq!(process.wait(TIMEOUT).await.code(), Some(7));
    assert_eq!(process.output(), "up\nbye\n");
}

#[tokio::test]
async fn a_process_that_writes_more_than_a_pipe_holds_is_not_held_up() {
    let mut process = shell(
        "i=0; while [ $i -lt 5000 ]; do echo 'a line of some forty bytes, more or less'; i=$((i+1)); done",
    );
    assert!(process.wait(TIMEOUT).await.success());
    assert_eq!(process.output().lines().count(), 5000);
}

#[tokio::test]
async fn a_dropped_process_is_killed() {
    let scratch = ScratchDir::new();
    let mut process =
        shell(&format!("trap '' TERM; echo up; sleep 1; touch {}", scratch.join("survived").display()));
    process.wait_for_line(|line| line == "up", TIMEOUT).await;
    let id = process.id();
    drop(process);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    assert!(!scratch.join("survived").exists());
}

#[tokio::test]
async fn a_scratch_directory_goes_when_it_is_dropped() {
    let scratch = ScratchDir::new();
    let path = scratch.path().to_path_buf();
    std::fs::write(scratch.join("file"), "").unwrap();
    drop(scratch);
    assert!(!path.exists());
}

#[test]
fn a_tool_is_found_on_the_path() {
    assert!(tool("sh", "nothing").is_some_and(|path| path.is_absolute()));
}

#[tokio::test]
async fn a_condition_gives_its_value_once_it_is_fulfilled() {
    let mut asked = 0;
    let value = eventually("the third question", TIMEOUT, async || {
        asked += 1;
        (asked == 3).then_some("there")
    })
    .await;
    assert_eq!(value, "there");
    eventually("truth", TIMEOUT, async || true).await;
}

#[tokio::test]
#[should_panic(expected = "the impossible did not happen within 50ms; the last answer: \"not yet\"")]
async fn a_condition_that_stays_unfulfilled_says_what_it_was() {
    eventually("the impossible", Duration::from_millis(50), async || Err::<(), _>("not yet")).await;
}

#[tokio::test]
#[should_panic(expected = "an answer did not happen within 50ms; the last answer: none yet")]
async fn a_condition_that_does_not_answer_is_cut_off() {
    eventually("an answer", Duration::from_millis(50), async || std::future::pending::<bool>().await).await;
}

const MISSING_TOOL: &str = "TEST_MISSING_TOOL";

#[test]
fn the_process_that_asks_for_a_missing_tool() {
    if std::env::var_os(MISSING_TOOL).is_some() {
        assert_eq!(tool("mesher-nonesuch", "the tool itself"), None);
    }
}

#[tokio::test]
async fn a_missing_tool_is_reported_although_the_test_passes_and_fails_it_where_nothing_may_be_skipped() {
    for (ci, passes) in [("", true), ("true", false)] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["the_process_that_asks_for_a_missing_tool", "--exact"]);
        command.env(MISSING_TOOL, "1").env("CI", ci);
        let mut process = Process::run("the test process", command);
        assert_eq!(process.wait(TIMEOUT).await.success(), passes, "CI={ci}");
        let line = "SKIPPED: mesher-nonesuch is not installed: the tool itself";
        assert!(process.output().contains(line), "CI={ci}: {}", process.output());
    }
}
