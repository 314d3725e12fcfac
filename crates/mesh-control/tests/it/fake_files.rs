//! The pushes of the fake agent. What is pushed says what becomes of it: see [`FakeAgent::course`].

use std::ffi::OsStr;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, FilesApi, PullRequest, PushCancel, PushDecision, PushDetail, PushErrorView,
    PushEventView, PushMethodName, PushRequest, PushState, PushTargetState, PushTargetView,
    PushTestView, PushView, PushesQuery, RollbackRequest, RootView,
};
use mesh_protocol::{ErrorCode, PushId, PushReason, PushStep};
use serde::Serialize;

use super::{FakeAgent, HOSTILE, peer};

fn question(name: &str, request: &impl Serialize) -> String {
    format!("{name} {}", serde_json::to_string(request).unwrap())
}

fn push_id(number: u8) -> PushId {
    PushId::from_bytes([
        0x01, 0x97, 0xa1, 0xb2, 0xc3, 0xd4, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number,
    ])
}

fn test(exit_code: i32, output: &str) -> PushTestView {
    PushTestView {
        command: "node {file} --help".to_owned(),
        exit_code: Some(exit_code),
        signal: None,
        is_timed_out: false,
        ms: 120,
        output: output.to_owned(),
        is_cut: exit_code != 0,
    }
}

fn error(step: PushStep, reason: PushReason, detail: &str) -> PushErrorView {
    PushErrorView { step, reason, detail: detail.to_owned(), test: None }
}

fn target<'a>(push: &'a mut PushView, hostname: &str) -> &'a mut PushTargetView {
    push.targets.iter_mut().find(|target| target.hostname == hostname).unwrap()
}

impl FakeAgent {
    /// A push to mint and oak of which nothing is known yet.
    fn begun(&self, number: u8) -> PushView {
        let target = |number: u8, hostname: &str| PushTargetView {
            hostname: hostname.to_owned(),
            peer_id: peer(number),
            state: PushTargetState::Pending,
            since: self.ago(60),
            error: None,
            location: None,
            replaced: None,
            test: None,
            bytes_done: 0,
        };
        PushView {
            push_id: push_id(number),
            by: "baulder".to_owned(),
            by_peer_id: peer(1),
            is_own: true,
            at: self.ago(65),
            expires_at: self.now.plus(Duration::from_secs(7 * 86_400 - 65)),
            root: "scripts".to_owned(),
            dest: "deploy".to_owned(),
            message: "waits for the database".to_owned(),
            method: PushMethodName::Stream,
            test: Some("node {file} --help".to_owned()),
            rollback_of: None,
            state: PushState::Preparing,
            files: 0,
            bytes_total: 0,
            bytes_sent: 0,
            error: None,
            targets: vec![target(2, "mint"), target(3, "oak")],
        }
    }

    /// The same on its way.
    fn running(&self, number: u8) -> PushView {
        let mut push = self.begun(number);
        (push.state, push.files, push.bytes_total) = (PushState::Running, 3, 1_258_291);
        for target in &mut push.targets {
            target.state = PushTargetState::Receiving;
        }
        push
    }

    fn confirm(push: &mut PushView, hostname: &str) {
        let bytes = push.bytes_total;
        let target = target(push, hostname);
        target.state = PushTargetState::Confirmed;
        target.location = Some("/srv/scripts/deploy".to_owned());
        target.replaced = Some(2);
        target.test = Some(test(0, ""));
        target.bytes_done = bytes;
    }

    fn fail(push: &mut PushView, hostname: &str, error: PushErrorView) {
        let target = target(push, hostname);
        target.state = PushTargetState::Failed;
        target.error = Some(error);
    }

    /// Every view of a push that is called `name`: `secret` stops at PREPARE, `failing` fails its test at
    /// oak, `refused` is nobody's to push, `away` does not reach oak, `approve` has to be approved by oak,
    /// `endless` never ends, `changed` is a rollback that oak refuses, `rollback` one that it does not. Anything
    /// else arrives.
    fn course(&self, name: &str) -> Vec<PushView> {
        let rollback_of = matches!(name, "rollback" | "changed").then(|| push_id(7));
        let mut push = PushView { rollback_of, ..self.running(1) };
        let mut course = vec![PushView { rollback_of, ..self.begun(1) }];
        match name {
            "secret" => {
                let detail = "keys.txt line 3: github_token\nnotes.md line 1: private_key";
                let mut push = self.begun(1);
                push.state = PushState::Ended;
                let error = error(PushStep::Prepare, PushReason::SecretFound, detail);
                Self::fail(&mut push, "mint", error.clone());
                push.error = Some(error);
                course.push(push);
                return course;
            }
            "refused" => {
                for hostname in ["mint", "oak"] {
                    let reason = PushReason::SenderNotAllowed;
                    Self::fail(&mut push, hostname, error(PushStep::Push, reason, "scripts"));
                }
                push.state = PushState::Ended;
                course.push(push);
                return course;
            }
            _ => {}
        }
        target(&mut push, "mint").bytes_done = 524_288;
        course.push(push.clone());
        Self::confirm(&mut push, "mint");
        push.bytes_sent = 700_000;
        match name {
            "failing" => {
                let mut error = error(PushStep::Verify, PushReason::TestFailed, "deploy.js");
                error.test = Some(test(1, &format!("SyntaxError: {HOSTILE}\nat line 3\n")));
                Self::fail(&mut push, "oak", error);
            }
            "changed" => {
                let reason = PushReason::TargetChanged;
                Self::fail(&mut push, "oak", error(PushStep::Confirm, reason, "deploy/a.js"));
            }
            "away" => target(&mut push, "oak").state = PushTargetState::Waiting,
            "approve" => target(&mut push, "oak").state = PushTargetState::WaitingForApproval,
            "endless" => {}
            _ => Self::confirm(&mut push, "oak"),
        }
        if push.targets.iter().all(|target| target.state.is_final()) {
            course.push(push.clone());
            push.state = PushState::Ended;
        }
        course.push(push);
        course
    }

    fn listed(&self) -> Vec<PushView> {
        let last = |name: &str| self.course(name).pop().unwrap();
        let mut hostile = last("");
        hostile.push_id = push_id(4);
        hostile.by = HOSTILE.to_owned();
        hostile.is_own = false;
        hostile.message = HOSTILE.to_owned();
        hostile.root = HOSTILE.to_owned();
        for hostname in [HOSTILE, "elm"] {
            let mut more = hostile.targets.first().unwrap().clone();
            more.hostname = hostname.to_owned();
            more.state = PushTargetState::RolledBack;
            hostile.targets.push(more);
        }
        vec![
            PushView { push_id: push_id(1), ..last("failing") },
            PushView { push_id: push_id(2), ..self.begun(2) },
            PushView { push_id: push_id(3), message: String::new(), ..last("secret") },
            hostile,
        ]
    }

    fn story(&self) -> Vec<PushEventView> {
        let event =
            |seconds, step, what: &str, hostname: Option<&str>, detail: &str| PushEventView {
                at: self.ago(seconds),
                step,
                what: what.to_owned(),
                hostname: hostname.map(str::to_owned),
                detail: detail.to_owned(),
            };
        vec![
            event(65, PushStep::Prepare, "prepared", None, "3 files, 1258291 bytes"),
            event(64, PushStep::Announce, "announced", None, ""),
            event(63, PushStep::Push, "accepted", Some("mint"), ""),
            event(62, PushStep::Verify, "verified", Some("mint"), "3 files"),
            event(61, PushStep::Confirm, "confirmed", Some("mint"), "/srv/scripts/deploy"),
            event(60, PushStep::Verify, "failed", Some("oak"), HOSTILE),
        ]
    }
}

/// The push that the last file's name asks for.
fn name_of(request: &PushRequest) -> String {
    let name = request.paths.last().and_then(|path| path.file_stem());
    name.map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

fn unknown(id: &str) -> ApiError {
    let message = format!("no push begins with {id}");
    ApiError::new(ErrorCode::UnknownPush, message, mesh_control::hints::UNKNOWN_PUSH)
}

impl FilesApi for FakeAgent {
    async fn push(&self, request: PushRequest) -> Result<PushView, ApiError> {
        let begun = self.answer(question("push", &request), self.begun(1))?;
        *self.course.lock().unwrap() = name_of(&request);
        Ok(begun)
    }

    async fn pushes(&self, query: PushesQuery) -> Result<Vec<PushView>, ApiError> {
        let mut pushes = self.listed();
        pushes.truncate(usize::try_from(query.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
        self.answer(question("pushes", &query), pushes)
    }

    /// Ids that begin with `f` are nobody's.
    async fn push_detail(&self, id: String) -> Result<PushDetail, ApiError> {
        let push = self.course("failing").pop().unwrap();
        let detail =
            self.answer(format!("push_detail {id}"), PushDetail { push, events: self.story() })?;
        if id.starts_with('f') { Err(unknown(&id)) } else { Ok(detail) }
    }

    fn push_follow(&self, id: String) -> BoxStream<'static, Result<PushView, ApiError>> {
        let name = self.course.lock().unwrap().clone();
        match self.answer(format!("push_follow {id}"), self.course(&name)) {
            Ok(course) => {
                let is_over = course.last().is_some_and(|push| push.state == PushState::Ended);
                let course = stream::iter(course).map(Ok);
                if is_over { course.boxed() } else { course.chain(stream::pending()).boxed() }
            }
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn pull(&self, request: PullRequest) -> Result<PushView, ApiError> {
        self.answer(question("pull", &request), self.begun(1))
    }

    async fn push_decide(&self, request: PushDecision) -> Result<PushView, ApiError> {
        self.answer(question("push_decide", &request), self.running(1))
    }

    async fn push_cancel(&self, request: PushCancel) -> Result<PushView, ApiError> {
        self.answer(question("push_cancel", &request), self.running(1))
    }

    async fn rollback(&self, request: RollbackRequest) -> Result<PushView, ApiError> {
        let begun = PushView { rollback_of: Some(push_id(7)), ..self.begun(1) };
        *self.course.lock().unwrap() =
            if request.force { "rollback" } else { "changed" }.to_owned();
        self.answer(question("rollback", &request), begun)
    }

    async fn roots(&self) -> Result<Vec<RootView>, ApiError> {
        let root = |name: &str, path: &str, problem: Option<&str>| RootView {
            name: name.parse().unwrap(),
            path: path.into(),
            allow_from: vec!["*".to_owned()],
            test_commands: vec!["node {file} --help".to_owned()],
            require_test: false,
            approve: name == "scripts",
            problem: problem.map(str::to_owned),
        };
        let roots = vec![
            root("default", "/var/lib/mesh-agent/inbox-files", None),
            root("scripts", "/srv/scripts", Some(HOSTILE)),
        ];
        self.answer("roots".to_owned(), roots)
    }
}
