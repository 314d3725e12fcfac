//! Asking a member, and finding out what it has differently.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mesh_config::{ConfigKey, Digests, Parity, ValueDigest, compare, differing};
use mesh_control::{ConfigFileState, ConfigPeerFile};
use mesh_protocol::{
    ConfigAbout, ConfigFinding, ConfigKeyDigests, ConfigQuestion, ConfigSaid, ConfigSummary, Frame,
    PeerId,
};
use mesh_transport::Lane;
use tokio::sync::oneshot;

use super::picture::{Picture, Values};
use super::{ANSWER_WAIT, is_stuck};
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

/// Pages of keys that are asked for; what is behind them is not compared.
const PAGES_MAX: usize = 64;

/// A member that is busy is asked again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What comparing with a member brought.
#[derive(Debug)]
pub(super) struct Compared {
    /// In its table, or in its file.
    pub(super) parity: Parity,
    pub(super) file: ConfigPeerFile,
    pub(super) is_valid: bool,
    pub(super) stale: Vec<String>,
    pub(super) findings: Vec<ConfigFinding>,
}

impl Compared {
    /// Whether the member has the same, in its file as well, and nothing that nobody needs.
    pub(super) fn is_in_sync(&self) -> bool {
        self.parity.is_in_sync()
            && self.is_valid
            && self.stale.is_empty()
            && self.file.state == ConfigFileState::InStep
    }
}

/// A member's keys in some ranges.
#[derive(Default)]
struct Theirs {
    table: Values,
    file: Values,
    /// There may be more behind this text.
    upto: Option<String>,
}

fn bytes(ranges: &[[u8; 16]]) -> Option<Digests> {
    Digests::from_bytes(&ranges.concat())
}

fn state_of(word: &str) -> Option<ConfigFileState> {
    let states = [
        ConfigFileState::InStep,
        ConfigFileState::Pending,
        ConfigFileState::Broken,
        ConfigFileState::Unreadable,
        ConfigFileState::Unwritable,
    ];
    states.into_iter().find(|state| state.as_str() == word)
}

/// What is different in the file counts where the table is equal.
fn joined(mut table: Parity, file: Parity) -> Parity {
    let known: BTreeSet<ConfigKey> =
        table.missing.iter().chain(&table.extra).chain(&table.different).cloned().collect();
    let news = |keys: Vec<ConfigKey>| keys.into_iter().filter(|key| !known.contains(key));
    table.missing.extend(news(file.missing));
    table.extra.extend(news(file.extra));
    table.different.extend(news(file.different));
    for keys in [&mut table.missing, &mut table.extra, &mut table.different] {
        keys.sort();
    }
    table
}

impl Shared {
    /// What is different at a member, or why that is not known.
    pub(super) async fn compare_with_one(
        &self,
        peer: PeerId,
        mine: &Picture,
        deadline: Instant,
    ) -> Result<Compared, String> {
        let entry = self.link(&peer).ok_or("there is no link to it")?;
        let comparing = self.find_differences(&entry, mine);
        tokio::time::timeout_at(deadline.into(), comparing)
            .await
            .unwrap_or_else(|_| Err(self.why_silent(&peer)))
    }

    /// Why a member may say nothing.
    fn why_silent(&self, peer: &PeerId) -> String {
        let own = env!("CARGO_PKG_VERSION");
        let view = self.view();
        let theirs = view.verdict.member(peer).map(|member| member.agent_version.clone());
        match theirs {
            Some(theirs) if is_older(&theirs, own) => {
                format!("it cannot be asked: it runs version {theirs}, which is older than {own}")
            }
            Some(_) | None => format!("no answer within {} s", ANSWER_WAIT.as_secs()),
        }
    }

    async fn find_differences(
        &self,
        entry: &Arc<LinkEntry>,
        mine: &Picture,
    ) -> Result<Compared, String> {
        let said = self.ask(entry, ConfigAbout::Summary).await?;
        let ConfigSaid::Summary(summary) = said else { return Err(senseless()) };
        let ConfigSummary { table, file, file_state, file_detail, is_valid, stale, findings } =
            summary;
        let their_table = bytes(&table).ok_or_else(senseless)?;
        let their_file = file.as_deref().and_then(bytes);
        let mut ranges: BTreeSet<u8> =
            differing(&mine.table.digests, &their_table).into_iter().collect();
        let in_file = their_file.as_ref().map(|file| differing(&mine.shown.digests, file));
        ranges.extend(in_file.iter().flatten());
        let parity = if ranges.is_empty() {
            Parity::default()
        } else {
            let theirs = self.ask_keys(entry, &ranges).await?;
            let upto = theirs.upto.as_deref();
            let in_table = compare(&mine.table.within(&ranges, upto), &theirs.table);
            let in_file = match their_file {
                Some(_) => compare(&mine.shown.within(&ranges, upto), &theirs.file),
                None => Parity::default(),
            };
            joined(in_table, in_file)
        };
        let state = state_of(&file_state).unwrap_or(ConfigFileState::Broken);
        let mut file = ConfigPeerFile { state, detail: file_detail };
        if !is_stuck(state) && in_file.is_some_and(|ranges| !ranges.is_empty()) {
            file.state = ConfigFileState::Pending;
            file.detail = "it says something else than the configuration here".to_owned();
        }
        Ok(Compared { parity, file, is_valid, stale, findings })
    }

    /// A member's keys in some ranges.
    async fn ask_keys(
        &self,
        entry: &Arc<LinkEntry>,
        ranges: &BTreeSet<u8>,
    ) -> Result<Theirs, String> {
        let mut theirs = Theirs::default();
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let ranges: Vec<u8> = ranges.iter().copied().collect();
            let about = ConfigAbout::Keys { ranges, after: after.clone() };
            let ConfigSaid::Keys { keys, is_done } = self.ask(entry, about).await? else {
                return Err(senseless());
            };
            let last = keys.last().map(|last| last.key.clone());
            theirs.take(keys);
            if is_done {
                theirs.upto = None;
                return Ok(theirs);
            }
            match last {
                Some(last) if last > after => after = last,
                Some(_) | None => return Err(senseless()),
            }
            theirs.upto = Some(after.clone());
        }
        Ok(theirs)
    }

    /// Asks until there is an answer.
    async fn ask(&self, entry: &Arc<LinkEntry>, about: ConfigAbout) -> Result<ConfigSaid, String> {
        loop {
            let request_id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let (answer, answered) = oneshot::channel();
            {
                let mut asked = lock(&self.shared_config.comparing.asked);
                asked.retain(|_, (_, waiting)| !waiting.is_closed());
                asked.insert(request_id, (entry.peer, answer));
            }
            let question = ConfigQuestion { request_id, about: about.clone() };
            let frame = Frame::ConfigQuestion(question);
            let closed = || "the link to it broke".to_owned();
            entry.sender.send(Lane::Normal, &frame).await.map_err(|_| closed())?;
            let said = tokio::select! {
                said = answered => said.map_err(|_| closed())?,
                () = entry.closed() => return Err(closed()),
            };
            match said {
                ConfigSaid::Busy => tokio::time::sleep(ASK_AGAIN_AFTER).await,
                ConfigSaid::Summary(_) | ConfigSaid::Keys { .. } => return Ok(said),
            }
        }
    }
}

impl Theirs {
    fn take(&mut self, keys: Vec<ConfigKeyDigests>) {
        for ConfigKeyDigests { key, table, file } in keys {
            // What is no key here cannot be named either.
            let Ok(key) = key.parse::<ConfigKey>() else { continue };
            let add = |to: &mut BTreeMap<ConfigKey, ValueDigest>, digest: Option<[u8; 16]>| {
                to.extend(digest.map(|digest| (key.clone(), ValueDigest::from_bytes(digest))));
            };
            add(&mut self.table, table);
            add(&mut self.file, file);
        }
    }
}

fn senseless() -> String {
    "its answer makes no sense".to_owned()
}

/// Whether a version comes before another one; no when either is no version.
fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        text.split('.').map(|number| number.parse().ok()).collect()
    };
    match (numbers(version), numbers(than)) {
        (Some(version), Some(than)) => version < than,
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests;
