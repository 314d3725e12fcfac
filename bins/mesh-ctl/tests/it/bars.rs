//! What a terminal shows of a push on its way.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::{FIXED, Machine};

#[test]
fn a_terminal_shows_a_bar_for_each_target() {
    let machine = Machine::start(FIXED);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("endless"), "").unwrap();
    let (terminal, stderr) = terminal();
    let child = Command::new(env!("CARGO_BIN_EXE_mesh-ctl"))
        .env_clear()
        .envs([("MESH_SOCKET", machine.socket.as_os_str()), ("TERM", OsStr::new("xterm"))])
        .current_dir(&dir)
        .args(["push", "endless", "--to", "mint"])
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let drawn = pieces(terminal);
    let mut shown = String::new();
    while !(shown.contains("mint") && shown.contains("receiving") && shown.contains("1.20 MiB")) {
        let piece = drawn.recv_timeout(Duration::from_secs(20));
        shown.push_str(&piece.unwrap_or_else(|_| panic!("{shown:?}")));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("The push goes on. "), "{stdout}");
}

/// What is drawn on a terminal, as it comes.
fn pieces(mut terminal: File) -> Receiver<String> {
    let (pieces, drawn) = channel();
    let read = move || {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = terminal.read(&mut piece) {
            let piece = String::from_utf8_lossy(&piece[..count]).into_owned();
            if pieces.send(piece).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(read);
    drawn
}

/// Both ends of a terminal.
fn terminal() -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let mut other = OpenOptions::new();
    other.custom_flags(OFlags::NOCTTY.bits() as i32);
    (File::from(terminal), other.read(true).write(true).open(name).unwrap())
}
