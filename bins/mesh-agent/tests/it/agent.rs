//! An agent as a process, and the one place in these tests that waits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_control::{
    ApiError, ControlClient, DeliveryState, InboxQuery, InboxView, JoinProgress, JoinRequestBody,
    MemberStatus, PeerView, RemoveRequest, SendReply, SendRequest, StatusView, TokenCreate,
};
use mesh_crypto::{JoinToken, KeyFile};
use mesh_protocol::{MessageId, PeerId};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// What the mesh promises for news: everywhere within two seconds.
pub(crate) const NEWS: Duration = Duration::from_secs(2);

/// What has no promise of its own; a busy machine with two cores gets there too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A start on a machine on which many agents run at once.
const START: Duration = Duration::from_secs(90);

/// How often it is looked at.
const PACE: Duration = Duration::from_millis(10);

/// Lines of a log that are shown when a test failed.
const TAIL_LINES: usize = 60;

/// Looks again and again until `attempt` finds something; fails the test when it does not in time.
pub(crate) async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Option<T>,
) -> T {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            pace.tick().await;
            if let Some(found) = attempt().await {
                return found;
            }
        }
    };
    match timeout(deadline, looking).await {
        Ok(found) => found,
        Err(_) => panic!("within {deadline:?} it did not come true that {what}"),
    }
}

/// Waits for `future`, but not for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// A port of this machine that is free. Not one of those that the system hands out by itself: an
/// agent that is killed must find its port free when it comes back.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_process = std::process::id().wrapping_mul(97) % 20_000;
    for _ in 0..20_000 {
        let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(12_000 + (of_process + number) % 20_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// What an agent is started with beside its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// Whether it asks Tailscale. What runs on the machine of the tests is none of their business.
    pub(crate) asks_tailscale: bool,
    /// Arguments behind the usual ones.
    pub(crate) arguments: Vec<String>,
    /// What is in its environment beside what is in that of the tests.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// The network namespace that it runs in, where it listens on all addresses; none for loopback.
    pub(crate) namespace: Option<String>,
}

impl Extra {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { arguments, ..Self::default() }
    }

    fn ip(&self) -> Ipv4Addr {
        if self.namespace.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }
    }
}

/// An agent of a test. Killed when it goes out of scope; its log is shown when the test failed.
pub(crate) struct Agent {
    name: String,
    data_dir: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    extra: Extra,
    client: ControlClient,
    child: Option<Child>,
    starts: usize,
}

impl Agent {
    /// Starts an agent with a data directory of its own in `dir`, and waits until it is ready.
    pub(crate) async fn start(dir: &Path, name: &str) -> Self {
        Self::start_with(dir, name, Extra::default()).await
    }

    pub(crate) async fn start_with(dir: &Path, name: &str, extra: Extra) -> Self {
        Self::start_at(dir, name, free_port(), extra).await
    }

    pub(crate) async fn start_at(dir: &Path, name: &str, port: u16, extra: Extra) -> Self {
        let data_dir = dir.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir).unwrap();
        let mut agent = Self {
            name: name.to_owned(),
            log: dir.join(format!("{name}.log")),
            address: (extra.ip(), port).into(),
            extra,
            client: ControlClient::new(data_dir.join("control.sock")),
            data_dir,
            child: None,
            starts: 0,
        };
        agent.restart().await;
        agent
    }

    /// The command that runs this agent; `name` is its hostname at the first start.
    pub(crate) fn command(&self) -> Command {
        let mut command = match &self.extra.namespace {
            Some(namespace) => bare(in_namespace(namespace)),
            None => bare_command(),
        };
        command
            .args(["--hostname", &self.name, "--listen", &self.address.to_string()])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--socket")
            .arg(self.client.path())
            .args(&self.extra.arguments)
            .envs(self.extra.environment.iter().cloned());
        if !self.extra.asks_tailscale {
            command.arg("--no-tailscale");
        }
        command
    }

    /// Starts the process on the same data directory and port as before.
    pub(crate) async fn restart(&mut self) {
        self.spawn();
        self.ready().await;
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        self.starts += 1;
    }

    async fn ready(&mut self) {
        let Self { child, log, starts, name, .. } = self;
        let child = child.as_mut().unwrap();
        eventually(START, &format!("{name} is ready"), async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{name} ended at its start: {status}");
            }
            (ready_lines(log) == *starts).then_some(())
        })
        .await;
    }

    pub(crate) fn client(&self) -> &ControlClient {
        &self.client
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// How often it was started.
    pub(crate) const fn starts(&self) -> usize {
        self.starts
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It is to listen elsewhere from its next start on.
    pub(crate) fn move_to(&mut self, port: u16) {
        self.address.set_port(port);
    }

    /// It is to have these arguments as well from its next start on.
    pub(crate) fn add_arguments(&mut self, arguments: &[&str]) {
        self.extra.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// It is to ask Tailscale from its next start on.
    pub(crate) fn ask_tailscale(&mut self) {
        self.extra.asks_tailscale = true;
    }

    /// Everything it wrote to standard output and error.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// The keys in its data directory.
    pub(crate) fn keys(&self) -> KeyFile {
        KeyFile::parse(&fs::read_to_string(self.data_dir.join("node.key")).unwrap()).unwrap()
    }

    pub(crate) fn peer_id(&self) -> PeerId {
        self.keys().node_key.peer_id()
    }

    /// Ends it as a power cut does: it can neither write nor say anything any more.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.terminate_within(Duration::from_secs(5)).await
    }

    pub(crate) async fn terminate_within(&mut self, deadline: Duration) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let mut child = self.child.take().expect("it runs");
        let stops = "SIGTERM stops the agent";
        eventually(deadline, stops, async || child.try_wait().unwrap()).await
    }

    pub(crate) async fn status(&self) -> StatusView {
        self.client.status().await.unwrap()
    }

    /// A new join token of this agent, as text.
    pub(crate) async fn token(&self) -> String {
        self.client.token_create(&TokenCreate::default()).await.unwrap().token
    }

    /// A new join token of this agent, read.
    pub(crate) async fn parsed_token(&self) -> JoinToken {
        JoinToken::parse(&self.token().await).unwrap()
    }

    /// Joins with a token; the members as this agent sees them then.
    pub(crate) async fn join(&self, token: &str) -> Result<Vec<PeerView>, ApiError> {
        let request = JoinRequestBody { token: token.to_owned() };
        let mut progress = within(self.client.join(&request)).await.unwrap();
        while let Some(step) = within(progress.next()).await {
            match step.unwrap() {
                JoinProgress::Step { .. } => {}
                JoinProgress::Done { peers, .. } => return Ok(peers),
                JoinProgress::Failed { error } => return Err(error),
            }
        }
        panic!("the join ended without a result");
    }

    /// The code that a join fails with.
    pub(crate) async fn join_error(&self, token: &str) -> mesh_protocol::ErrorCode {
        self.join(token).await.expect_err("the join is refused").code
    }

    pub(crate) async fn peers(&self) -> Vec<PeerView> {
        self.client.peers().await.unwrap()
    }

    /// Every member with whether it is linked, as this agent sees it.
    pub(crate) async fn members(&self) -> BTreeMap<String, bool> {
        let peers = self.peers().await.into_iter();
        peers.map(|peer| (peer.hostname, peer.status == MemberStatus::Active)).collect()
    }

    /// Whether this agent has exactly these members, all of them linked.
    pub(crate) async fn is_linked_with(&self, names: &[&str]) -> bool {
        let members = self.members().await;
        members.len() == names.len()
            && names.iter().all(|name| members.get(*name).copied().unwrap_or(false))
    }

    pub(crate) async fn remove(&self, name: &str) {
        let request = RemoveRequest { host: name.to_owned(), reason: String::from("a test") };
        self.client.peer_remove(&request).await.unwrap();
    }

    /// Sends a text and waits until it is acknowledged.
    pub(crate) async fn send_acked(&self, to: &str, text: &str) -> SendReply {
        let request = SendRequest { wait_seconds: Some(10), ..text_message(to, text) };
        let reply = self.client.send(&request).await.unwrap();
        let states: Vec<DeliveryState> =
            reply.deliveries.iter().map(|delivery| delivery.state).collect();
        assert_eq!(states, [DeliveryState::Acked], "{reply:?}");
        reply
    }

    /// What is in the inbox.
    pub(crate) async fn inbox(&self) -> Vec<InboxView> {
        let query = InboxQuery { limit: Some(10_000), ..InboxQuery::default() };
        self.client.inbox(&query).await.unwrap()
    }

    /// Takes everything out of the inbox, oldest first.
    pub(crate) async fn empty_inbox(&self) -> Vec<InboxView> {
        let query = InboxQuery { limit: Some(3000), ..InboxQuery::default() };
        let mut taken = Vec::new();
        loop {
            let part = self.client.inbox(&query).await.unwrap();
            if part.is_empty() {
                return taken;
            }
            let ids: Vec<MessageId> = part.iter().map(|message| message.message_id).collect();
            let acked = self.client.inbox_ack(ids).await.unwrap().acked;
            assert_eq!(acked, part.len() as u64);
            taken.extend(part);
        }
    }

    /// The texts in the inbox, oldest first.
    pub(crate) async fn texts(&self) -> Vec<String> {
        self.inbox().await.iter().map(|message| text_of(&message.data)).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!("--- the end of {}'s log\n{}", self.name, tail.join("\n"));
        }
    }
}

/// How often the agent said that it is ready: whole lines only.
fn ready_lines(log: &Path) -> usize {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines = log.split_inclusive('\n');
    lines.filter(|line| line.starts_with("ready ") && line.ends_with('\n')).count()
}

/// The agent's program, with nothing of this process' settings.
pub(crate) fn bare_command() -> Command {
    bare(Command::new(env!("CARGO_BIN_EXE_mesh-agent")))
}

/// The agent's program in a network namespace. `ip` becomes the program, so its process is the agent's.
fn in_namespace(namespace: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_mesh-agent")]);
    command
}

fn bare(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MESH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG");
    command
}

/// A message that the tests can tell apart.
pub(crate) fn text_message(to: &str, text: &str) -> SendRequest {
    SendRequest {
        to: Some(to.to_owned()),
        app_type: String::from("text"),
        data: json!({ "text": text }),
        ..SendRequest::default()
    }
}

pub(crate) fn text_of(data: &Value) -> String {
    data["text"].as_str().unwrap_or_default().to_owned()
}

/// Agents that are members of one mesh and linked with each other; the first one founded it.
pub(crate) async fn mesh<const N: usize>(dir: &Path, names: [&str; N]) -> [Agent; N] {
    let mut agents = Vec::with_capacity(N);
    for name in names {
        let agent = Agent::start(dir, name).await;
        if let Some(founder) = agents.first() {
            let token = Agent::token(founder).await;
            agent.join(&token).await.unwrap();
        }
        agents.push(agent);
    }
    let agents: [Agent; N] = agents.try_into().unwrap_or_else(|_| unreachable!("one per name"));
    linked(&agents.each_ref()).await;
    agents
}

/// Waits until each of `agents` has exactly the others as members, and a link with each.
pub(crate) async fn linked(agents: &[&Agent]) {
    let names: Vec<&str> = agents.iter().map(|agent| agent.name()).collect();
    for agent in agents {
        let what = format!("{} is linked with all of {names:?}", agent.name());
        eventually(PATIENCE, &what, async || agent.is_linked_with(&names).await.then_some(()))
            .await;
    }
}
