//! The way to an agent, which can be shut: whatever was open through it is cut then.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Listens at an address of its own and connects to the target while it is open. Ends when dropped.
pub(super) struct Gate {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Gate {
    pub(super) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, state) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                connections.spawn(pass(near, target, state.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, is_open, _tasks: tasks }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

async fn pass(mut near: TcpStream, target: SocketAddr, mut is_open: watch::Receiver<bool>) {
    let passing = async {
        let Ok(mut far) = TcpStream::connect(target).await else { return };
        // However it ends, it is over.
        let _over = copy_bidirectional(&mut near, &mut far).await;
    };
    tokio::select! {
        _shut = is_open.wait_for(|is_open| !is_open) => {}
        () = passing => {}
    }
}
