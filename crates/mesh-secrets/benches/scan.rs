//! How fast content is looked at: `cargo bench -p mesh-secrets`.
//!
//! Each kind of content in bytes a second, beside what BLAKE3 makes of the same bytes on the same core. The figure is
//! the best of several rounds, so that a busy machine matters less.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures with the real clock, and may fail"
)]

use std::hint::black_box;
use std::time::Instant;

use mesh_secrets::Scanner;
use mesh_testkit::{Figures, Raw};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const BYTES: usize = 32 << 20;
const ROUNDS: usize = 5;

fn main() {
    for (name, content) in [
        (
            "prose",
            repeated("The quick brown fox jumps over the lazy dog, and nobody minds it at all.\n"),
        ),
        ("code", repeated(CODE)),
        (
            "JSON, one line",
            repeated("{\"name\":\"oak\",\"port\":13500,\"addresses\":[\"10.0.0.7:13500\"]},"),
        ),
        ("random bytes", random()),
        (
            "every line calls",
            repeated("let token = self.tokens.next(); // the token of the caller\n"),
        ),
    ] {
        measure(name, &content);
    }
}

const CODE: &str = "pub(crate) fn advance(&mut self, buffer: &[u8]) -> usize {\n    let mut at = 0;\n    // Rows go on.\n    \
    if let Some(rest) = buffer.get(at..) {\n        at += rest.len();\n    }\n    self.count += at as u64;\n    at\n}\n\n\
    let token = JoinToken::parse(text)?;\n";

fn measure(name: &str, content: &[u8]) {
    let scanner = Scanner::default();
    let scan = best(|| drop(black_box(scanner.scan_text("a", black_box(content), 0).unwrap())));
    let pieces = best(|| {
        let mut scan = scanner.file_scan("a", 0).unwrap();
        content.chunks(64 << 10).for_each(|piece| scan.feed(piece));
        drop(black_box(scan.finish()));
    });
    let hash = best(|| {
        black_box(blake3::hash(black_box(content)));
    });
    let rate = |seconds: f64| BYTES as f64 / seconds / 1e9;
    let value = serde_json::json!("https://oak.test/hook");
    let small = best(|| {
        for _ in 0..1000 {
            drop(black_box(
                scanner.scan_value("agents.oak.webhook", black_box(&value), 0).unwrap(),
            ));
        }
    });
    let shown = |seconds: f64| format!("{:.2} GB/s", rate(seconds));
    let raw = |seconds: f64| Raw::new(format!("BLAKE3 {}", shown(hash)), hash / seconds);
    FIGURES.add(&format!("scan of {name}"), &shown(scan), "", raw(scan));
    FIGURES.add("  in pieces of 64 KiB", &shown(pieces), "", raw(pieces));
    // A thousand of them were timed.
    FIGURES.add("  one small value", &format!("{:.0} ns", small * 1e6), "", "");
}

fn best(mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    rounds.fold(f64::MAX, f64::min)
}

fn repeated(text: &str) -> Vec<u8> {
    text.bytes().cycle().take(BYTES).collect()
}

fn random() -> Vec<u8> {
    let mut content = vec![0; BYTES];
    StdRng::seed_from_u64(1).fill_bytes(&mut content);
    content
}
