use mesh_protocol::GitService;
use serde::{Deserialize, Serialize};

/// A repository of a member, and what git is to do there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitQuery {
    /// Hostname or peer id.
    pub peer: String,
    /// The repository's name there.
    pub repository: String,
    /// The half of git that runs there.
    pub service: GitService,
}
