//! The least that moving a file safely can cost: TLS, both digests, and a write that is synced. No list of what is
//! there, no steps, nothing kept of before.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mesh_crypto::{NodeKey, spki_der};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::cpu;
use crate::ssh::Took;

/// How much is read, sent and written at a time.
const PIECE: usize = 256 << 10;

/// Who answers does not matter here, only what the bytes cost.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = NodeKey::from_secret_bytes(&Zeroizing::new([9; 32]));
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8_der().to_vec()));
    let signer = provider.key_provider.load_private_key(private).unwrap();
    let public = CertificateDer::from(spki_der(&key.peer_id()));
    let identity = Arc::new(CertifiedKey::new(vec![public], signer));
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity)));
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    (Arc::new(client), Arc::new(server))
}

/// Moves one file.
pub(crate) fn copy(from: &Path, to: &Path) -> Took {
    let (client, server) = configs();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    crate::settle();
    let before = cpu::of_myself();
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (tcp, _) = listener.accept().unwrap();
            let mut tls = StreamOwned::new(ServerConnection::new(server).unwrap(), tcp);
            let mut file = File::create(to).unwrap();
            let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
            let mut piece = vec![0; PIECE];
            loop {
                let read = tls.read(&mut piece).unwrap();
                let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
                blake3.update(read);
                sha256.update(read);
                file.write_all(read).unwrap();
            }
            assert_ne!(blake3.finalize().as_bytes().as_slice(), sha256.finalize().as_slice());
            file.sync_all().unwrap();
        });
        let tcp = std::net::TcpStream::connect(address).unwrap();
        let name = ServerName::from(address.ip());
        let mut tls = StreamOwned::new(ClientConnection::new(client, name).unwrap(), tcp);
        let mut file = File::open(from).unwrap();
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece).unwrap();
            let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
            tls.write_all(read).unwrap();
        }
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        // What the other side has said of its session must be read, else the end comes as a reset.
        let _its_end = std::io::copy(&mut tls, &mut std::io::sink());
    });
    Took { time: started.elapsed(), processor_seconds: cpu::of_myself() - before }
}
