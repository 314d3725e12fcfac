use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::Target;

fn place(target: &str, is_alone: bool) -> [Option<String>; 3] {
    let target = Target::parse(OsStr::new(target)).unwrap();
    assert_eq!(target.host, "mint");
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (dest, rename) = target.place(is_alone);
    [target.root.map(|root| root.to_string()), dest.map(text), rename.map(text)]
}

fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
}

#[test]
fn one_source_takes_the_name_of_its_destination() {
    assert_eq!(place("mint:todo.txt", true), some(["", "", "todo.txt"]));
    assert_eq!(place("mint:scripts/a.js", true), some(["scripts", "", "a.js"]));
    assert_eq!(place("mint:scripts/x/y/a.js", true), some(["scripts", "x/y", "a.js"]));
}

#[test]
fn several_sources_and_a_slash_at_the_end_keep_names() {
    assert_eq!(place("mint:", true), some(["", "", ""]));
    assert_eq!(place("mint:scripts/", true), some(["scripts", "", ""]));
    assert_eq!(place("mint:scripts/x/y/", true), some(["scripts", "x/y", ""]));
    assert_eq!(place("mint:scripts/x/y", false), some(["scripts", "x/y", ""]));
    assert_eq!(place("mint:x", false), some(["", "x", ""]));
}

#[test]
fn what_leads_out_of_the_root_is_left_for_the_agent_to_refuse() {
    assert_eq!(place("mint:scripts/..", true), some(["scripts", "..", ""]));
    assert_eq!(place("mint:scripts/../x", true), some(["scripts", "..", "x"]));
    assert_eq!(place("mint:scripts//etc/x", true), some(["scripts", "/etc", "x"]));
}

#[test]
fn a_destination_names_a_machine_and_a_root() {
    for target in ["mint", "", ":a", "mint:/etc/passwd", "mint:../a", "mint:A B/c"] {
        let parsed = Target::parse(OsStr::new(target));
        assert!(parsed.is_err(), "{target}: {parsed:?}");
    }
    let target = Target::parse(OsStr::from_bytes(b"mint:scripts/a\xff")).unwrap();
    assert_eq!(target.place(true).1.unwrap().as_os_str().as_bytes(), b"a\xff");
}
