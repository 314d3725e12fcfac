//! Plays what an agent of an earlier build said to one of this build, over a link with fresh keys, and looks
//! whether it was understood.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mesh_crypto::KeyFile;
use mesh_protocol::{DeliverOutcome, Frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, split};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::listener::{Listener, Milestone};
use super::recording::{found, settings};
use super::transcript::{Line, about, copy_data, read, transcripts};
use crate::agent::{Agent, Extra, PATIENCE, eventually, free_port, within};
use crate::raw::{LINK, tls};
use crate::skewed_clock::SkewedClock;

/// How often each milestone was reached.
type Reached = BTreeMap<Milestone, usize>;

/// An agent with the data directory of a transcript, at the time of its recording: members that are not seen for
/// long are removed, and messages expire. `prepare` may change the directory before.
async fn listener_of(transcript: &Path, dir: &Path, prepare: impl AsyncFnOnce(&Path)) -> Agent {
    let about = about(transcript);
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let clock = SkewedClock::new(dir, about["recorded_at"].as_i64().unwrap() - now);
    copy_data(&transcript.join("new"), &dir.join("new"));
    prepare(&dir.join("new")).await;
    let extra = settings(dir, about["advertised"].as_str().unwrap());
    let extra = Extra { environment: clock.environment(), ..extra };
    Agent::start_at(dir, "new", free_port(), extra).await
}

async fn listen(
    mut far: ReadHalf<TlsStream<TcpStream>>,
    listener: Arc<Mutex<Listener>>,
    reached: watch::Sender<Reached>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = far.read(&mut buffer).await {
        let news = listener.lock().unwrap().hear(&buffer[..bytes]);
        reached.send_modify(|reached| {
            for milestone in news {
                *reached.entry(milestone).or_default() += 1;
            }
        });
    }
}

/// How often a milestone is to be reached when the recorded agent heard it for the `nth` time. What is asked for
/// in a push may come in other portions.
fn wanted(milestone: &str, nth: usize) -> usize {
    if milestone.contains(" push ") { 1 } else { nth }
}

/// Plays a transcript to an agent of this build, whose data directory `prepare` may change before.
pub(super) async fn replay(transcript: &Path, prepare: impl AsyncFnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let new = listener_of(transcript, dir.path(), prepare).await;
    let key = KeyFile::parse(&fs::read_to_string(transcript.join("old.key")).unwrap()).unwrap();
    let link = within(tls(new.address(), Some(&key.node_key), LINK)).await.unwrap();
    let (far_in, mut far_out) = split(link);
    let listener = Arc::new(Mutex::new(Listener::default()));
    let (sender, mut reached) = watch::channel(Reached::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(listen(far_in, Arc::clone(&listener), sender));
    let mut heard = Reached::new();
    for (number, line) in read(&transcript.join("link.txt")).iter().enumerate() {
        match line {
            Line::Said(bytes) => {
                within(far_out.write_all(bytes)).await.unwrap();
                within(far_out.flush()).await.unwrap();
            }
            Line::Heard(milestone) => {
                let nth = heard.entry(milestone.clone()).or_default();
                *nth += 1;
                let wanted = wanted(milestone, *nth);
                let is_reached = |reached: &Reached| {
                    reached.get(milestone).is_some_and(|&times| times >= wanted)
                };
                let waited = tokio::time::timeout(PATIENCE, reached.wait_for(is_reached)).await;
                let is_answered = waited.is_ok_and(|reached| reached.is_ok());
                assert!(is_answered, "line {number}: {milestone:?} is not said {wanted} times");
            }
        }
    }
    let expected = &about(transcript)["found"];
    let mut last = serde_json::Value::Null;
    let complete = async || {
        last = found(&new, dir.path()).await;
        (last == *expected).then_some(())
    };
    let arrived = tokio::time::timeout(PATIENCE, eventually(PATIENCE * 2, "", complete)).await;
    assert!(arrived.is_ok(), "expected {expected:#}, found {last:#}");
    let listener = listener.lock().unwrap();
    let outcomes = listener.frames.iter().filter_map(|frame| {
        if let Frame::DeliverResult(result) = frame { Some(&result.outcomes) } else { None }
    });
    let outcomes: Vec<&DeliverOutcome> = outcomes.flatten().collect();
    assert!(outcomes.len() >= 6, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| **outcome == DeliverOutcome::Stored), "{outcomes:?}");
    assert!(!tasks.is_empty(), "the link is up");
    assert!(tasks.try_join_next().is_none(), "the link is up");
}

#[tokio::test]
async fn an_agent_of_every_recorded_build_is_understood_by_this_one() {
    let mut played = 0;
    for transcript in transcripts() {
        eprintln!("playing {}", transcript.display());
        replay(&transcript, async |_| {}).await;
        played += 1;
    }
    assert!(played > 0, "there is a transcript");
}
