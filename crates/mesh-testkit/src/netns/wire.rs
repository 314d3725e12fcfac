//! A switch in this process, for kernels without `netem`: it can lose, double, delay and reorder what one machine
//! sends to another, and cut one direction, multicast included.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::run::{NetnsError, run};
use crate::Conditions;

/// Larger than any frame of a device with the usual 1,500 bytes.
const FRAME_BYTES_MAX: usize = 2048;

/// Frames that wait for their time; what comes beyond them is lost, as in a full queue.
const HELD_MAX: usize = 10_000;

/// Before the number of the port in the hardware address of its machine.
const PREFIX: [u8; 5] = [2, 0, 0, 0, 1];

/// How a way is that nobody impaired.
const DIRECT: Conditions =
    Conditions { delay_min: Duration::ZERO, delay_max: Duration::ZERO, ..Conditions::PERFECT };

/// What connects the machines of a LAN. Ends with it.
#[derive(Debug)]
pub(super) struct Wire {
    shared: Arc<Shared>,
    program: PathBuf,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    is_changed: Condvar,
}

#[derive(Debug)]
struct State {
    ports: BTreeMap<u8, Arc<File>>,
    /// None is cut.
    ways: BTreeMap<(u8, u8), Option<Conditions>>,
    rng: StdRng,
    /// Latest arrival of each way, for those that keep the order.
    latest: BTreeMap<(u8, u8), Instant>,
    held: BTreeMap<(Instant, u64), Held>,
    number: u64,
    is_over: bool,
}

#[derive(Clone, Debug)]
struct Held {
    to: u8,
    frame: Vec<u8>,
}

impl Wire {
    /// Draws from `seed` what is lost and how long the rest takes; keeps its program in `dir`.
    pub(super) fn new(dir: &Path, seed: u64) -> Result<Self, NetnsError> {
        if !Path::new("/dev/net/tun").exists() {
            return Err(NetnsError::TunMissing);
        }
        let program = dir.join("tap");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/netns/tap.c");
        let options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"];
        run("cc", &[&options[..], &[&program.to_string_lossy(), source]].concat())?;
        let shared =
            Arc::new(Shared { state: Mutex::new(State::new(seed)), is_changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || of_thread.release());
        Ok(Self { shared, program })
    }

    /// Makes the device of a machine in its namespace; its hardware address comes back.
    pub(super) fn plug(
        &self,
        namespace: &str,
        device: &str,
        port: u8,
    ) -> Result<String, NetnsError> {
        let frames = Arc::new(self.tap(namespace, device)?);
        self.shared.lock().ports.insert(port, Arc::clone(&frames));
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || shared.read(port, &frames));
        let bytes = PREFIX.iter().chain([&port]).map(|byte| format!("{byte:02x}"));
        Ok(bytes.collect::<Vec<_>>().join(":"))
    }

    fn tap(&self, namespace: &str, device: &str) -> Result<File, NetnsError> {
        let (ours, theirs) = UnixStream::pair().map_err(NetnsError::Socket)?;
        let command = format!("{} {device}", self.program.display());
        let output = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(&self.program)
            .arg(device)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .output()
            .map_err(|source| NetnsError::NotRun { command: command.clone(), source })?;
        if !output.status.success() {
            let answer = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(NetnsError::Refused { command, answer });
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut received = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        recvmsg(&ours, &mut [IoSliceMut::new(&mut byte)], &mut received, RecvFlags::empty())
            .map_err(|error| NetnsError::Socket(error.into()))?;
        for message in received.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
                && let Some(device) = descriptors.next()
            {
                // An agent that inherits it would keep the device of another machine.
                fcntl_setfd(&device, FdFlags::CLOEXEC)
                    .map_err(|error| NetnsError::Socket(error.into()))?;
                return Ok(device.into());
            }
        }
        Err(NetnsError::Refused { command, answer: String::from("it handed over no device") })
    }

    /// How the way from one port to another is from here on; none is cut.
    pub(super) fn set(&self, from: u8, to: u8, conditions: Option<Conditions>) {
        self.shared.lock().ways.insert((from, to), conditions);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.is_changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what a machine sends, until its device is gone.
    fn read(&self, from: u8, frames: &File) {
        let mut buffer = [0; FRAME_BYTES_MAX];
        let mut source = frames;
        while let Ok(length @ 1..) = source.read(&mut buffer) {
            let frame = buffer.get(..length).unwrap_or_default();
            let (now, has_waiting) = {
                let mut state = self.lock();
                let now = state.judge(from, frame, now());
                (now, !state.held.is_empty())
            };
            for (to, copies) in now {
                for _ in 0..copies {
                    deliver(&to, frame);
                }
            }
            if has_waiting {
                self.is_changed.notify_all();
            }
        }
    }

    /// Hands out what was held when its time has come.
    fn release(&self) {
        let mut state = self.lock();
        while !state.is_over {
            let due = state.due(now());
            if !due.is_empty() {
                drop(state);
                for (port, frame) in due {
                    deliver(&port, &frame);
                }
                state = self.lock();
                continue;
            }
            let first = state.held.first_key_value().map(|((at, _), _)| *at);
            let wait =
                first.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now()));
            let waited = self.is_changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn new(seed: u64) -> Self {
        Self {
            ports: BTreeMap::new(),
            ways: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            latest: BTreeMap::new(),
            held: BTreeMap::new(),
            number: 0,
            is_over: false,
        }
    }

    /// Decides what becomes of a frame: to whom it goes at once, and how often. Other copies are held.
    fn judge(&mut self, from: u8, frame: &[u8], now: Instant) -> Vec<(Arc<File>, usize)> {
        let mut at_once = Vec::new();
        for to in self.receivers(from, frame) {
            let Some(conditions) = self.ways.get(&(from, to)).copied().unwrap_or(Some(DIRECT))
            else {
                continue;
            };
            if self.rng.random_bool(conditions.loss.clamp(0.0, 1.0)) {
                continue;
            }
            let copies =
                1 + usize::from(self.rng.random_bool(conditions.duplication.clamp(0.0, 1.0)));
            if conditions.delay_max.is_zero() && !self.is_waiting(from, to, now) {
                at_once.extend(self.ports.get(&to).map(|port| (Arc::clone(port), copies)));
                continue;
            }
            for _ in 0..copies {
                self.hold(from, to, frame, &conditions, now);
            }
        }
        at_once
    }

    /// Whether something of this way has yet to arrive, which must not be overtaken.
    fn is_waiting(&self, from: u8, to: u8, now: Instant) -> bool {
        self.latest.get(&(from, to)).is_some_and(|latest| *latest > now)
    }

    fn receivers(&self, from: u8, frame: &[u8]) -> Vec<u8> {
        match frame {
            [first, ..] if first & 1 == 1 => {
                self.ports.keys().copied().filter(|port| *port != from).collect()
            }
            [a, b, c, d, e, port, ..] if [*a, *b, *c, *d, *e] == PREFIX => vec![*port],
            _ => Vec::new(),
        }
    }

    fn hold(&mut self, from: u8, to: u8, frame: &[u8], conditions: &Conditions, now: Instant) {
        if self.held.len() >= HELD_MAX {
            return;
        }
        let (min, max) = (conditions.delay_min, conditions.delay_max.max(conditions.delay_min));
        let mut at = now + min + (max - min).mul_f64(self.rng.random::<f64>());
        if conditions.is_ordered {
            at = at.max(self.latest.get(&(from, to)).copied().unwrap_or(at));
        }
        let latest = self.latest.entry((from, to)).or_insert(at);
        *latest = (*latest).max(at);
        self.number += 1;
        self.held.insert((at, self.number), Held { to, frame: frame.to_vec() });
    }

    fn due(&mut self, now: Instant) -> Vec<(Arc<File>, Vec<u8>)> {
        let later = self.held.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.held, later).into_values();
        due.filter_map(|held| Some((Arc::clone(self.ports.get(&held.to)?), held.frame))).collect()
    }
}

/// A device that is gone or full loses the frame, as a wire does.
fn deliver(mut port: &File, frame: &[u8]) {
    let _lost = port.write(frame);
}

#[expect(clippy::disallowed_methods, reason = "frames of real processes wait in real time")]
fn now() -> Instant {
    Instant::now()
}
