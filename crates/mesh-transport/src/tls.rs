//! TLS 1.3 with raw public keys (RFC 7250): who each side is, and nothing else.

use std::fmt;
use std::sync::Arc;

use mesh_crypto::{NodeKey, peer_id_from_spki, spki_der};
use mesh_protocol::PeerId;
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, ClientHello, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, CommonState, ServerConfig};

use crate::{Gatekeeper, TransportError};

use verifier::{Clients, Servers};

#[cfg(test)]
mod tests;
mod verifier;

/// What a connection is for. Named in the TLS handshake (ALPN), so each has its own rules from the
/// first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A link between members.
    Link,
    /// A join request or an introduction by somebody who is not known yet.
    Join,
}

impl Purpose {
    pub(crate) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Link => b"mesh/1",
            Self::Join => b"mesh-join/1",
        }
    }

    /// The purpose that the other side offers, if it is one of ours.
    pub(crate) fn offered(hello: &ClientHello<'_>) -> Option<Self> {
        let offered: Vec<&[u8]> = hello.alpn()?.collect();
        [Self::Link, Self::Join].into_iter().find(|purpose| offered.contains(&purpose.alpn()))
    }
}

/// The TLS settings of this node. Nothing in them allows resumption, tickets or early data: a
/// resumed session would skip the verifier, and a removed member would come back with it.
pub(crate) struct Tls {
    me: PeerId,
    gatekeeper: Arc<dyn Gatekeeper>,
    link_server: Arc<ServerConfig>,
    join_server: Arc<ServerConfig>,
    client: ClientConfig,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn new(
        node_key: &NodeKey,
        gatekeeper: Arc<dyn Gatekeeper>,
    ) -> Result<Self, TransportError> {
        let provider = Arc::new(provider());
        let key_der = node_key.to_pkcs8_der();
        let private_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_der.as_slice()));
        // `load_private_key` asks for an owned key; the library wipes its copy.
        let signer = provider
            .key_provider
            .load_private_key(private_key.clone_key())
            .map_err(|error| TransportError::Key(error.into()))?;
        let public_key = CertificateDer::from(spki_der(&node_key.peer_id()));
        let identity = Arc::new(CertifiedKey::new(vec![public_key], signer));

        let me = node_key.peer_id();
        let members = Clients::Members(Arc::clone(&gatekeeper));
        let link_server = server_config(&provider, &identity, members, Purpose::Link)?;
        let join_server = server_config(&provider, &identity, Clients::Anybody, Purpose::Join)?;
        let client = client_config(&provider, &identity, me)?;
        let (link_server, join_server) = (Arc::new(link_server), Arc::new(join_server));
        Ok(Self { me, gatekeeper, link_server, join_server, client })
    }

    /// Rules for a connection that comes in.
    pub(crate) fn server(&self, purpose: Purpose) -> Arc<ServerConfig> {
        match purpose {
            Purpose::Link => Arc::clone(&self.link_server),
            Purpose::Join => Arc::clone(&self.join_server),
        }
    }

    /// Rules for a connection to `peer`: no other key is talked to.
    pub(crate) fn client(&self, peer: PeerId, purpose: Purpose) -> Arc<ClientConfig> {
        self.client_of(Servers::One(peer), purpose)
    }

    /// Rules for a connection to an address where any other member may answer. Whoever it is proves its
    /// key first: a stranger does not learn whose connection it was.
    pub(crate) fn client_of_members(&self) -> Arc<ClientConfig> {
        let gatekeeper = Arc::clone(&self.gatekeeper);
        self.client_of(Servers::Members { me: self.me, gatekeeper }, Purpose::Link)
    }

    fn client_of(&self, servers: Servers, purpose: Purpose) -> Arc<ClientConfig> {
        let mut config = self.client.clone();
        config.dangerous().set_certificate_verifier(Arc::new(servers));
        config.alpn_protocols = vec![purpose.alpn().to_vec()];
        Arc::new(config)
    }
}

/// Who is at the other end, once the handshake is done and was about `purpose`.
pub(crate) fn authenticated_peer(session: &CommonState, purpose: Purpose) -> Option<PeerId> {
    if session.alpn_protocol() != Some(purpose.alpn()) {
        return None;
    }
    let [public_key] = session.peer_certificates()? else { return None };
    peer_id_from_spki(public_key)
}

/// The post-quantum hybrid comes first; the other group serves peers whose library lacks it.
fn provider() -> CryptoProvider {
    let groups = vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519];
    CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() }
}

fn tls_error(error: rustls::Error) -> TransportError {
    TransportError::Tls(error.into())
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    identity: &Arc<CertifiedKey>,
    clients: Clients,
    purpose: Purpose,
) -> Result<ServerConfig, TransportError> {
    let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(identity)));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![purpose.alpn().to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    identity: &Arc<CertifiedKey>,
    me: PeerId,
) -> Result<ClientConfig, TransportError> {
    let resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(identity)));
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .dangerous()
        // Replaced for every connection. Until then nobody but this node itself would be trusted.
        .with_custom_certificate_verifier(Arc::new(Servers::One(me)))
        .with_client_cert_resolver(resolver);
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // A name in the clear would tell a listener who is called.
    config.enable_sni = false;
    Ok(config)
}
