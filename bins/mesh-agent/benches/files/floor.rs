//! The least that moving a file safely can cost: TLS, both digests, and a write that is synced. No list of what is
//! there, no steps, nothing kept of before. And the least that a change in one can, or files that are there already,
//! where digests come before anything is told, and what is put in place is synced.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use mesh_crypto::NodeKey;
use mesh_testkit::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::cpu;
use crate::ssh::Took;

/// How much is read, sent and written at a time.
const PIECE: usize = 256 << 10;

/// Who answers does not matter here, only what the bytes cost.
fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let key = NodeKey::from_secret_bytes(&Zeroizing::new([9; 32]));
    let client = tls::client(Some(&key), &[]).unwrap();
    (Arc::new(client), Arc::new(tls::server(&key, &[]).unwrap()))
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
            each_piece(&mut tls, |piece| {
                blake3.update(piece);
                sha256.update(piece);
                file.write_all(piece).unwrap();
            });
            assert_ne!(blake3.finalize().as_bytes().as_slice(), sha256.finalize().as_slice());
            file.sync_all().unwrap();
        });
        let tcp = std::net::TcpStream::connect(address).unwrap();
        let name = ServerName::from(address.ip());
        let mut tls = StreamOwned::new(ClientConnection::new(client, name).unwrap(), tcp);
        each_piece(File::open(from).unwrap(), |piece| tls.write_all(piece).unwrap());
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        // What the other side has said of its session must be read, else the end comes as a reset.
        let _its_end = std::io::copy(&mut tls, &mut std::io::sink());
    });
    Took { time: started.elapsed(), processor_seconds: cpu::of_myself() - before }
}

/// Reads to the end.
fn each_piece(mut from: impl Read, mut take: impl FnMut(&[u8])) {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).unwrap();
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
        take(read);
    }
}

/// Makes both digests of a file, each on a core of its own.
fn digests(path: &Path) {
    let of = |take: &mut dyn FnMut(&[u8])| each_piece(File::open(path).unwrap(), take);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sha256 = Sha256::new();
            of(&mut |piece| sha256.update(piece));
            std::hint::black_box(sha256.finalize());
        });
        let mut blake3 = blake3::Hasher::new();
        of(&mut |piece| {
            blake3.update(piece);
        });
        std::hint::black_box(blake3.finalize());
    });
}

/// A change in a large file: digests of all of it at its source, then a copy of the `old` one where it goes, synced. The
/// system copies, and nobody looks at what it wrote.
pub(crate) fn change(new: &Path, old: &Path, to: &Path) -> Took {
    crate::settle();
    let before = cpu::of_myself();
    let started = Instant::now();
    digests(new);
    fs::copy(old, to).unwrap();
    File::open(to).unwrap().sync_all().unwrap();
    Took { time: started.elapsed(), processor_seconds: cpu::of_myself() - before }
}

/// Small files that are there already: each read and both digests made of it, at its source and then at its target, with
/// two threads at either.
pub(crate) fn unchanged(folder: &Path) -> Took {
    let mut files = Vec::new();
    for folder in fs::read_dir(folder).unwrap() {
        let within = fs::read_dir(folder.unwrap().path()).unwrap();
        files.extend(within.map(|file| file.unwrap().path()));
    }
    let each = |files: &[PathBuf]| {
        for file in files {
            let bytes = fs::read(file).unwrap();
            std::hint::black_box((blake3::hash(&bytes), Sha256::digest(&bytes)));
        }
    };
    crate::settle();
    let before = cpu::of_myself();
    let started = Instant::now();
    for _side in 0..2 {
        let (one, other) = files.split_at(files.len() / 2);
        std::thread::scope(|scope| {
            scope.spawn(|| each(one));
            each(other);
        });
    }
    Took { time: started.elapsed(), processor_seconds: cpu::of_myself() - before }
}
