//! What cutting and naming chunks costs beside hashing alone: `cargo bench -p mesh-files --bench chunking`.
//!
//! Each figure is the best of five runs over 256 MiB that do not repeat, in pieces of one MiB.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mesh_files::Chunker;
use mesh_testkit::{Figures, Raw};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const BYTES: usize = 256 << 20;
const PIECE: usize = 1 << 20;
const RUNS: usize = 5;

fn main() {
    let mut bytes = vec![0; BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);

    let hash = best(|| {
        let mut hasher = blake3::Hasher::new();
        for piece in bytes.chunks(PIECE) {
            hasher.update(piece);
        }
        black_box(hasher.finalize());
    });
    let cut = best(|| {
        let mut chunker = Chunker::new(BYTES as u64);
        let mut count = 0_u32;
        for piece in bytes.chunks(PIECE) {
            chunker.feed(piece, |_, _| count += 1);
        }
        chunker.finish(|_, _| count += 1);
        black_box(count);
    });
    report("chunks, cut and named", cut, hash);
}

fn best(mut run: impl FnMut()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..RUNS).map(once).min().unwrap_or_default()
}

fn report(what: &str, took: Duration, floor: Duration) {
    let rate = BYTES as f64 / took.as_secs_f64() / 1e9;
    let ratio = took.as_secs_f64() / floor.as_secs_f64();
    let alone = BYTES as f64 / floor.as_secs_f64() / 1e9;
    let raw = Raw::new(format!("BLAKE3 of the whole {alone:.2} GB/s; times"), ratio);
    FIGURES.add(what, &format!("{rate:.2} GB/s"), "", raw);
}
