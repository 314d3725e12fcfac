//! A wire that is tapped: everything goes through, and everything is written down.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What went over one connection in one direction.
type Tape = Arc<Mutex<Vec<u8>>>;

/// Listens at an address of its own and connects to the target. Ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    tapes: Arc<Mutex<Vec<Tape>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Opens the wire to `target`, which need not listen yet.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tapes = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&tapes);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let (there, back) = (Tape::default(), Tape::default());
                kept.lock().unwrap().extend([Arc::clone(&there), Arc::clone(&back)]);
                connections.spawn(async move {
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::join!(copy(near_in, far_out, &there), copy(far_in, near_out, &back));
                });
            }
        });
        Self { address, tapes, _tasks: tasks }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that was said, each direction of each connection in one piece.
    pub(crate) fn tapes(&self) -> Vec<Vec<u8>> {
        let tapes = self.tapes.lock().unwrap();
        tapes.iter().map(|tape| tape.lock().unwrap().clone()).collect()
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    tape: &Mutex<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        tape.lock().unwrap().extend_from_slice(&buffer[..bytes]);
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
    let _closed = to.shutdown().await;
}
