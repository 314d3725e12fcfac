use super::*;

#[test]
fn a_name_tells_whether_its_value_is_a_secret() {
    let secrets = [
        "token",
        "bot_token",
        "botToken",
        "BOT-TOKEN",
        "authtoken",
        "tokens",
        "token2",
        "telegram_token_prod",
        "apiKey",
        "api_key",
        "api-key",
        "apikey",
        "OPENAI_API_KEY",
        "clientSecret",
        "db.password",
        "passwd",
        "aws_secret_access_key",
        "private_key",
        "access_token",
        "credentials",
        "_authToken",
        "password_hash",
        "node-key",
    ];
    for name in secrets {
        assert!(holds_secret(name.as_bytes()), "{name}");
    }
    let others = [
        "",
        "tokenizer",
        "token_file",
        "tokenFile",
        "token_id",
        "secret_name",
        "password_hint",
        "token_url",
        "max_token_count",
        "token_ttl",
        "public_key_token",
        "PublicKeyToken",
        "key",
        "sort_key",
        "primary_key",
        "keyboard",
        "secretary",
        "token_sha256",
        "secret_backend",
        "api_key_env",
        "js-tokens-version",
        "checksum_token",
    ];
    for name in others {
        assert!(!holds_secret(name.as_bytes()), "{name}");
    }
}
