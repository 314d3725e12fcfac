//! What sealing costs beyond AES-GCM itself: `cargo bench -p mesh-crypto`.
//!
//! Prints the median time of each step over many rounds, the steps of a round one after the other, so
//! that a busy machine slows all of them alike.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aes_gcm::aead::{Aead as _, Payload as Sealed};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use mesh_crypto::{Domain, NodeKey, Opener, PairSecret, Sealer, SealingKey, digest, verify};
use mesh_protocol::{
    Encryption, MediaStream, MediaType, MeshMessage, MessageId, Payload, Recipient, UnixMillis,
};
use mesh_testkit::{Figures, Raw};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const CONTENT_BYTES: usize = 64 << 10;
const ROUNDS: usize = 2000;

fn main() {
    let mut bench = Bench::new();
    // The first rounds fill caches, the allocator's and the two contexts'.
    for _ in 0..ROUNDS / 10 {
        bench.round();
    }
    bench.steps = Steps::default();
    for _ in 0..ROUNDS {
        bench.round();
    }
    bench.steps.print();
}

struct Bench {
    rng: StdRng,
    node_key: NodeKey,
    sealing_key: SealingKey,
    pair: PairSecret,
    sealer: Sealer,
    opener: Opener,
    cipher: Aes256Gcm,
    message: MeshMessage,
    plaintext: Vec<u8>,
    steps: Steps,
}

#[derive(Default)]
struct Steps {
    library: Vec<Duration>,
    seal: Vec<Duration>,
    open: Vec<Duration>,
    sign: Vec<Duration>,
    verify: Vec<Duration>,
    digest: Vec<Duration>,
    codec: Vec<Duration>,
    first: Vec<Duration>,
}

impl Bench {
    fn new() -> Self {
        let node_key = NodeKey::from_secret_bytes(&Zeroizing::new([1; 32]));
        let message = MeshMessage {
            message_id: MessageId::from_bytes([2; 16]),
            from: node_key.peer_id(),
            to: Recipient::Broadcast,
            payload: Payload::MediaStream(MediaStream {
                stream_id: [3; 16],
                media_type: MediaType::Video,
                codec: "avc1.64001f".to_owned(),
                sequence: 0,
                presentation_micros: 0,
                is_keyframe: true,
                is_final: false,
                data: vec![4; CONTENT_BYTES],
            }),
            encryption: Encryption::Sealed,
            timestamp: UnixMillis(5),
        };
        Self {
            rng: StdRng::seed_from_u64(6),
            sealing_key: SealingKey::from_secret_bytes(&Zeroizing::new([7; 32])),
            pair: PairSecret::from_bytes(Zeroizing::new([8; 32])),
            sealer: Sealer::new(node_key.clone()),
            opener: Opener::new(),
            cipher: Aes256Gcm::new(&[9; 32].into()),
            plaintext: vec![4; CONTENT_BYTES],
            node_key,
            message,
            steps: Steps::default(),
        }
    }

    fn round(&mut self) {
        let Self { rng, node_key, sealing_key, pair, sealer, opener, .. } = self;
        let message = &self.message;
        let (me, public) = (node_key.peer_id(), sealing_key.public());
        let (time, ()) = timed(|| {
            let nonce = [0; 12].into();
            let sealed = Sealed { msg: black_box(&self.plaintext), aad: &[0; 220] };
            let sealed = self.cipher.encrypt(&nonce, sealed).unwrap();
            let sealed = Sealed { msg: black_box(&sealed), aad: &[0; 220] };
            black_box(self.cipher.decrypt(&nonce, sealed).unwrap());
        });
        self.steps.library.push(time);
        let (time, envelope) =
            timed(|| sealer.seal(rng, black_box(message), me, &public, Some(pair)).unwrap());
        self.steps.seal.push(time);
        let (time, _) =
            timed(|| opener.open(black_box(&envelope), sealing_key, Some(pair)).unwrap());
        self.steps.open.push(time);
        let (time, hash) = timed(|| digest(black_box(&envelope.ciphertext)));
        self.steps.digest.push(time);
        let signed = [envelope.header.encode().unwrap().as_slice(), &hash].concat();
        let (time, signature) = timed(|| node_key.sign(Domain::Envelope, black_box(&signed)));
        self.steps.sign.push(time);
        let (time, is_valid) =
            timed(|| verify(&me, Domain::Envelope, black_box(&signed), &signature));
        assert!(is_valid);
        self.steps.verify.push(time);
        let (time, _) = timed(|| MeshMessage::decode(&black_box(message).encode().unwrap()));
        self.steps.codec.push(time);
        let (time, _) = timed(|| {
            let mut sealer = Sealer::new(node_key.clone());
            let envelope = sealer.seal(rng, message, me, &public, Some(pair)).unwrap();
            Opener::new().open(&envelope, sealing_key, Some(pair)).unwrap()
        });
        self.steps.first.push(time);
    }
}

fn timed<T>(step: impl FnOnce() -> T) -> (Duration, T) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
    let start = Instant::now();
    let outcome = step();
    (start.elapsed(), outcome)
}

impl Steps {
    fn print(mut self) {
        let [library, seal, open, sign, verify, digest, codec, first] = [
            &mut self.library,
            &mut self.seal,
            &mut self.open,
            &mut self.sign,
            &mut self.verify,
            &mut self.digest,
            &mut self.codec,
            &mut self.first,
        ]
        .map(|times| {
            times.sort_unstable();
            times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64) * 1e6
        });
        let signature = sign + verify + 2.0 * digest;
        let whole = seal + open;
        let lines = [
            ("64 KiB: seal + open without signature", whole - signature, "≥ 0.7 x its speed"),
            ("64 KiB: seal + open with signature", whole, "≥ 0.7 x its speed"),
            ("  first of an encapsulation", first, ""),
            ("  of it seal", seal, ""),
            ("  of it open", open, ""),
            ("  of it message codec, both ways", codec, ""),
            ("  of it Ed25519 sign", sign, ""),
            ("  of it Ed25519 verify", verify, ""),
            ("  of it BLAKE3 of the ciphertext, each way", digest, ""),
        ];
        for (name, micros, aim) in lines {
            let raw = Raw::new(format!("AES-GCM alone {library:.1} µs"), library / micros);
            FIGURES.add(name, &format!("{micros:.1} µs"), aim, raw);
        }
    }
}
