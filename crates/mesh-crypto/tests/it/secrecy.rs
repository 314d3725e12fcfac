//! What a log could show.

use std::fmt::Debug;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use mesh_crypto::{JoinToken, KeyFile, Opener, Sealer, StoreKey, TokenSecret};
use mesh_protocol::{MeshId, PeerId, TokenId, UnixMillis};
use zeroize::Zeroizing;

use crate::support::{node_key, pair_secret, sealing_key};

/// A secret whose every form is easy to recognise.
const SECRET: [u8; 32] = [0xA7; 32];

fn assert_shows_nothing(value: &impl Debug) {
    let forms = [
        hex::encode(&SECRET[..4]),
        hex::encode_upper(&SECRET[..4]),
        URL_SAFE_NO_PAD.encode(&SECRET[..6]),
        STANDARD_NO_PAD.encode(&SECRET[..6]),
        "167, 167".to_owned(),
        "0xa7".to_owned(),
        "\\xa7".to_owned(),
    ];
    for shown in [format!("{value:?}"), format!("{value:#?}").replace("\n ", " ")] {
        let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for form in &forms {
            assert!(!flat.contains(form.as_str()), "{form} in {flat}");
        }
    }
}

#[test]
fn debug_shows_nothing_secret() {
    let secret = || Zeroizing::new(SECRET);
    let node_key = node_key(SECRET[0]);
    assert_shows_nothing(&node_key);
    assert_shows_nothing(&sealing_key(SECRET[0]));
    assert_shows_nothing(&pair_secret(SECRET[0]));
    assert_shows_nothing(&StoreKey::from_secret_bytes(secret()));
    assert_shows_nothing(&TokenSecret::from_bytes(secret()));
    assert_shows_nothing(&KeyFile {
        node_key: node_key.clone(),
        store_key: StoreKey::from_secret_bytes(secret()),
    });
    assert_shows_nothing(&JoinToken::new(
        MeshId::from_bytes([1; 32]),
        PeerId::from_bytes([2; 32]),
        TokenId::from_bytes([3; 16]),
        TokenSecret::from_bytes(secret()),
        UnixMillis(4),
        vec!["192.0.2.7:13500".parse().unwrap()],
    ));
    assert_shows_nothing(&Sealer::new(node_key));
    assert_shows_nothing(&Opener::new());
}

#[test]
fn the_test_would_notice_a_secret() {
    let shown = std::panic::catch_unwind(|| assert_shows_nothing(&SECRET));
    assert!(shown.is_err());
}

#[test]
fn keys_and_what_works_with_them_may_move_between_tasks() {
    fn check<T: Send + Sync + 'static>() {}
    check::<KeyFile>();
    check::<JoinToken>();
    check::<Sealer>();
    check::<Opener>();
}
