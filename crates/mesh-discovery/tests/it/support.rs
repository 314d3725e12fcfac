//! A LocalAPI with the daemon's own rules, and commands that are scripts.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use mesh_discovery::TailscaleConfig;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

pub(crate) const RUNNING: &str = include_str!("../../../../fixtures/tailscale/status-running.json");
pub(crate) const LOGGED_OUT: &str =
    include_str!("../../../../fixtures/tailscale/status-logged-out.json");
pub(crate) const STOPPED: &str = include_str!("../../../../fixtures/tailscale/status-stopped.json");

/// Far longer than anything here takes; a test that needs a time-out sets its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing is asked anywhere until a test says so.
pub(crate) fn nowhere() -> TailscaleConfig {
    TailscaleConfig {
        sockets: vec![],
        port_folder: None,
        commands: vec![],
        timeout: PATIENCE,
        answer_bytes_max: 1 << 20,
    }
}

/// What the daemon does with a request that its rules let through.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Status(&'static str),
    /// A body without end.
    Endless,
    /// A head without end.
    EndlessHead,
    /// Less than the head promises.
    Part,
    /// Something that is no HTTP.
    Noise,
    /// Not a word.
    Silence,
}

/// Serves the LocalAPI on a Unix socket in `folder` until the test process ends.
pub(crate) fn serve_socket(folder: &Path, answer: Answer) -> PathBuf {
    let path = folder.join("tailscaled.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || serve(&mut stream, None, answer));
        }
    });
    path
}

/// Serves it on a loopback port to whoever has the password.
pub(crate) fn serve_port(password: &'static str, answer: Answer) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || serve(&mut stream, Some(password), answer));
        }
    });
    port
}

/// The other side hangs up early in some tests, which is no matter here.
fn serve(stream: &mut (impl Read + Write), password: Option<&str>, answer: Answer) {
    let _hung_up = try_serve(stream, password, answer);
}

fn try_serve(
    stream: &mut (impl Read + Write),
    credentials: Option<&str>,
    answer: Answer,
) -> io::Result<()> {
    let head = read_head(stream)?;
    if let Err((status, text)) = judge(&head, credentials) {
        let length = text.len();
        return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{text}");
    }
    match answer {
        Answer::Status(json) => {
            let length = json.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                 Tailscale-Version: 1.98.8\r\nContent-Length: {length}\r\n\r\n{json}"
            )
        }
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n{{\"Health\":[\"")?;
            let more = [b'x'; 4096];
            loop {
                stream.write_all(&more)?;
            }
        }
        Answer::EndlessHead => {
            write!(stream, "HTTP/1.1 200 OK\r\n")?;
            loop {
                write!(stream, "X-More: {}\r\n", "x".repeat(512))?;
            }
        }
        Answer::Part => {
            let length = RUNNING.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{{")
        }
        Answer::Noise => stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n"),
        Answer::Silence => stream.read(&mut [0]).map(drop),
    }
}

fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// The rules of tailscaled, in its order.
fn judge(head: &str, credentials: Option<&str>) -> Result<(), (&'static str, &'static str)> {
    let mut lines = head.lines();
    let request = lines.next().unwrap();
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let header = |name| headers.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    if header("origin").is_some()
        || header("referer").is_some()
        || header("host") != Some("local-tailscaled.sock")
    {
        return Err(("403 Forbidden", "invalid localapi request\n"));
    }
    if header("authorization") != credentials {
        return Err(("401 Unauthorized", "auth required\n"));
    }
    if request != "GET /localapi/v0/status HTTP/1.1" {
        return Err(("404 Not Found", "404 page not found\n"));
    }
    Ok(())
}

/// A script that no other process still holds open for writing: the system refuses to run such a one,
/// and a child forked meanwhile would. So one test at a time writes and runs.
pub(crate) struct Script {
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::const_new(());

impl Script {
    /// `body` runs only when the arguments are `status --json`; `$STATUS` names a file with `status`,
    /// and `$FOLDER` its folder.
    pub(crate) async fn new(status: &str, body: &str) -> Self {
        let alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let text = format!(
            "#!/bin/sh\nFOLDER='{at}'\nSTATUS='{at}/status.json'\n\
             [ $# = 2 ] && [ \"$1\" = status ] && [ \"$2\" = --json ] || exit 64\n{body}\n"
        );
        std::fs::write(folder.path().join("status.json"), status).unwrap();
        let script = Self { folder, _alone: alone };
        std::fs::write(script.path(), text).unwrap();
        std::fs::set_permissions(script.path(), PermissionsExt::from_mode(0o755)).unwrap();
        script
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A name with a space and a quote: no shell may come between.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("it's tailscale")
    }

    pub(crate) fn config(&self) -> TailscaleConfig {
        TailscaleConfig { commands: vec![self.path()], ..nowhere() }
    }
}
