use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Place;
use crate::FileError;
use crate::content::Stamp;
use crate::renames::{Renames, System};
use crate::shelf::Shelf;

const MAX: usize = 1000;

/// The system, with somebody else at work around each exchange.
struct Gap<F> {
    exchanges: Cell<u32>,
    act: F,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl<F: Fn(u32, Side)> Renames for Gap<F> {
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.exchanges.set(self.exchanges.get() + 1);
        (self.act)(self.exchanges.get(), Side::Before);
        let done = System.exchange(one, other);
        (self.act)(self.exchanges.get(), Side::After);
        done
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        System.rename_new(from, to)
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        System.rename_over(from, to)
    }
}

/// A file system on which two files cannot change places.
struct Plain;

impl Renames for Plain {
    fn exchange(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::InvalidInput.into())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        System.rename_new(from, to)
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        System.rename_over(from, to)
    }
}

struct Home {
    folder: TempDir,
    file: PathBuf,
    shelf: Shelf,
}

impl Home {
    fn with_old() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.json");
        fs::write(&file, "old").unwrap();
        let shelf = Shelf::beside(&file, MAX, 20);
        Self { folder, file, shelf }
    }

    fn place<R: Renames>(&self, renames: R) -> Place<'_, R> {
        Place { path: &self.file, shelf: &self.shelf, renames, bytes_max: MAX, mode: 0o600 }
    }

    /// Replaces "old" by "ours" while `act` does what somebody else does.
    fn replace(&self, act: impl Fn(u32, Side)) -> Result<Stamp, FileError> {
        let gap = Gap { exchanges: Cell::new(0), act };
        self.place(gap).replace(b"ours", Some(Stamp::of(b"old")))
    }

    /// Saves as an editor does that writes a new file and renames it.
    fn save(&self, text: &str) {
        let new = self.folder.path().join("editor");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// What lies beside the file, apart from the versions.
    fn beside(&self) -> Vec<String> {
        fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "c.json" && name != "c.json.versions")
            .collect()
    }

    fn rescued(&self) -> Vec<String> {
        let names = self.shelf.names().unwrap();
        names
            .iter()
            .map(|name| String::from_utf8(self.shelf.version(name).unwrap().unwrap()).unwrap())
            .collect()
    }
}

fn is_changed(result: &Result<Stamp, FileError>) -> bool {
    matches!(result, Err(FileError::Changed { .. }))
}

#[test]
fn a_file_that_nobody_touches_is_replaced_and_nothing_is_left_beside_it() {
    let home = Home::with_old();
    assert_eq!(home.replace(|_, _| {}).unwrap(), Stamp::of(b"ours"));
    assert_eq!(home.text(), "ours");
    assert_eq!(home.beside(), Vec::<String>::new());
    assert_eq!(home.rescued(), Vec::<String>::new());
}

#[test]
fn a_save_by_renaming_in_the_last_moment_is_put_back() {
    let home = Home::with_old();
    let result = home.replace(|exchange, side| {
        if (exchange, side) == (1, Side::Before) {
            home.save("theirs");
        }
    });
    assert!(is_changed(&result), "{result:?}");
    assert_eq!(home.text(), "theirs");
    assert_eq!(home.beside(), Vec::<String>::new());
    assert_eq!(home.rescued(), Vec::<String>::new());
}

#[test]
fn a_program_that_has_emptied_the_file_writes_the_rest_into_its_place() {
    let home = Home::with_old();
    let writer = Cell::new(None);
    let result = home.replace(|exchange, side| {
        if (exchange, side) == (1, Side::Before) {
            let mut file = fs::File::create(&home.file).unwrap();
            file.write_all(b"the").unwrap();
            writer.set(Some(file));
        }
    });
    assert!(is_changed(&result), "{result:?}");
    writer.take().unwrap().write_all(b"irs").unwrap();
    assert_eq!(home.text(), "theirs");
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn a_program_that_had_opened_the_file_and_writes_late_is_seen() {
    let home = Home::with_old();
    let file = OpenOptions::new().append(true).open(&home.file).unwrap();
    let result = home.replace(|exchange, side| {
        if (exchange, side) == (1, Side::After) {
            (&file).write_all(b" and more").unwrap();
        }
    });
    assert!(is_changed(&result), "{result:?}");
    assert_eq!(home.text(), "old and more");
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn a_deletion_in_the_last_moment_stays_one() {
    let home = Home::with_old();
    let result = home.replace(|exchange, side| {
        if (exchange, side) == (1, Side::Before) {
            fs::remove_file(&home.file).unwrap();
        }
    });
    assert!(is_changed(&result), "{result:?}");
    assert!(!home.file.exists());
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn a_folder_that_takes_the_place_in_the_last_moment_is_put_back() {
    let home = Home::with_old();
    let result = home.replace(|exchange, side| {
        if (exchange, side) == (1, Side::Before) {
            fs::remove_file(&home.file).unwrap();
            fs::create_dir(&home.file).unwrap();
            fs::write(home.file.join("inside"), "theirs").unwrap();
        }
    });
    assert!(is_changed(&result), "{result:?}");
    assert_eq!(fs::read_to_string(home.file.join("inside")).unwrap(), "theirs");
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn of_two_saves_in_the_gaps_the_newer_one_stands_and_the_other_is_kept() {
    let home = Home::with_old();
    let result = home.replace(|exchange, side| {
        if side == Side::Before && exchange <= 2 {
            home.save(["first", "second"][exchange as usize - 1]);
        }
    });
    assert!(is_changed(&result), "{result:?}");
    assert_eq!(home.text(), "second");
    assert_eq!(home.rescued(), ["first"]);
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn somebody_who_saves_without_end_cannot_keep_us_and_the_last_unread_save_is_kept() {
    let home = Home::with_old();
    let last = Cell::new(0);
    let result = home.replace(|exchange, side| {
        if side == Side::Before {
            last.set(exchange);
            home.save(&format!("save {exchange}"));
        }
    });
    assert!(is_changed(&result), "{result:?}");
    let mut found = home.rescued();
    found.push(home.text());
    assert!(found.contains(&format!("save {}", last.get())), "{found:?}");
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn a_save_goes_back_also_where_our_own_content_was_renamed_away() {
    let home = Home::with_old();
    let result = home.replace(|exchange, side| match (exchange, side) {
        (1, Side::Before) => home.save("theirs"),
        (2, Side::Before) => {
            fs::rename(&home.file, home.folder.path().join("backup")).unwrap();
        }
        _ => {}
    });
    assert!(is_changed(&result), "{result:?}");
    assert_eq!(home.text(), "theirs");
    assert_eq!(home.beside(), ["backup"]);
}

#[test]
fn a_file_created_in_the_last_moment_is_not_replaced_by_a_first_one() {
    let home = Home::with_old();
    let result = home.place(System).replace(b"ours", None);
    assert!(is_changed(&result), "{result:?}");
    assert_eq!(home.text(), "old");
    let new = home.place(System).write(b"ours", None).unwrap();
    assert!(matches!(home.place(System).create(new), Err(FileError::Changed { .. })));
    assert_eq!(home.text(), "old");
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn where_two_files_cannot_change_places_the_check_is_all_there_is() {
    let home = Home::with_old();
    let place = home.place(Plain);
    assert!(is_changed(&place.replace(b"ours", Some(Stamp::of(b"other")))));
    assert_eq!(home.text(), "old");
    place.replace(b"ours", Some(Stamp::of(b"old"))).unwrap();
    assert_eq!(home.text(), "ours");
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[test]
fn what_a_killed_process_left_is_removed_unless_it_may_be_a_save() {
    let home = Home::with_old();
    home.shelf.keep("0123456789abcdef", b"kept").unwrap();
    for (name, text) in [
        (".c.json.a.tmp", "half of ou"),
        (".c.json.b.swap", "old"),
        (".c.json.c.swap", "kept"),
        (".c.json.d.swap", "nobody has read this"),
        (".other.json.a.tmp", "another file's"),
    ] {
        fs::write(home.folder.path().join(name), text).unwrap();
    }
    home.place(System).sweep();
    assert_eq!(home.beside(), [".other.json.a.tmp"]);
    assert_eq!(home.rescued(), ["nobody has read this", "kept"]);
    assert_eq!(home.text(), "old");
}

#[test]
fn a_rescued_save_reaches_versions_on_another_file_system() {
    let Ok(away) = tempfile::tempdir_in("/dev/shm") else { return };
    let mut home = Home::with_old();
    home.shelf = Shelf::beside(&away.path().join("c.json"), MAX, 20);
    fs::write(home.folder.path().join(".c.json.a.swap"), "nobody has read this").unwrap();
    home.place(System).sweep();
    assert_eq!(home.rescued(), ["nobody has read this"]);
    assert_eq!(home.beside(), Vec::<String>::new());
}
