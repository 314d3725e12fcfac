use std::os::unix::fs::PermissionsExt as _;

use super::*;

const PUSH: PushId = PushId::from_bytes([7; 16]);

fn with_pages(dir: &Path, pages: &[&[u8]]) -> ManifestFile {
    let mut file = ManifestFile::create(dir, PUSH).unwrap();
    for page in pages {
        file.append(page_id(page), page).unwrap();
    }
    file.sync().unwrap();
    file
}

#[test]
fn pages_are_found_by_number_and_by_name_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let pages: [&[u8]; 4] = [b"one", b"two", b"one", b"three"];
    let written = with_pages(dir.path(), &pages);
    let opened = ManifestFile::open(dir.path(), PUSH).unwrap();
    for file in [&written, &opened] {
        assert_eq!(file.len(), 4);
        assert!(file.ids().eq(pages.iter().map(|page| page_id(page))));
        for (number, page) in pages.iter().enumerate() {
            assert_eq!(file.read(number).unwrap(), *page);
        }
        assert_eq!(file.find(&page_id(b"one")), Some(0));
        assert_eq!(file.find(&page_id(b"three")), Some(3));
        assert_eq!(file.find(&page_id(b"four")), None);
        assert_eq!(file.read(4).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

#[test]
fn only_the_owner_can_read_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let _file = with_pages(dir.path(), &[b"one"]);
    let path = ManifestFile::path(dir.path(), PUSH);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[test]
fn a_torn_end_is_cut_wherever_it_was_torn_and_pages_are_added_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = ManifestFile::path(dir.path(), PUSH);
    drop(with_pages(dir.path(), &[b"one", b"two"]));
    let whole = std::fs::read(&path).unwrap();
    let first = whole.len() / 2;
    for end in first..whole.len() {
        std::fs::write(&path, &whole[..end]).unwrap();
        let mut file = ManifestFile::open(dir.path(), PUSH).unwrap();
        assert_eq!(file.len(), 1, "torn at {end}");
        file.append(page_id(b"new"), b"new").unwrap();
        let file = ManifestFile::open(dir.path(), PUSH).unwrap();
        assert_eq!(file.read(1).unwrap(), b"new");
    }
}

#[test]
fn an_end_whose_bytes_never_reached_the_disk_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = ManifestFile::path(dir.path(), PUSH);
    drop(with_pages(dir.path(), &[b"one", b"two"]));
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() = 0;
    bytes.extend([0; 100]);
    std::fs::write(&path, &bytes).unwrap();
    let file = ManifestFile::open(dir.path(), PUSH).unwrap();
    assert!(file.ids().eq([page_id(b"one")]));
    assert_eq!(file.find(&page_id(b"two")), None);
}

#[test]
fn a_page_that_is_not_what_its_name_says_is_not_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = ManifestFile::path(dir.path(), PUSH);
    drop(with_pages(dir.path(), &[b"one", b"two"]));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEAD_BYTES] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let file = ManifestFile::open(dir.path(), PUSH).unwrap();
    assert_eq!(file.read(0).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(file.read(1).unwrap(), b"two");
}

#[test]
fn a_push_that_was_removed_has_no_pages_and_a_new_start_has_none() {
    let dir = tempfile::tempdir().unwrap();
    drop(with_pages(dir.path(), &[b"one"]));
    assert_eq!(ManifestFile::open_or_create(dir.path(), PUSH).unwrap().len(), 1);
    assert_eq!(ManifestFile::create(dir.path(), PUSH).unwrap().len(), 0);
    assert_eq!(ManifestFile::open(dir.path(), PUSH).unwrap().len(), 0);
    ManifestFile::remove(dir.path(), PUSH).unwrap();
    ManifestFile::remove(dir.path(), PUSH).unwrap();
    let gone = ManifestFile::open(dir.path(), PUSH).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_page_of_no_size_or_too_large_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = ManifestFile::create(dir.path(), PUSH).unwrap();
    for page in [vec![], vec![1; PAGE_BYTES_MAX + 1]] {
        file.append(page_id(&page), &page).unwrap_err();
    }
    assert_eq!(file.len(), 0);
}
