//! What the node believes, as one immutable snapshot that everybody reads without waiting.

use mesh_membership::{Member, Membership, Resolution, Verdict};
use mesh_protocol::{ErrorCode, Hostname, MeshId, PeerId, UnixMillis};

use crate::error::NodeError;

/// A snapshot of the membership.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) me: PeerId,
    pub(crate) mesh_id: MeshId,
    pub(crate) verdict: Verdict,
    pub(crate) records_digest: [u8; 32],
}

/// A name that was found.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) peer: PeerId,
    /// What people should know about the name.
    pub(crate) warning: Option<String>,
}

impl View {
    pub(crate) fn new(me: PeerId, membership: &Membership) -> Self {
        Self {
            me,
            mesh_id: membership.mesh_id(),
            verdict: membership.verdict().clone(),
            records_digest: mesh_crypto::records_digest(membership.record_ids()),
        }
    }

    /// Whether this node was expelled.
    pub(crate) fn is_removed(&self) -> bool {
        !self.verdict.is_member(&self.me)
    }

    pub(crate) fn my_hostname(&self) -> Option<&Hostname> {
        self.verdict.member(&self.me).map(|member| &member.hostname)
    }

    /// Every member but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Member> {
        self.verdict.members().values().filter(|member| member.peer_id != self.me)
    }

    /// Labels of the members whose removal too few have asked for.
    pub(crate) fn pending_removals(&self) -> Vec<String> {
        let members = self.verdict.members().values();
        let asked = members.filter(|m| self.verdict.pending_removal_of(&m.peer_id).is_some());
        asked.map(|member| member.hostname.to_string()).collect()
    }

    /// The label of a peer; its id when it is no member.
    pub(crate) fn label(&self, peer: &PeerId) -> String {
        self.verdict
            .member(peer)
            .map_or_else(|| peer.to_string(), |member| member.hostname.to_string())
    }

    /// Refuses when this node was expelled.
    pub(crate) fn check_member(&self) -> Result<(), NodeError> {
        if self.is_removed() {
            return Err(NodeError::new(
                ErrorCode::NotAMember,
                "this agent was removed from its mesh; nothing was done",
            )
            .with_hint("ask a member for a join token and run `mesh-ctl join TOKEN`"));
        }
        Ok(())
    }

    /// Finds the member that `name` means.
    pub(crate) fn resolve(&self, name: &str, now: UnixMillis) -> Result<Resolved, NodeError> {
        match self.verdict.resolve(name, now) {
            Resolution::Current(peer) => Ok(Resolved { peer, warning: None }),
            Resolution::Former { peer, current, until: _ } => {
                let warning = format!("{name} is now called {current}; use the new name");
                Ok(Resolved { peer, warning: Some(warning) })
            }
            Resolution::Unknown => {
                let shown: String = name.chars().take(80).collect();
                Err(NodeError::new(
                    ErrorCode::UnknownPeer,
                    format!("no member of this mesh is called {shown:?}; nothing was done"),
                )
                .with_hint("`mesh-ctl peers` lists the members"))
            }
        }
    }
}
