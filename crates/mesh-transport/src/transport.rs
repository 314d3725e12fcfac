use std::fmt;
use std::sync::Arc;

use mesh_crypto::NodeKey;
use mesh_protocol::PeerId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tls::Tls;
use crate::{TransportConfig, TransportError};

/// Knows who belongs to the mesh.
pub trait Gatekeeper: Send + Sync + 'static {
    /// Whether `peer` is a member at this moment. Called inside the TLS handshake: it must answer
    /// from memory, at once.
    fn is_member(&self, peer: &PeerId) -> bool;
}

pub(crate) struct Inner {
    pub(crate) me: PeerId,
    pub(crate) tls: Tls,
    pub(crate) config: TransportConfig,
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// Opens and accepts links. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("me", &self.inner.me).finish_non_exhaustive()
    }
}

impl Transport {
    /// Builds a transport for the node that `node_key` identifies. Its tasks run on `tracker`; all of
    /// them, and with them every link, end when `shutdown` is cancelled.
    ///
    /// # Errors
    /// [`TransportError`] when the TLS library refuses the key or the settings.
    pub fn new(
        node_key: &NodeKey,
        gatekeeper: Arc<dyn Gatekeeper>,
        config: TransportConfig,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<Self, TransportError> {
        let tls = Tls::new(node_key, gatekeeper)?;
        let me = node_key.peer_id();
        Ok(Self { inner: Arc::new(Inner { me, tls, config, tracker, shutdown }) })
    }
}
