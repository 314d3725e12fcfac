//! What a member is told of this node's configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_config::{AGENTS, ConfigKey, stale_agents};
use mesh_protocol::{
    CONFIG_FINDINGS_MAX, CONFIG_KEY_BYTES_MAX, CONFIG_STALE_MAX, ConfigAbout, ConfigAnswer,
    ConfigFinding, ConfigQuestion, ConfigSaid, ConfigSummary, Frame, TEXT_BYTES_MAX,
};
use mesh_transport::Lane;

use super::picture::Known;
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

/// The beginning of a text, so that it fits.
fn fitting(text: &str, bytes_max: usize) -> String {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default().to_owned()
}

fn ranges_of(known: &Known) -> Vec<[u8; 16]> {
    let bytes = known.digests.to_bytes();
    bytes.as_chunks::<16>().0.to_vec()
}

impl Shared {
    /// A member asks. One question of each is answered at a time.
    pub(crate) fn take_config_question(
        self: &Arc<Self>,
        entry: &Arc<LinkEntry>,
        question: ConfigQuestion,
    ) {
        let peer = entry.peer;
        if !self.view().verdict.is_member(&peer) {
            return;
        }
        let ConfigQuestion { request_id, about } = question;
        if !lock(&self.shared_config.comparing.answering).insert(peer) {
            let answer = ConfigAnswer { request_id, said: ConfigSaid::Busy };
            // Who gets none asks again.
            entry.sender.try_send(Lane::Normal, &Frame::ConfigAnswer(answer)).ok();
            return;
        }
        let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
        self.tasks.spawn(async move {
            let turn = shared.shared_config.comparing.turns.acquire().await;
            let said = shared.say(about).await;
            drop(turn);
            let answer = Frame::ConfigAnswer(ConfigAnswer { request_id, said });
            if let Err(error) = entry.sender.send(Lane::Normal, &answer).await {
                tracing::debug!(peer = %peer.short(), %error, "an answer about the configuration was not sent");
            }
            // Only then: a member that asks and does not read must not make answers pile up here.
            lock(&shared.shared_config.comparing.answering).remove(&peer);
        });
    }

    /// A member answers.
    pub(crate) fn take_config_answer(&self, entry: &LinkEntry, answer: ConfigAnswer) {
        let ConfigAnswer { request_id, said } = answer;
        let mut asked = lock(&self.shared_config.comparing.asked);
        let is_its = asked.get(&request_id).is_some_and(|(peer, _)| *peer == entry.peer);
        if is_its && let Some((_, waiting)) = asked.remove(&request_id) {
            // Whoever asked may have given up.
            waiting.send(said).ok();
        }
    }

    async fn say(self: &Arc<Self>, about: ConfigAbout) -> ConfigSaid {
        match about {
            ConfigAbout::Summary => ConfigSaid::Summary(self.summary().await),
            ConfigAbout::Keys { ranges, after } => {
                let picture = self.latest_picture().await;
                let ranges: BTreeSet<u8> = ranges.into_iter().collect();
                let page = move || picture.page(&ranges, &after);
                let page = self.tasks.tracker().spawn_blocking(page).await;
                let (keys, is_done) = page.unwrap_or_default();
                ConfigSaid::Keys { keys, is_done }
            }
        }
    }

    async fn summary(self: &Arc<Self>) -> ConfigSummary {
        self.look_at_references().await;
        let picture = self.settled_picture().await;
        let (_, violations) = self.shared_config.effective();
        let references = lock(&self.shared_config.comparing.references).clone();
        let fits = |key: &String| key.len() <= CONFIG_KEY_BYTES_MAX;
        let findings =
            references.into_iter().take(CONFIG_FINDINGS_MAX).map(|found| ConfigFinding {
                kind: found.kind,
                key: found.key.filter(fits),
                detail: fitting(&found.detail, TEXT_BYTES_MAX),
            });
        ConfigSummary {
            table: ranges_of(&picture.table),
            file: picture.file.known.as_deref().map(ranges_of),
            file_state: picture.file.state.as_str().to_owned(),
            file_detail: fitting(&picture.file.detail, TEXT_BYTES_MAX),
            is_valid: violations.is_empty(),
            stale: self.stale_keys().into_iter().filter(fits).take(CONFIG_STALE_MAX).collect(),
            findings: findings.collect(),
        }
    }

    /// Keys of the entries of agents that are no members.
    fn stale_keys(&self) -> Vec<String> {
        let (document, _) = self.shared_config.effective();
        let key = |name| ConfigKey::new(vec![AGENTS.to_owned(), name]).ok();
        let stale = stale_agents(&document, &self.agents()).into_iter().filter_map(key);
        stale.map(|key| key.to_string()).collect()
    }
}
