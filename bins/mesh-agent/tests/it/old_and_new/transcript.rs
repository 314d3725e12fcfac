//! What an agent said on a link, kept: a folder of `fixtures/transcripts` per recorded build.
//!
//! `new/` is the data directory of the agent that listened, as it was before the link came up; `old.key` the key
//! of the one that spoke; `link.txt` what it said beneath TLS, byte for byte, and for which answers it waited
//! before it went on; `about.json` when that was, and what the listener had of it in the end. The keys are of
//! no mesh but this one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::listener::Milestone;

/// The files of a data directory, as a backup has them.
pub(super) const DATA_FILES: [&str; 3] = ["node.key", "mesh.db", "data.db"];

/// One line of `link.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The old agent said this.
    Said(Vec<u8>),
    /// It went on when it had heard this.
    Heard(Milestone),
}

/// Where the transcripts are.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/transcripts")
}

/// Every recorded build.
pub(super) fn transcripts() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut transcripts: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    transcripts.sort();
    transcripts
}

/// Bytes per line, so that a change of the file can be looked at.
const LINE_BYTES: usize = 48;

pub(super) fn write(path: &Path, lines: &[Line]) {
    let mut text = String::new();
    for line in lines {
        match line {
            Line::Said(bytes) => {
                for (number, part) in bytes.chunks(LINE_BYTES).enumerate() {
                    let mark = if number == 0 { '>' } else { '.' };
                    text.push_str(&format!("{mark} {}\n", hex::encode(part)));
                }
            }
            Line::Heard(milestone) => text.push_str(&format!("< {milestone}\n")),
        }
    }
    fs::write(path, text).unwrap();
}

pub(super) fn read(path: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        match (line.split_once(' ').unwrap(), lines.last_mut()) {
            ((">", said), _) => lines.push(Line::Said(hex::decode(said).unwrap())),
            ((".", said), Some(Line::Said(bytes))) => bytes.extend(hex::decode(said).unwrap()),
            (("<", milestone), _) => lines.push(Line::Heard(milestone.to_owned())),
            (other, _) => panic!("no line of a transcript: {other:?}"),
        }
    }
    lines
}

/// Copies what an agent that does not run has on its disk.
pub(super) fn copy_data(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in DATA_FILES {
        fs::copy(from.join(name), to.join(name)).unwrap();
        // An agent takes keys that are its user's alone, and a checkout knows no such mode.
        fs::set_permissions(to.join(name), Permissions::from_mode(0o600)).unwrap();
    }
}

pub(super) fn about(transcript: &Path) -> Value {
    serde_json::from_slice(&fs::read(transcript.join("about.json")).unwrap()).unwrap()
}
