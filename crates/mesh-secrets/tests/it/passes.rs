//! Content that is full of random-looking bytes and holds no secret.

use mesh_secrets::{AllowList, FINDINGS_MAX, Scanner};

use crate::fakes::{DIGITS, LETTERS, letters};

fn clean(name: &str, content: &str) {
    let found = Scanner::default().scan_text(name, content.as_bytes(), 0).unwrap();
    assert_eq!(found, [], "{content}");
}

#[test]
fn lock_files_and_manifests_pass() {
    let integrity = format!("sha512-{}{}==", LETTERS, &LETTERS[..22]);
    clean(
        "package-lock.json",
        &format!(
            "\"node_modules/js-tokens\": {{\n \"version\": \"4.0.0\",\n \"resolved\": \
             \"https://registry.npmjs.org/js-tokens/-/js-tokens-4.0.0.tgz\",\n \"integrity\": \"{integrity}\"\n}}"
        ),
    );
    clean(
        "yarn.lock",
        &format!("js-tokens@^4.0.0:\n  version \"4.0.0\"\n  integrity {integrity}\n"),
    );
    clean(
        "pnpm-lock.yaml",
        &format!("  js-tokens@4.0.0:\n    resolution: {{integrity: {integrity}}}\n"),
    );
    clean(
        "Cargo.lock",
        &format!("name = \"secrecy\"\nversion = \"0.10.3\"\nchecksum = \"{DIGITS}\"\n"),
    );
    clean("go.sum", &format!("github.com/x/token v1.0.2 h1:{}=\n", &LETTERS[..43]));
    clean("SHA256SUMS", &format!("{DIGITS}  src/token.rs\n{DIGITS} *secret\n"));
    clean(
        "manifest.json",
        &format!("{{\"path\":\"secrets.rs\",\"sha256\":\"{DIGITS}\",\"blake3\":\"{DIGITS}\"}}"),
    );
}

#[test]
fn ids_commits_keys_for_everybody_and_pictures_pass() {
    clean(
        "ids.toml",
        "database_id = \"0f3c5a7e-91b2-4d6f-8a0c-e2b4d6f81a3c\"\ntoken_id = \"0f3c5a7e91b24d6f8a0ce2b4d6f81a3c\"\n",
    );
    clean(
        "log",
        &format!("commit {}\nMerge: {} {}\n", &DIGITS[..40], &DIGITS[..7], &DIGITS[8..15]),
    );
    clean(
        "authorized_keys",
        &format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} oak@elm\n", &LETTERS[..43]),
    );
    clean("config", &format!("public_key = \"{}\"\npeer_id: {}\n", &LETTERS[..43], &LETTERS[..43]));
    clean(
        "a.html",
        &format!(
            "<img alt=\"token\" src=\"data:image/png;base64,iVBORw0KGgo{}\">",
            LETTERS.repeat(40)
        ),
    );
    clean("x.rs", "#[assembly: PublicKeyToken=b77a5c561934e089f0a1]");
}

#[test]
fn prose_and_code_about_secrets_pass() {
    clean(
        "lorem.txt",
        &"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod. ".repeat(500),
    );
    clean(
        "docs.md",
        "Set `TOKEN` to your token: TOKEN=<token>.\nPassword: changeme\nThe token expires after 24h0m0s.\n\
         --token TOKEN reads the token from $TOKEN; secret: see docs/security.md#secrets-in-what-travels\n\
         export API_KEY=\"${API_KEY:-}\"\nkubectl get secret my-secret-2024 -o yaml\n",
    );
    clean(
        "code.rs",
        "let token = JoinToken::parse(text)?;\nlet secret: [u8; 32] = rng.random();\nif token == other_token1 {}\n\
         password: Option<String>,\nself.token_secret.bytes().hash1(&id)\nlet api_key = config.get(\"api_key\");\n\
         tokens: Vec<TokenKind2>,\nsecret.expose_secret().as_bytes()[0..16]\n",
    );
    clean(
        "code.js",
        "const password = document.getElementById('password1').value;\nheaders['x-token'] = options.token || process.env.TOKEN2\n",
    );
}

#[test]
fn the_allow_list_lets_through_one_rule_in_named_places_until_it_expires() {
    let list = "[[allow]]\nrule = \"github_token\"\nname = \"docs/*.md\"\nreason = \"revoked\"\nexpires = 2026-05-31\n";
    let scanner = Scanner::new(AllowList::parse(list).unwrap());
    let content = format!("{}\n{}\n", letters(&["gh", "p_"], 36), letters(&["gl", "pat-"], 20));
    let rules = |name: &str, now: i64| -> Vec<&'static str> {
        let found = scanner.scan_text(name, content.as_bytes(), now).unwrap();
        found.iter().map(|finding| finding.rule.as_str()).collect()
    };
    let both = ["github_token", "gitlab_token"];
    assert_eq!(rules("docs/a.md", 1_780_185_600), ["gitlab_token"]);
    assert_eq!(rules("src/a.md", 1_780_185_600), both);
    assert_eq!(rules("docs/a.md", 1_780_185_600 + 86_400), both);
    assert_eq!(scanner.expired(1_780_185_600 + 86_400).len(), 1);
}

#[test]
fn findings_have_an_end_and_what_is_allowed_does_not_count() {
    let token = letters(&["gh", "p_"], 36);
    let content = format!("{token}\n").repeat(FINDINGS_MAX * 4);
    let found = Scanner::default().scan_text("a", content.as_bytes(), 0).unwrap();
    assert_eq!(found.len(), FINDINGS_MAX);
    let list = "[[allow]]\nrule = \"github_token\"\nname = \"a\"\nreason = \"fake\"\nexpires = 2026-05-31\n";
    let scanner = Scanner::new(AllowList::parse(list).unwrap());
    let content = format!("{content}{}", letters(&["gl", "pat-"], 20));
    assert_eq!(scanner.scan_text("a", content.as_bytes(), 0).unwrap().len(), 1);
}
