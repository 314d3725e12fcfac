//! Every input that is kept is read again, as the fuzzers read it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do: loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use mesh_fuzz::TARGETS;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/fuzz")
}

/// The inputs of a target, by their names.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder().join(target)).unwrap();
    let read = files.map(|file| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
    });
    read.collect()
}

#[test]
fn every_target_has_inputs_and_every_input_a_target() {
    let named: BTreeSet<String> = TARGETS.map(|(name, _)| name.to_owned()).into();
    let folders = fs::read_dir(folder()).unwrap();
    let found = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), named);
    for (name, _) in TARGETS {
        assert!(inputs(name).len() >= 20, "{name} has next to nothing to start from");
    }
}

/// One test each, so that they run side by side.
macro_rules! targets {
    ($($test:ident: $target:ident,)*) => {$(
        #[test]
        fn $test() {
            for (name, bytes) in inputs(stringify!($target)) {
                println!("{name}");
                mesh_fuzz::$target(&bytes);
            }
        }
    )*};
}

targets! {
    what_was_found_for_delivery_holds: delivery,
    what_was_found_for_files_holds: files,
    what_was_found_for_membership_holds: membership,
    what_was_found_for_sync_holds: sync,
    what_was_found_for_text_holds: text,
    what_was_found_for_wire_holds: wire,
}
