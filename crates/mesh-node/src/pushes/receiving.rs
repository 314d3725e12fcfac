//! The task of a push that comes.

mod test_command;

use std::sync::Arc;

use mesh_protocol::PeerId;
use mesh_transport::LinkStream;

use crate::shared::Shared;

impl Shared {
    /// Takes a stream that a member opened for a push.
    pub(crate) async fn receive_push(self: Arc<Self>, _peer: PeerId, stream: LinkStream) {
        stream.reset("not yet");
    }
}
