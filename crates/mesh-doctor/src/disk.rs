use std::io;
use std::path::Path;

use crate::data_dir::nearest;
use crate::{Check, Finding};

/// With less the agent soon refuses messages.
const FREE_BYTES_MIN: u64 = 100 << 20;

/// With a smaller share something is filling the disk, unless the rest is ample.
const FREE_SHARE_MIN: u64 = 100;

/// This much is ample, however large the disk.
const FREE_BYTES_AMPLE: u64 = 5 << 30;

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this user may still write.
    pub free_bytes: u64,
    /// The whole.
    pub total_bytes: u64,
}

/// Reads the room where `path` is, or where it would be made.
///
/// # Errors
/// What the system says.
pub fn read_space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(nearest(path))?;
    Ok(Space {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

/// Judges the room for the database.
#[must_use]
pub fn judge_disk(path: &Path, space: &io::Result<Space>) -> Finding {
    let shown = path.display();
    let space = match space {
        Ok(space) => space,
        Err(error) => {
            return Finding::failed(
                Check::Disk,
                format!("the room for {shown} cannot be read: {error}"),
                "look whether its file system is mounted and sound",
            );
        }
    };
    let Space { free_bytes, total_bytes } = *space;
    let is_scarce = free_bytes < total_bytes / FREE_SHARE_MIN && free_bytes < FREE_BYTES_AMPLE;
    let room = format!("{} free of {} for {shown}", bytes(free_bytes), bytes(total_bytes));
    if free_bytes < FREE_BYTES_MIN || is_scarce {
        return Finding::failed(
            Check::Disk,
            format!("the disk is full or nearly so: {room}"),
            format!(
                "make room (`df -h {shown}`, `du -xh --max-depth=2 / | sort -h | tail`), or move the data directory to a larger disk with --data-dir"
            ),
        );
    }
    Finding::good(Check::Disk, room)
}

fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        mib @ 0..10_240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn judged(free_bytes: u64, total_bytes: u64) -> Finding {
        judge_disk(Path::new("/srv/mesh"), &Ok(Space { free_bytes, total_bytes }))
    }

    #[test]
    fn a_full_disk_is_named_with_the_mend() {
        let found = judged(99 << 20, GIB);
        assert!(!found.ok);
        assert!(found.detail.contains("99 MiB free of 1024 MiB for /srv/mesh"), "{found:?}");
        assert!(found.hint.contains("df -h /srv/mesh"), "{found:?}");
    }

    #[test]
    fn less_than_a_hundredth_is_scarce_unless_it_is_ample() {
        assert!(!judged(150 << 20, 20 * GIB).ok);
        assert!(judged(150 << 20, 2 * GIB).ok);
        assert!(judged(30 * GIB, 4000 * GIB).ok);
    }

    #[test]
    fn the_room_is_read_where_a_directory_would_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let there = read_space(dir.path()).unwrap();
        let to_be = read_space(&dir.path().join("a/b")).unwrap();
        assert_eq!(there.total_bytes, to_be.total_bytes);
        assert!(there.total_bytes > 0);
    }

    #[test]
    fn what_cannot_be_read_is_a_fault() {
        let error = Err(io::Error::from(io::ErrorKind::NotFound));
        assert!(!judge_disk(Path::new("/srv"), &error).ok);
    }
}
