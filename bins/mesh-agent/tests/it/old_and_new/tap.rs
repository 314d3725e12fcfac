//! A wire between two agents on which somebody listens who has the keys of both: each believes that it talks to
//! the other. Beneath TLS every byte goes through as it is, and is written down.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use mesh_crypto::NodeKey;
use rustls::server::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::listener::Listener;
use super::transcript::Line;
use crate::raw::{LINK, tls};

/// Connects everybody who calls with one agent. Ends when dropped.
pub(super) struct Tap {
    address: SocketAddr,
    keys: Arc<Mutex<Option<Keys>>>,
    log: Arc<Mutex<Log>>,
    _tasks: JoinSet<()>,
}

/// Of the one who calls, and of the one who is called.
#[derive(Clone)]
struct Keys {
    near: NodeKey,
    far: NodeKey,
}

#[derive(Default)]
struct Log {
    connections: usize,
    listener: Listener,
    lines: Vec<Line>,
}

impl Log {
    fn said(&mut self, bytes: &[u8]) {
        match self.lines.last_mut() {
            Some(Line::Said(before)) => before.extend_from_slice(bytes),
            Some(Line::Heard(_)) | None => self.lines.push(Line::Said(bytes.to_vec())),
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        let reached = self.listener.hear(bytes);
        self.lines.extend(reached.into_iter().map(Line::Heard));
    }
}

impl Tap {
    /// Opens the wire to `far`. Until [`Tap::listen`] it is a wire and no more.
    pub(super) async fn start(far: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (keys, log) = (Arc::<Mutex<Option<Keys>>>::default(), Arc::<Mutex<Log>>::default());
        let mut tasks = JoinSet::new();
        let (its_keys, its_log) = (Arc::clone(&keys), Arc::clone(&log));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let keys = its_keys.lock().unwrap().clone();
                let log = Arc::clone(&its_log);
                connections.spawn(async move {
                    match keys {
                        Some(keys) => overhear(near, far, &keys, &log).await,
                        None => pass_on(near, far).await,
                    }
                });
            }
        });
        Self { address, keys, log, _tasks: tasks }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the next connection on everything is written down.
    pub(super) fn listen(&self, near: NodeKey, far: NodeKey) {
        *self.keys.lock().unwrap() = Some(Keys { near, far });
    }

    /// What was said on the one link that there was.
    pub(super) fn lines(&self) -> Vec<Line> {
        let log = self.log.lock().unwrap();
        assert_eq!(log.connections, 1, "one link is recorded");
        log.lines.clone()
    }
}

async fn pass_on(mut near: TcpStream, far: SocketAddr) {
    if let Ok(mut far) = TcpStream::connect(far).await {
        let _either_gone = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}

async fn overhear(near: TcpStream, far: SocketAddr, keys: &Keys, log: &Mutex<Log>) {
    // Whoever calls for something else than a link is not talked to.
    let Ok(near) = TlsAcceptor::from(Arc::new(server(&keys.far))).accept(near).await else {
        return;
    };
    let Ok(far) = tls(far, Some(&keys.near), LINK).await else { return };
    log.lock().unwrap().connections += 1;
    let ((near_in, near_out), (far_in, far_out)) = (split(near), split(far));
    tokio::join!(
        copy(near_in, far_out, |bytes| log.lock().unwrap().said(bytes)),
        copy(far_in, near_out, |bytes| log.lock().unwrap().heard(bytes)),
    );
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut note: impl FnMut(&[u8]),
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        note(&buffer[..bytes]);
        if to.write_all(&buffer[..bytes]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _closed = to.shutdown().await;
}

fn server(key: &NodeKey) -> ServerConfig {
    let mut config = mesh_testkit::tls::server(key, &[LINK]).unwrap();
    config.send_tls13_tickets = 0;
    config
}
