//! VERIFY: everything is there, and the test says yes.

use mesh_protocol::{PushReason, PushStep, TestEnd, TestOutcome, Verification};
use mesh_tree::{Staging, TreeError};

use super::failure::Failure;
use super::manifest::{Entry, each_entry, looks_same};
use super::test_command::TestRunner;
use super::work::Task;
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::roots::{OpenRoot, refuses};

const STEP: PushStep = PushStep::Verify;

fn failed(error: TreeError) -> Failure {
    Failure::tree(STEP, &error)
}

/// Checks that every file was compared with its digests, and runs the test.
pub(super) fn verify(task: &Task) -> Result<Verification, Failure> {
    let open = task.root(STEP)?;
    let offer = &task.offer;
    let staging = Staging::open(&open.root, offer.push_id).map_err(failed)?;
    let pages = ManifestFile::open(&task.data_dir(), offer.push_id);
    let pages = pages.map_err(|error| Failure::pages(STEP, &error))?;
    let mut root = open.root.reader();
    each_entry(&pages, offer, STEP, |entry| {
        let Entry::File(number, file, _) = entry else { return Ok(()) };
        if staging.is_finished(number) || looks_same(&mut root, &file).map_err(failed)? {
            return Ok(());
        }
        Err(failed(TreeError::Changed { path: file.path.to_string() }))
    })?;
    let test = match &offer.test {
        Some(command) => Some(test(task, &open, &staging, &pages, command)?),
        None => None,
    };
    Ok(Verification { files: offer.totals.files, bytes: offer.totals.bytes, test })
}

fn test(
    task: &Task,
    open: &OpenRoot,
    staging: &Staging,
    pages: &ManifestFile,
    command: &str,
) -> Result<TestOutcome, Failure> {
    let offer = &task.offer;
    let mut view = staging.view().map_err(failed)?;
    each_entry(pages, offer, STEP, |entry| {
        match entry {
            Entry::Folder(folder) => view.add_folder(&folder),
            Entry::Link(link) => view.add_link(&link),
            Entry::File(number, file, _) => view.add_file(number, &file),
        }
        .map_err(failed)
    })?;
    let tasks = &task.shared.tasks;
    let limit = open.settings.test_timeout;
    view.check_place().map_err(failed)?;
    let push_id = offer.push_id;
    let mut runner =
        TestRunner::new(command, view.path(), push_id, limit, tasks.shutdown().clone());
    let runtime = tokio::runtime::Handle::current();
    let mut end = TestEnd::Exit(0);
    if runner.wants_files() {
        each_entry(pages, offer, STEP, |entry| {
            let Entry::File(_, file, _) = entry else { return Ok(()) };
            if end == TestEnd::Exit(0) {
                let ran = runtime.block_on(runner.run(&view.path_of(&file.path)));
                end = ran.ok_or(Failure::Paused)?;
            }
            Ok(())
        })?;
    } else {
        end = runtime.block_on(runner.run(view.path())).ok_or(Failure::Paused)?;
    }
    let outcome = runner.outcome(end);
    view.remove().map_err(failed)?;
    if !outcome.is_passed() {
        return Err(said_no(outcome));
    }
    // A test that writes to what is staged does not decide what is put in place.
    each_entry(pages, offer, STEP, |entry| match entry {
        Entry::File(number, file, digests) => {
            staging.check(number, &file, &digests).map_err(failed)
        }
        Entry::Folder(_) | Entry::Link(_) => Ok(()),
    })?;
    Ok(outcome)
}

fn said_no(outcome: TestOutcome) -> Failure {
    let (reason, detail) = match outcome.end {
        TestEnd::Exit(code) => (PushReason::TestFailed, format!("the test returned {code}")),
        TestEnd::Signal(signal) => {
            (PushReason::TestFailed, format!("signal {signal} ended the test"))
        }
        TestEnd::TimedOut => {
            (PushReason::TestTimedOut, format!("the test was ended after {} ms", outcome.millis))
        }
        TestEnd::NotStarted => (PushReason::TestFailed, "the test could not be started".to_owned()),
    };
    let mut problem = refuses(STEP, reason, detail);
    problem.test = Some(outcome);
    Failure::Problem(problem)
}
