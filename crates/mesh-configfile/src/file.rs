use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::content::{self, FileContent, Stamp};
use crate::look::{self, Look};
use crate::place::Place;
use crate::renames::System;
use crate::shelf::Shelf;
use crate::watch::Eye;
use crate::{FileConfig, FileError};

/// So often a file is looked at that somebody keeps writing.
const READS_MAX: usize = 40;

/// One file that people and programs edit; a cheap handle.
///
/// Everything that waits for the disk runs on threads of its own, and what was begun is done, also when
/// the caller stops waiting.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    shared: Arc<Shared>,
    /// Ends the watching with the last handle.
    _gone: Arc<DropGuard>,
}

/// What the handles and the watching task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) config: FileConfig,
    pub(crate) tracker: TaskTracker,
    shelf: Shelf,
    changes: watch::Sender<u64>,
    seen: Mutex<Seen>,
    /// One writer at a time.
    writing: Mutex<()>,
}

/// What was last seen, so that nothing is announced twice.
#[derive(Debug, Default)]
struct Seen {
    /// Stayed the same for long enough.
    look: Option<Look>,
    /// None until somebody has read the file.
    content: Option<Known>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Content(Option<Stamp>),
    /// It cannot be read as it stands.
    Trouble(Look),
}

impl ConfigFile {
    /// Watches `path` from this moment on. Neither the file nor its folder has to exist.
    ///
    /// What a killed process left beside the file is removed; if it may be somebody's save that nobody
    /// has read, it is kept among the versions as `rescued-…`. The task that watches runs on `tracker`
    /// and ends with the last handle.
    ///
    /// # Errors
    /// [`FileError::Io`] when the path is empty or cannot be made absolute.
    pub async fn open(
        path: PathBuf,
        config: FileConfig,
        tracker: &TaskTracker,
    ) -> Result<Self, FileError> {
        let path = std::path::absolute(&path).map_err(|error| FileError::from_io(&path, error))?;
        let shelf = Shelf::beside(&path, config.bytes_max, config.versions_max);
        let shared = Arc::new(Shared {
            path,
            config,
            tracker: tracker.clone(),
            shelf,
            changes: watch::Sender::new(0),
            seen: Mutex::default(),
            writing: Mutex::default(),
        });
        let eye = shared
            .blocking(|shared| {
                shared.shelf.sweep();
                // Links that lead nowhere are told when the file is read.
                let swept = shared.at_place(|place| {
                    place.sweep();
                    Ok(())
                });
                swept.ok();
                let mut eye = Eye::open(&shared.path);
                eye.aim(&shared.path);
                Ok(eye)
            })
            .await?;
        let gone = CancellationToken::new();
        tracker.spawn(crate::watch::run(Arc::clone(&shared), eye, gone.clone()));
        Ok(Self { shared, _gone: Arc::new(gone.drop_guard()) })
    }

    /// Returns a counter that moves when the file may say something else than what was last read or
    /// written through a handle. Subscribe first, then read.
    ///
    /// Own writes and other people's that end in the same bytes do not move it. A change within the
    /// granularity of the file system's time stamps that keeps the length goes unnoticed where that is
    /// coarser than [`FileConfig::settle`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Returns where the file is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Reads the file once it has stayed the same for [`FileConfig::settle`].
    ///
    /// A symbolic link is followed. A program that empties the file and writes it in two steps that lie
    /// further apart than `settle`, or dies between them, leaves a file that nothing tells from one that
    /// was meant to be empty or short: it is returned as it stands.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], [`FileError::NotAFile`], [`FileError::Denied`] and
    /// [`FileError::Unsettled`]; the next change is announced.
    pub async fn read(&self) -> Result<FileContent, FileError> {
        self.shared.read().await
    }

    /// Reads the file as it stands at this moment, for whoever only compares: what is read so counts as
    /// unread, and is announced as if this had not been called.
    ///
    /// # Errors
    /// As [`ConfigFile::read`]; [`FileError::Unsettled`] when it is just being written.
    pub async fn peek(&self) -> Result<FileContent, FileError> {
        self.shared.blocking(Shared::take).await
    }

    /// Puts `bytes` in the place of what was read as `expected`, in one step; none stands for a file
    /// that was not there. Bytes that stand there already are not written again.
    ///
    /// Whoever opens the file sees the old or the new content, also after a loss of power. Permissions are
    /// kept, and the owner as far as the system permits; a group that cannot be kept loses its permissions.
    /// A symbolic link stays, and what it leads to is replaced. Other hard links keep the old content;
    /// access lists and extended attributes are not carried over.
    ///
    /// Where two files can change places in one step (Linux and macOS on their own file systems), a save in
    /// the last moment is put back. Elsewhere one that falls between the last check and the rename is
    /// replaced. A program that opened the old file for writing without emptying it, and writes only after
    /// it was replaced and checked twice, writes into a file without a name.
    ///
    /// # Errors
    /// [`FileError::Changed`] when something else stands there: it stays. [`FileError::Io`] among others where
    /// the file itself is a mount point, which cannot be renamed.
    pub async fn replace(&self, bytes: &[u8], expected: Option<Stamp>) -> Result<Stamp, FileError> {
        let bytes = bytes.to_vec();
        self.shared
            .blocking(move |shared| {
                let _writing = lock(&shared.writing);
                let stamp = shared.at_place(|place| place.replace(&bytes, expected))?;
                // The look is left open: it may be somebody else's by this time.
                *lock(&shared.seen) =
                    Seen { look: None, content: Some(Known::Content(Some(stamp))) };
                Ok(stamp)
            })
            .await
    }

    /// Keeps `bytes` as the newest version called `name`, in place of an older one of that name. The
    /// oldest beyond [`FileConfig::versions_max`] go.
    ///
    /// They lie in the folder `<file name>.versions`, open to nobody else. A process that is killed leaves
    /// the version whole or not at all.
    ///
    /// # Errors
    /// [`FileError::Name`], [`FileError::TooLarge`] and [`FileError::Full`].
    pub async fn keep_version(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let (name, bytes) = (name.to_owned(), bytes.to_vec());
        self.shared
            .blocking(move |shared| {
                let _writing = lock(&shared.writing);
                shared.shelf.keep(&name, &bytes)
            })
            .await
    }

    /// Returns the version called `name`, if it is still kept.
    ///
    /// # Errors
    /// [`FileError::Name`], and what the disk said.
    pub async fn version(&self, name: &str) -> Result<Option<Vec<u8>>, FileError> {
        let name = name.to_owned();
        self.shared.blocking(move |shared| shared.shelf.version(&name)).await
    }

    /// Returns the names of the kept versions, newest first. `rescued-…` are saves that nobody has read:
    /// something newer took their place while they were put back.
    ///
    /// # Errors
    /// What the disk said.
    pub async fn list_versions(&self) -> Result<Vec<String>, FileError> {
        self.shared.blocking(|shared| shared.shelf.names()).await
    }
}

impl Shared {
    pub(crate) async fn look(self: &Arc<Self>) -> Look {
        let look = self.blocking(|shared| Ok(Look::at(&shared.path))).await;
        look.unwrap_or(Look::Missing)
    }

    /// Tells whether `look` is another than the last that had settled.
    pub(crate) fn is_news(&self, look: &Look) -> bool {
        lock(&self.seen).look.as_ref() != Some(look)
    }

    /// Moves the counter if what stands there is not what somebody has read or written.
    pub(crate) async fn announce(self: &Arc<Self>, look: Look) {
        if self.is_news(&look) {
            // It fails when the runtime goes down.
            let compared = self.blocking(|shared| {
                shared.compare(look);
                Ok(())
            });
            compared.await.ok();
        }
    }

    fn compare(&self, look: Look) {
        // A write of our own is no news, nor is what stands there while somebody's save is put back.
        let _writing = lock(&self.writing);
        let known = match self.take() {
            Ok(content) => Known::Content(content.stamp()),
            // The next look tells.
            Err(FileError::Unsettled { .. }) => return,
            Err(_) => Known::Trouble(look.clone()),
        };
        let mut seen = lock(&self.seen);
        seen.look = Some(look);
        // Whoever has read nothing yet will find it as it stands.
        if seen.content.as_ref().is_some_and(|content| *content != known) {
            seen.content = Some(known);
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    async fn read(self: &Arc<Self>) -> Result<FileContent, FileError> {
        for _ in 0..READS_MAX {
            let look = self.look().await;
            if self.is_news(&look) {
                tokio::time::sleep(self.config.settle).await;
                if self.look().await != look {
                    continue;
                }
            }
            let (known, result) = match self.blocking(Self::take).await {
                Ok(content) => (Known::Content(content.stamp()), Ok(content)),
                Err(FileError::Unsettled { .. }) => continue,
                Err(error) => (Known::Trouble(look.clone()), Err(error)),
            };
            *lock(&self.seen) = Seen { look: Some(look), content: Some(known) };
            return result;
        }
        Err(FileError::Unsettled { path: self.path.clone() })
    }

    fn take(&self) -> Result<FileContent, FileError> {
        self.at_place(|place| content::take(place.path, self.config.bytes_max))
    }

    /// Does `work` where the path leads to by this time.
    fn at_place<T>(
        &self,
        work: impl FnOnce(Place<'_, System>) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let path =
            look::resolve(&self.path).map_err(|error| FileError::from_io(&self.path, error))?;
        work(Place {
            path: &path,
            shelf: &self.shelf,
            renames: System,
            bytes_max: self.config.bytes_max,
            mode: self.config.mode,
        })
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let shared = Arc::clone(self);
        let done = self.tracker.spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|_| Err(FileError::Stopped { path: self.path.clone() }))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
