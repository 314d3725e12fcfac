//! Brings this node and the members in step: at once when asked to, and every half minute by itself.

mod records;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use mesh_control::{SyncReply, SyncStep, SyncStepView, TableSyncView};
use mesh_protocol::PeerId;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::records::RecordsSource;
use crate::error::NodeError;
use crate::link::LinkEntry;
use crate::shared::Shared;
use crate::tables::TablesSource;

/// How often each pair of linked members compares.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// How long members without a link may take to become linked.
const DIAL_WAIT: Duration = Duration::from_secs(3);

/// Members that are dialled at a time.
const DIALS_AT_ONCE: usize = 32;

/// The steps of a sync.
const STEPS: u8 = 3;

/// What came of bringing one source in step with some members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncFound {
    /// Members that were asked and answered.
    pub(crate) compared: usize,
    /// Members that were not asked, because they have the same.
    pub(crate) in_step: usize,
    /// Members that were asked and did not answer in time.
    pub(crate) silent: usize,
    /// Changes that this node lacked.
    pub(crate) received: u64,
    /// Changes that the members lacked.
    pub(crate) sent: u64,
    /// What was wrong in this node's own database and is right again.
    pub(crate) repaired: u64,
    /// The replicated tables that were compared by digest.
    pub(crate) tables: Vec<TableSyncView>,
}

/// Something that the members keep in step, such as the membership records.
pub(crate) trait SyncSource: Send + Sync {
    /// What it is, for people.
    fn name(&self) -> &'static str;

    /// Compares with each of `peers` and exchanges what either side lacks. Without `force`, members that
    /// have the same as far as this node knows are not asked; with it all of them are, and what this node
    /// has on disk is checked and put right first.
    fn sync<'a>(
        &'a self,
        peers: &'a [Arc<LinkEntry>],
        force: bool,
    ) -> BoxFuture<'a, Result<SyncFound, NodeError>>;

    /// Starts a comparison with one member if its queue has room, and does not wait for the outcome.
    fn begin(&self, peer: &LinkEntry);
}

/// Everything that is kept in step. A new kind of shared data is one more entry.
fn sources(shared: &Arc<Shared>) -> Vec<Box<dyn SyncSource>> {
    vec![
        Box::new(RecordsSource::new(Arc::clone(shared))),
        Box::new(TablesSource::new(Arc::clone(shared))),
    ]
}

impl Shared {
    /// Compares with every linked member now and then, so that what a full queue or a crash swallowed is
    /// found. One side of each link begins: the one that dialled.
    pub(crate) async fn keep_in_step(self: Arc<Self>) {
        let sources = sources(&self);
        let mut ticks = interval(COMPARE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once, and every link compares when it comes up.
        let _at_once = ticks.tick().await;
        loop {
            let _tick = ticks.tick().await;
            let links: Vec<Arc<LinkEntry>> = self.links().values().cloned().collect();
            for entry in links.iter().filter(|entry| entry.is_dialled()) {
                sources.iter().for_each(|source| source.begin(entry));
            }
        }
    }

    /// Brings this node and the members in step at once; `tell` hears of each step when it is done.
    pub(crate) async fn sync_now(
        self: &Arc<Self>,
        force: bool,
        tell: &(dyn Fn(SyncStepView) + Send + Sync),
    ) -> Result<SyncReply, NodeError> {
        self.view().check_member()?;
        let mut reply = SyncReply {
            peers_contacted: 0,
            peers_added: 0,
            changes_received: 0,
            changes_sent: 0,
            steps: Vec::new(),
            tables: Vec::new(),
        };
        let done = |reply: &mut SyncReply, step: SyncStep, number: u8, detail: String| {
            let view = SyncStepView { step, number, total: STEPS, detail };
            tell(view.clone());
            reply.steps.push(view);
        };
        let detail = self.sync_host_info().await?;
        done(&mut reply, SyncStep::HostInfo, 1, detail);
        let detail = self.sync_data(force, &mut reply).await?;
        done(&mut reply, SyncStep::EncryptedData, 2, detail);
        let detail = self.sync_peers(&mut reply).await;
        done(&mut reply, SyncStep::MeshPeers, 3, detail);
        Ok(reply)
    }

    /// Makes what this node says of itself true again.
    async fn sync_host_info(self: &Arc<Self>) -> Result<String, NodeError> {
        let before = self.view();
        self.renew_sealing_key().await?;
        self.refresh_profile(None).await?;
        let after = self.view();
        let (Some(old), Some(new)) =
            (before.verdict.member(&self.me), after.verdict.member(&self.me))
        else {
            return Err(NodeError::stopping());
        };
        let changed = [
            ("addresses", old.addresses != new.addresses),
            ("sealing key", old.sealing_key != new.sealing_key),
            ("version", old.agent_version != new.agent_version || old.versions != new.versions),
            ("hostname", old.hostname != new.hostname),
        ];
        let changed: Vec<&str> =
            changed.into_iter().filter(|(_, is_new)| *is_new).map(|(what, _)| what).collect();
        let addresses: Vec<String> = new.addresses.iter().map(ToString::to_string).collect();
        let known = format!("{} at {}", new.hostname, addresses.join(", "));
        Ok(match changed.as_slice() {
            [] => format!("unchanged: {known}"),
            changed => format!("told anew: {} ({known})", changed.join(", ")),
        })
    }

    /// Compares with the linked members what all of them should have.
    async fn sync_data(
        self: &Arc<Self>,
        force: bool,
        reply: &mut SyncReply,
    ) -> Result<String, NodeError> {
        let links: Vec<Arc<LinkEntry>> = self.links().values().cloned().collect();
        reply.peers_contacted += links.len() as u64;
        let mut told = Vec::new();
        for source in sources(self) {
            let found = source.sync(&links, force).await?;
            reply.changes_received += found.received + found.repaired;
            reply.changes_sent += found.sent;
            told.push(found.describe(source.name(), force));
            reply.tables.extend(found.tables);
        }
        Ok(told.join("; "))
    }

    /// Dials every member that this node wants a link with and has none, looks for them elsewhere too, and
    /// waits a moment.
    async fn sync_peers(self: &Arc<Self>, reply: &mut SyncReply) -> String {
        let missing = self.missing();
        if missing.is_empty() {
            return format!("nobody is missing: {} members are linked", self.links().len());
        }
        let mut changed = self.links_changed.subscribe();
        let (shared, wanted) = (Arc::clone(self), missing.clone());
        // In a task of its own: a dial that takes longer than anybody waits is not cut off half-way.
        self.tasks.spawn(async move {
            let dials = stream::iter(wanted);
            let dials =
                dials.for_each_concurrent(DIALS_AT_ONCE, |peer| Arc::clone(&shared).dial(peer));
            let (_report, ()) = tokio::join!(shared.discover_now(), dials);
        });
        let is_missing = |peer: &&PeerId| self.link(peer).is_none();
        let waited = timeout(DIAL_WAIT, async {
            while missing.iter().any(|peer| is_missing(&peer)) && changed.changed().await.is_ok() {}
        });
        let _in_time = waited.await;
        let view = self.view();
        let still: Vec<String> =
            missing.iter().filter(is_missing).map(|peer| view.label(peer)).collect();
        let added = missing.len() - still.len();
        reply.peers_contacted += missing.len() as u64;
        reply.peers_added += added as u64;
        let dialled = format!("{} members without a link dialled, {added} linked", missing.len());
        if still.is_empty() {
            return dialled;
        }
        let named: Vec<String> = still.iter().take(NAMES_MAX).cloned().collect();
        let more = still.len().saturating_sub(NAMES_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{dialled}; no answer from {}{more}", named.join(", "))
    }
}

/// Members that are named; a mesh may have a thousand.
const NAMES_MAX: usize = 10;

impl SyncFound {
    fn describe(&self, name: &str, force: bool) -> String {
        let Self { compared, in_step, silent, received, sent, repaired, tables: _ } = self;
        let mut told = format!("{name}: {compared} members compared");
        if *in_step > 0 {
            told.push_str(&format!(", {in_step} in step already"));
        }
        if *silent > 0 {
            told.push_str(&format!(", {silent} did not answer"));
        }
        told.push_str(&format!(", {received} received, {sent} sent"));
        if force {
            told.push_str(&format!(", {repaired} repaired here"));
        }
        told
    }
}
