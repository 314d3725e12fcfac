//! A thread that makes what was written survive a loss of power, while more is written.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use mesh_protocol::{PushReason, PushStep};
use mesh_tree::Staging;

use super::failure::Failure;

/// What is written between two moments at which everything survives; as much again may be written meanwhile.
const SYNC_BYTES: u64 = 64 << 20;
/// With so much left at the end, the disk has something to do while files are compared.
const LEFT_BYTES_MIN: u64 = 8 << 20;

pub(super) struct Syncer<'scope> {
    sender: Option<SyncSender<()>>,
    thread: Option<ScopedJoinHandle<'scope, Result<(), Failure>>>,
    unsynced: u64,
}

impl<'scope> Syncer<'scope> {
    pub(super) fn start(scope: &'scope Scope<'scope, '_>, staging: Staging) -> Self {
        // Nothing waits in between: whoever comes while the thread is busy waits for it.
        let (sender, receiver) = sync_channel(0);
        let thread = scope.spawn(move || run(&staging, &receiver));
        Self { sender: Some(sender), thread: Some(thread), unsynced: 0 }
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: u64) -> Result<(), Failure> {
        self.unsynced = self.unsynced.saturating_add(bytes);
        if self.unsynced >= SYNC_BYTES { self.begin() } else { Ok(()) }
    }

    /// Nothing more is written. What was written is on its way to the disk, if it is much.
    pub(super) fn last(&mut self) -> Result<(), Failure> {
        if self.unsynced >= LEFT_BYTES_MIN { self.begin() } else { Ok(()) }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.unsynced = 0;
        let is_begun = self.sender.as_ref().is_some_and(|sender| sender.send(()).is_ok());
        if is_begun { Ok(()) } else { self.end() }
    }

    /// Waits for what was begun.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.sender = None;
        let Some(thread) = self.thread.take() else { return Err(Failure::Paused) };
        thread.join().unwrap_or_else(|_| {
            let detail = "writing to the disk ended early";
            Err(Failure::new(PushStep::Push, PushReason::Internal, detail))
        })
    }
}

fn run(staging: &Staging, wishes: &Receiver<()>) -> Result<(), Failure> {
    for () in wishes {
        staging.sync().map_err(|error| Failure::tree(PushStep::Push, &error))?;
    }
    Ok(())
}
