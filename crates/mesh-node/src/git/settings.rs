//! What may be set, and what that says about a member.

use std::path::PathBuf;

use mesh_protocol::{GitService, Hostname, PeerId, RootName};

use crate::pushes::is_named;

/// A repository that others may use with git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositorySettings {
    /// Its name in the mesh, which follows the rules of a root's.
    pub name: RootName,
    /// Where it is: a bare repository, or the work tree of one.
    pub path: PathBuf,
    /// Hostnames or peer ids of those who may push; `*` is every member.
    pub allow_push_from: Vec<String>,
    /// Those who may clone and fetch.
    pub allow_fetch_from: Vec<String>,
}

impl RepositorySettings {
    /// A repository that every member may fetch from, and nobody push to.
    #[must_use]
    pub fn new(name: RootName, path: PathBuf) -> Self {
        Self { name, path, allow_push_from: Vec::new(), allow_fetch_from: vec!["*".to_owned()] }
    }

    /// Whether a member may use one of git's services here.
    pub(super) fn allows(
        &self,
        service: GitService,
        peer: &PeerId,
        hostname: Option<&Hostname>,
    ) -> bool {
        let allowed = match service {
            GitService::UploadPack => &self.allow_fetch_from,
            GitService::ReceivePack => &self.allow_push_from,
        };
        is_named(allowed, peer, hostname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_fetch_may_not_push_unless_the_repository_says_so() {
        let mut notes = RepositorySettings::new("notes".parse().unwrap(), "/srv/notes".into());
        let (mint, oak) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let name: Hostname = "mint".parse().unwrap();
        let may = |notes: &RepositorySettings, peer, name| {
            [GitService::UploadPack, GitService::ReceivePack]
                .map(|service| notes.allows(service, peer, name))
        };
        assert_eq!(may(&notes, &mint, Some(&name)), [true, false]);
        notes.allow_push_from = vec!["mint".to_owned()];
        assert_eq!(may(&notes, &mint, Some(&name)), [true, true]);
        assert_eq!(may(&notes, &mint, None), [true, false]);
        notes.allow_push_from = vec![oak.to_string()];
        assert_eq!(may(&notes, &mint, Some(&name)), [true, false]);
        assert_eq!(may(&notes, &oak, None), [true, true]);
        notes.allow_fetch_from = Vec::new();
        assert_eq!(may(&notes, &mint, Some(&name)), [false, false]);
    }
}
