use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn run_in(folder: &Path, command: &str, limit: Duration) -> TestOutcome {
    let push_id = PushId::from_bytes([7; 16]);
    let mut runner = TestRunner::new(command, folder, push_id, limit, CancellationToken::new());
    let end = runner.run(&folder.join("a name")).await.unwrap();
    runner.outcome(end)
}

async fn run(command: &str) -> TestOutcome {
    run_in(Path::new("/"), command, PATIENCE).await
}

#[tokio::test]
async fn what_a_test_returns_and_prints_is_told() {
    let passed = run("echo all is well").await;
    assert!(passed.is_passed());
    assert_eq!(passed.output, b"all is well\n");
    let failed = run("sh -c 'echo out; echo err >&2; exit 3'").await;
    assert_eq!(failed.end, TestEnd::Exit(3));
    assert_eq!(failed.output, b"out\nerr\n");
    let killed = run("sh -c 'kill -TERM $$'").await;
    assert_eq!(killed.end, TestEnd::Signal(15));
}

#[tokio::test]
async fn a_program_that_is_not_there_and_a_command_without_words_are_not_started() {
    let missing = run("no-such-program-at-all").await;
    assert_eq!(missing.end, TestEnd::NotStarted);
    assert!(!missing.output.is_empty());
    assert_eq!(run("").await.end, TestEnd::NotStarted);
    assert_eq!(run("echo 'never closed").await.end, TestEnd::NotStarted);
}

#[tokio::test]
async fn no_shell_reads_the_command_and_a_file_is_one_word() {
    let outcome = run("echo $HOME {file};").await;
    assert_eq!(outcome.output, b"$HOME /a name;\n");
}

#[tokio::test]
async fn a_test_sees_little_of_the_agents_environment_and_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run_in(folder.path(), "env", PATIENCE).await;
    let text = String::from_utf8(outcome.output).unwrap();
    assert!(text.contains("MESH_PUSH_ID=07070707"), "{text}");
    for line in text.lines() {
        let name = line.split('=').next().unwrap();
        assert!(["PATH", "HOME", "LANG", "MESH_PUSH_ID"].contains(&name), "{line}");
    }
    let outcome = run_in(folder.path(), "sh -c 'pwd; cat'", PATIENCE).await;
    let folder = folder.path().canonicalize().unwrap();
    assert_eq!(outcome.output, format!("{}\n", folder.display()).into_bytes());
}

#[tokio::test]
async fn a_test_that_prints_without_end_is_cut_and_not_kept_in_memory() {
    let outcome = run("sh -c 'head -c 5000000 /dev/zero'").await;
    assert!(outcome.is_passed() && outcome.is_cut);
    assert_eq!(outcome.output.len(), TEST_OUTPUT_BYTES_MAX);
}

#[tokio::test]
async fn a_test_that_takes_too_long_ends_with_everything_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("held");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    // Both shells hold the pipe's writing end: its reader sees the end when neither is left.
    let command = "sh -c 'exec 3>held; sh -c \"while :; do sleep 1000; done\" & wait'";
    let reading = tokio::task::spawn_blocking(move || std::fs::read(fifo));
    let limit = Duration::from_millis(300);
    let outcome = run_in(folder.path(), command, limit).await;
    assert_eq!(outcome.end, TestEnd::TimedOut);
    assert!(outcome.millis >= 300);
    tokio::time::timeout(PATIENCE, reading).await.expect("all are gone").unwrap().unwrap();
}

#[tokio::test]
async fn what_a_test_leaves_behind_ends_with_it() {
    let started = clock::now().instant;
    let outcome = run("sh -c 'sleep 1000 & echo left'").await;
    assert!(outcome.is_passed());
    assert_eq!(outcome.output, b"left\n");
    assert!(clock::now().instant - started < PATIENCE);
}

#[tokio::test]
async fn a_node_that_stops_ends_the_test_without_a_finding() {
    let shutdown = CancellationToken::new();
    let push_id = PushId::from_bytes([7; 16]);
    let mut runner =
        TestRunner::new("sleep 1000", Path::new("/"), push_id, PATIENCE, shutdown.clone());
    let (end, ()) = tokio::join!(runner.run(Path::new("/")), async { shutdown.cancel() });
    assert_eq!(end, None);
}

#[tokio::test]
async fn the_limits_hold_for_all_files_together() {
    let shutdown = CancellationToken::new();
    let push_id = PushId::from_bytes([7; 16]);
    let (command, folder) = ("head -c 20000 {file}", Path::new("/"));
    let mut runner = TestRunner::new(command, folder, push_id, PATIENCE, shutdown);
    assert!(runner.wants_files());
    for _ in 0..2 {
        assert_eq!(runner.run(Path::new("/dev/zero")).await, Some(TestEnd::Exit(0)));
    }
    let outcome = runner.outcome(TestEnd::Exit(0));
    assert_eq!(outcome.output.len(), TEST_OUTPUT_BYTES_MAX);
    assert!(outcome.is_cut);
}
