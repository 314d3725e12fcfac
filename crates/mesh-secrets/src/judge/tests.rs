use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

#[test]
fn what_people_write_is_not_random() {
    for text in [
        "getAuthenticationTokenFromRequest",
        "authentication-token-required",
        "request.headers.authorization",
        "self.config.auth.token_provider",
        "lorem-ipsum-dolor-sit-amet-consectetur",
        "aaaabbbbccccddddeeee",
        "internationalization",
        "com.example.app.auth.TokenService",
        "node_modules/js-tokens/index.js",
        "AUTHENTICATION_TOKEN_HEADER",
        "XMLHttpRequestEventTarget",
    ] {
        assert!(!looks_random(text.as_bytes()), "{text} {}", entropy(text.as_bytes()));
    }
}

#[test]
fn nearly_all_that_was_drawn_is_random() {
    let mut rng = StdRng::seed_from_u64(7);
    let alphabets: [(&[u8], usize); 4] = [
        (b"0123456789abcdef", 32),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 24),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 40),
        (b"abcdefghijklmnopqrstuvwxyz0123456789", 32),
    ];
    for (alphabet, length) in alphabets {
        let found = (0..1000).filter(|_| {
            let drawn: Vec<u8> = (0..length)
                .map(|_| alphabet[usize::try_from(rng.next_u32()).unwrap() % alphabet.len()])
                .collect();
            looks_random(&drawn)
        });
        let found = found.count();
        assert!(found >= 970, "{found} of 1000, {} letters", alphabet.len());
    }
}

#[test]
fn stand_ins_paths_and_references_are_placeholders() {
    for text in [
        "",
        "<token>",
        "<your token here>",
        "${TOKEN}",
        "${TOKEN:-none}",
        "$TOKEN",
        "$oakToken2",
        "$env:OAK_TOKEN",
        "$1",
        "$HOME/.config/token",
        "${XDG_RUNTIME_DIR}/token",
        "$(cat /run/secrets/token)",
        "{{ token }}",
        "%TOKEN%",
        "op://vault/item/field",
        "/run/secrets/token",
        "./token",
        "~/.config/token",
        "C:\\keys\\token",
        "changeme",
        "CHANGE_ME_PLEASE",
        "xxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "your_token_here",
        "YOUR_TOKEN",
        "********",
        "password",
        "none",
        "process.env.TOKEN",
        "/home/oak/.config/mesh/token-2026.txt",
        "sk-…",
        "000000000000",
    ] {
        assert!(is_placeholder(text.as_bytes()), "{text}");
    }
    for text in [
        "hunter22!",
        "/Kx9+fQ2mZr7Tb4WcLp0Vn8sYd3Gh6Ju1Ea5Xi",
        "correct horse",
        "a1b2c3d4",
        "<hunter2",
        "$2b$10$N9qo8uLOickgx2ZMRZoMxeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        "$apr1$hJ8kQ2mZ$r7Tb4WcLp0Vn8sYd3Gh6J/",
        "$Kx9fQ2mZr7Tb4WcLp0Vn8sYd",
        "$hunter2!",
        "$word pass",
        "${hunter2",
        "${A}hunter2",
    ] {
        assert!(!is_placeholder(text.as_bytes()), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_much(value in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _judged = (looks_random(&value), looks_like_password(&value), is_placeholder(&value), is_path(&value));
    }
}
