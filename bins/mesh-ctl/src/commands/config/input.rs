//! What is read: documents from files, and values that nobody is to see.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read, Write as _};
use std::path::Path;
use std::thread;

use mesh_control::ApiError;
use mesh_protocol::ErrorCode;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::Failure;
use crate::text::plain;

/// Most bytes of a value that is to be sealed.
const VALUE_BYTES_MAX: u64 = 256 << 10;

/// Most bytes of a document.
const DOCUMENT_BYTES_MAX: u64 = 32 << 20;

/// The text of a file, or of standard input when it is `-`.
pub(super) fn json_input(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return bounded(io::stdin(), "standard input", DOCUMENT_BYTES_MAX);
    }
    let name = plain(&path.to_string_lossy());
    let file = File::open(path).map_err(|error| unread(&name, &error))?;
    bounded(file, &name, DOCUMENT_BYTES_MAX)
}

fn bounded(input: impl Read, name: &str, bytes_max: u64) -> Result<String, Failure> {
    let mut text = String::new();
    input.take(bytes_max + 1).read_to_string(&mut text).map_err(|error| unread(name, &error))?;
    if text.len() as u64 > bytes_max {
        let message = format!("{name} has more than {bytes_max} bytes; nothing was changed");
        let hint = mesh_control::hints::CONFIG_TOO_LARGE;
        return Err(ApiError::new(ErrorCode::ConfigTooLarge, message, hint).into());
    }
    Ok(text)
}

fn unread(name: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("reading {name} failed: {error}"), "it has to be UTF-8 text")
}

/// The value for `key`, without the line end behind it; none when somebody has had enough. On a terminal
/// it is asked for and not shown.
pub(super) async fn hidden_value(key: &str) -> Result<Option<String>, Failure> {
    if !io::stdin().is_terminal() {
        return bounded(io::stdin(), "standard input", VALUE_BYTES_MAX).map(|mut text| {
            drop_line_end(&mut text);
            Some(text)
        });
    }
    let failed = |error: io::Error| unread("the terminal", &error);
    // Before the terminal is changed: whoever has had enough finds it as it was.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let unseen = Unseen::begin().map_err(failed)?;
    // With nobody to read the question there is still somebody to answer it.
    let _unread = write!(io::stderr(), "Value for {} (not shown): ", plain(key));
    let (sender, answer) = oneshot::channel();
    // A thread of its own, which nothing waits for when the wait for its line is given up.
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().take(VALUE_BYTES_MAX).read_line(&mut line);
        let _unwanted = sender.send(read.map(|_| line));
    });
    let line = tokio::select! {
        biased;
        _ended = interrupt.recv() => None,
        line = answer => line.ok(),
    };
    drop(unseen);
    let _unread = writeln!(io::stderr());
    line.transpose().map_err(failed).map(|line| {
        line.map(|mut line| {
            drop_line_end(&mut line);
            line
        })
    })
}

fn drop_line_end(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
}

/// As long as it lives, the terminal does not show what is typed.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
