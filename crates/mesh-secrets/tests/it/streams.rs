//! Streams: what is found does not depend on where the pieces end.

use mesh_secrets::{Finding, Scanner};
use proptest::prelude::*;

use crate::fakes::{DIGITS, LETTERS, join_token, letters, longest_join_token};

fn streamed(content: &[u8], sizes: &[usize]) -> Vec<Finding> {
    let mut scan = Scanner::default().file_scan("a.txt", 0).unwrap();
    let mut rest = content;
    for size in sizes.iter().cycle() {
        let (chunk, behind) = rest.split_at(rest.len().min((*size).max(1)));
        scan.feed(chunk);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    scan.finish()
}

fn whole(content: &[u8]) -> Vec<Finding> {
    Scanner::default().scan_text("a.txt", content, 0).unwrap()
}

/// `secret` at `offset` of a text of lines, or of one line.
fn planted(secret: &str, offset: usize, bytes: usize, line_bytes: usize) -> Vec<u8> {
    let mut content: Vec<u8> =
        (0..bytes).map(|at| if at % line_bytes == line_bytes - 1 { b'\n' } else { b'.' }).collect();
    let secret = format!(" {secret} ");
    content[offset..offset + secret.len()].copy_from_slice(secret.as_bytes());
    content
}

#[test]
fn a_secret_across_every_edge_of_a_window_or_piece_is_found_once() {
    let token = letters(&["gh", "p_"], 36);
    for line_bytes in [100, 1 << 30] {
        for edge in [8 << 10, 16 << 10, 24 << 10, 64 << 10, 128 << 10] {
            for before in 0..45 {
                let content = planted(&token, edge - before, 150_000, line_bytes);
                let found = whole(&content);
                assert_eq!(found.len(), 1, "{line_bytes} {edge} {before}");
                assert_eq!(streamed(&content, &[4096, 7]), found, "{line_bytes} {edge} {before}");
                let at = edge - before + 1;
                let newlines = content[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
                assert_eq!(found[0].line, newlines + 1);
            }
        }
    }
}

#[test]
fn the_longest_join_token_is_found_in_the_longest_line() {
    let token = longest_join_token();
    assert!(token.len() > 5_000, "{}", token.len());
    for offset in (0..40_000).step_by(997) {
        let content = planted(&token, offset, 60_000, 1 << 30);
        let found = whole(&content);
        assert_eq!(found.len(), 1, "{offset}");
        assert_eq!((found[0].rule.as_str(), found[0].column), ("join_token", offset as u64 + 12));
        assert_eq!(streamed(&content, &[1000]), found);
    }
}

#[test]
fn lines_behind_a_long_line_are_counted_right() {
    let token = letters(&["gh", "p_"], 36);
    let content =
        format!("a\n{}\nb\n{token}\n{} {token}\n{token}", "x".repeat(200_000), "y".repeat(90_000));
    let found = whole(content.as_bytes());
    let places: Vec<_> = found.iter().map(|finding| (finding.line, finding.column)).collect();
    assert_eq!(places, [(4, 1), (5, 90_002), (6, 1)]);
    assert_eq!(streamed(content.as_bytes(), &[333]), found);
}

#[test]
fn a_table_goes_on_across_pieces() {
    let row = format!("| oak | {} |\n", "-".repeat(80));
    let mut content = format!("| agent | token |\n|---|---|\n{}", row.repeat(2_000));
    content.push_str(&format!("| elm | {} |\n", &LETTERS[..30]));
    let found = whole(content.as_bytes());
    assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2_003]);
    assert_eq!(streamed(content.as_bytes(), &[5_000]), found);
    // Heads in one piece, the line below them in the next.
    let filler = "x".repeat(99).to_owned() + "\n";
    for skew in 0..40 {
        let content = format!(
            "{}{}\n| agent | token |\n|---|---|\n| elm | {} |\n{}",
            filler.repeat(654),
            "y".repeat(90 + skew),
            &LETTERS[..30],
            filler.repeat(700)
        );
        assert_eq!(streamed(content.as_bytes(), &[64]).len(), 1, "{skew}");
    }
}

#[test]
fn text_of_utf_16_is_read_as_text() {
    let text = format!("à la carte\r\npassword = \"{}\"\r\n", &LETTERS[..20]);
    let little: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let big: Vec<u8> =
        [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    for content in [little, big] {
        let found = whole(&content);
        assert_eq!((found.len(), found[0].line, found[0].column), (1, 2, 13));
        assert_eq!(streamed(&content, &[1]), found);
    }
}

#[test]
fn a_line_full_of_keywords_takes_no_longer_than_its_length() {
    // Quadratic work would take minutes.
    for piece in [
        "token=",
        "--password ",
        "://",
        "secret ",
        "eyJ",
        "-----BEGIN ",
        "|-",
        "bearer ",
        "mysql -p",
    ] {
        let content = piece.repeat((1 << 20) / piece.len());
        let _found = whole(content.as_bytes());
    }
    let content = format!("token {}", DIGITS.repeat(1 << 14));
    let _found = whole(content.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_panic_and_pieces_change_nothing(
        parts in proptest::collection::vec(part(), 0..60),
        sizes in proptest::collection::vec(1..70_000_usize, 1..5),
    ) {
        let content = parts.concat();
        prop_assert_eq!(streamed(&content, &sizes), whole(&content));
    }

    #[test]
    fn a_secret_is_found_wherever_it_stands(
        offset in 0..150_000_usize, line_bytes in 1_000..300_000_usize, size in 1..70_000_usize, which in 0..3_usize,
    ) {
        let secrets = [join_token(), letters(&["gh", "p_"], 36), format!("token = {}", &LETTERS[..40])];
        let mut content = planted(".", 0, 155_000, line_bytes);
        let secret = &secrets[which];
        content.splice(offset..offset, format!("\n{secret} ").into_bytes());
        let found = streamed(&content, &[size]);
        prop_assert_eq!(found.len(), 1);
        let shown = format!("{:?} {}", found, found[0]);
        prop_assert!(!shown.contains(&secret[secret.len() - 30..]));
        prop_assert_eq!(whole(&content), found);
    }
}

/// Bytes, words that call rules, long lines.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<Vec<u8>> = [
        "token",
        "password: ",
        "\n",
        "|---|\n",
        "| token |\n",
        "| ",
        "://",
        "@",
        "Bearer ",
        "--secret ",
        "-p '",
        "meshjoin1_",
        "=",
        "\"",
        "eyJ",
        ".",
        "\r\n",
        "sk-",
        ":AA",
        "\u{0}",
        "…",
        "ghp_",
        &DIGITS[..32],
        LETTERS,
    ]
    .map(|word| word.as_bytes().to_vec())
    .into();
    prop_oneof![
        4 => proptest::sample::select(words),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..40_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}
