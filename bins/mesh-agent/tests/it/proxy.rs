//! A wire that is tapped: everything goes through, is counted, and written down where somebody wants to read it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What went over one connection in one direction.
type Tape = Arc<Mutex<Vec<u8>>>;

/// A piece that carries bytes of files is no shorter: what a flipped byte is to be in.
const FLIPPED_PIECE_BYTES: usize = 4 << 10;

/// What is common to all connections.
#[derive(Default)]
struct Wire {
    is_taped: bool,
    passed: AtomicU64,
    flips: AtomicBool,
}

/// Listens at an address of its own and connects to the target. Ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    tapes: Arc<Mutex<Vec<Tape>>>,
    wire: Arc<Wire>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Opens the wire to `target`, which need not listen yet.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        Self::start_on(target, Wire { is_taped: true, ..Wire::default() }).await
    }

    /// The same for more than anybody wants to keep.
    pub(crate) async fn start_counting(target: SocketAddr) -> Self {
        Self::start_on(target, Wire::default()).await
    }

    async fn start_on(target: SocketAddr, wire: Wire) -> Self {
        let wire = Arc::new(wire);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tapes = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (kept, shared) = (Arc::clone(&tapes), Arc::clone(&wire));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let (there, back) = (Tape::default(), Tape::default());
                kept.lock().unwrap().extend([Arc::clone(&there), Arc::clone(&back)]);
                let wire = Arc::clone(&shared);
                connections.spawn(async move {
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::join!(
                        copy(near_in, far_out, &wire, &there),
                        copy(far_in, near_out, &wire, &back)
                    );
                });
            }
        });
        Self { address, tapes, wire, _tasks: tasks }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that came in, in both directions.
    pub(crate) fn passed(&self) -> u64 {
        self.wire.passed.load(Ordering::Relaxed)
    }

    /// A byte of the next long piece is to arrive as another one.
    pub(crate) fn flip(&self) {
        self.wire.flips.store(true, Ordering::Relaxed);
    }

    /// Whether the byte that is to be another one has not come yet.
    pub(crate) fn is_to_flip(&self) -> bool {
        self.wire.flips.load(Ordering::Relaxed)
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
    wire: &Wire,
    tape: &Mutex<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        wire.passed.fetch_add(bytes as u64, Ordering::Relaxed);
        if wire.is_taped {
            tape.lock().unwrap().extend_from_slice(&buffer[..bytes]);
        }
        if bytes >= FLIPPED_PIECE_BYTES && wire.flips.swap(false, Ordering::Relaxed) {
            buffer[bytes / 2] ^= 1;
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
    let _closed = to.shutdown().await;
}
