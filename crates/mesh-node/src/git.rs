//! Git over streams: the machine's own git, in repositories that are opened for it.

mod settings;

use std::sync::Arc;

use mesh_protocol::PeerId;
use mesh_transport::IncomingStream;

use crate::shared::Shared;
use crate::streams::GitService;

pub use settings::RepositorySettings;

impl Shared {
    /// Runs one of git's services for a member.
    pub(crate) async fn serve_git(
        self: Arc<Self>,
        _peer: PeerId,
        _repository: String,
        _service: GitService,
        stream: IncomingStream,
    ) {
        stream.refuse("no repository is open");
    }
}
