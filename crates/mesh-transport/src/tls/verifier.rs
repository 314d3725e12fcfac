use std::fmt;
use std::sync::Arc;

use mesh_crypto::peer_id_from_spki;
use mesh_protocol::PeerId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
};

use crate::Gatekeeper;

/// Becomes the alert `access_denied`, which tells the other side that it was judged, not misread.
const DENIED: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

fn peer_of(public_key: &CertificateDer<'_>) -> Result<PeerId, Error> {
    peer_id_from_spki(public_key).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// The other side holds the private key of `public_key`, and that key is Ed25519.
fn verify_ed25519(
    message: &[u8],
    public_key: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if signed.scheme != SignatureScheme::ED25519 {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let spki = SubjectPublicKeyInfoDer::from(public_key.as_ref());
    verify_tls13_signature_with_raw_key(message, &spki, signed, &algorithms)
}

/// TLS 1.2 is not compiled in; a signature of it is never good.
fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}

/// Which servers this node talks to.
pub(super) enum Servers {
    /// The peer that was dialled.
    One(PeerId),
    /// The other members of the mesh, as they are at the moment of the handshake.
    Members {
        /// This node, which never talks to itself.
        me: PeerId,
        gatekeeper: Arc<dyn Gatekeeper>,
    },
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(peer) => f.debug_tuple("One").field(peer).finish(),
            Self::Members { .. } => f.write_str("Members"),
        }
    }
}

impl Servers {
    fn are_right(&self, peer: &PeerId) -> bool {
        match self {
            Self::One(one) => peer == one,
            Self::Members { me, gatekeeper } => peer != me && gatekeeper.is_member(peer),
        }
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_right = self.are_right(&peer_of(end_entity)?);
        if is_right { Ok(ServerCertVerified::assertion()) } else { Err(DENIED) }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_ed25519(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Which clients this node lets in.
pub(super) enum Clients {
    /// The members of the mesh, as they are at the moment of the handshake.
    Members(Arc<dyn Gatekeeper>),
    /// Every Ed25519 key. Its owner reaches the join routes and nothing else.
    Anybody,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Members(_) => "Members",
            Self::Anybody => "Anybody",
        })
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let peer = peer_of(end_entity)?;
        let is_welcome = match self {
            Self::Members(gatekeeper) => gatekeeper.is_member(&peer),
            Self::Anybody => true,
        };
        if is_welcome { Ok(ClientCertVerified::assertion()) } else { Err(DENIED) }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_ed25519(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
