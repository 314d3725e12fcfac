//! Everything that clients were told, and nothing else: what has to be true at the end is found out of it.

use std::collections::BTreeMap;

use mesh_control::ClientError;
use mesh_protocol::{ErrorCode, MessageId, PeerId, PushId};

use crate::write::Outcome;

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It was acknowledged.
    Done,
    /// It was not carried out, and never will be.
    Refused,
    /// Nobody knows.
    Nothing,
}

impl Told {
    pub(crate) fn of<T>(result: &Result<T, ClientError>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(ClientError::NotRunning { .. } | ClientError::Unreachable { .. }) => Self::Refused,
            Err(ClientError::Api(error)) => match error.code {
                ErrorCode::DiskFull | ErrorCode::QueueFull | ErrorCode::UnknownPeer => {
                    Self::Refused
                }
                _ => Self::Nothing,
            },
            Err(_) => Self::Nothing,
        }
    }
}

/// A message that was sent, or not.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The place of the sender.
    pub(crate) from: usize,
    /// Grows with every message of the sender, and is in its text.
    pub(crate) number: u64,
    /// None is everybody.
    pub(crate) to: Option<PeerId>,
    pub(crate) told: Told,
}

/// A message in an inbox.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) from: PeerId,
    pub(crate) number: u64,
    pub(crate) message_id: MessageId,
    /// `direct`, or the members that it came through.
    pub(crate) via: String,
    /// Whether the agent said that it left the inbox.
    pub(crate) is_taken: bool,
}

/// A value that a key of the configuration was set to; none is a key that was removed.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) by: usize,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) told: Told,
}

/// A push that was begun, or not.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    /// What it is called in its record.
    pub(crate) name: String,
    pub(crate) by: usize,
    pub(crate) to: Vec<usize>,
    /// The folder in the roots of the targets.
    pub(crate) dest: String,
    /// What the files are to hold, by name. Empty for a push that takes another one back.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The push that this one takes back.
    pub(crate) rollback_of: Option<PushId>,
    pub(crate) told: Told,
}

/// How far a newcomer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Outside,
    Member,
    Removed,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: Vec<Sent>,
    /// By the place of the reader, in the order of the inbox.
    pub(crate) read: BTreeMap<usize, Vec<Read>>,
    pub(crate) writes: Vec<Outcome>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) pushes: Vec<Pushed>,
    /// Names that a member asked for, by its place.
    pub(crate) names: BTreeMap<usize, Vec<(String, Told)>>,
    pub(crate) guests: BTreeMap<PeerId, Standing>,
    /// Requests that were not acknowledged, by what they were and how they failed.
    pub(crate) failed: BTreeMap<String, usize>,
}

impl Ledger {
    /// Counts what went wrong.
    pub(crate) fn note<T>(&mut self, what: &str, result: &Result<T, ClientError>) {
        if let Err(error) = result {
            let how = match error {
                ClientError::NotRunning { .. } => String::from("not running"),
                ClientError::Unreachable { .. } => String::from("unreachable"),
                ClientError::Lost { .. } => String::from("lost"),
                other => other.code().as_str().to_owned(),
            };
            *self.failed.entry(format!("{what}: {how}")).or_default() += 1;
        }
    }
}
