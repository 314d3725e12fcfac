//! The JSON form, where documents of applications stand inside ours.

use serde_json::{Value, json};

use super::samples;
use crate::{ConfigUpdate, CustomJson, ErrorCode, JsonText, ParseError, Payload, Unknown};

fn custom(data: &str) -> String {
    format!(r#"{{"type":"custom_json","data":{{"app_type":"text","data":{data}}}}}"#)
}

fn through(json: &str) -> String {
    serde_json::to_string(&serde_json::from_str::<Payload>(json).unwrap()).unwrap()
}

#[test]
fn documents_come_back_byte_for_byte() {
    for data in [
        "null",
        "12345678901234567890123",
        "-0.10000000000000000000000000000001",
        r#"{"z":1,"a":2,"z":3}"#,
        r#"["\u00e9","é","\ud83d\ude00","\\\" { } "]"#,
    ] {
        let json = custom(data);
        assert_eq!(through(&json), json);
    }
}

#[test]
fn payloads_of_unknown_types_come_back_byte_for_byte() {
    for json in [
        r#"{"type":"poll","data":{"of":[1.0,12345678901234567890123],"at":null}}"#,
        r#"{"data":[],"type":"poll","more":{"b":1,"a":2}}"#,
        r#"{"type":"poll"}"#,
    ] {
        let payload: Payload = serde_json::from_str(json).unwrap();
        assert_eq!(payload, Payload::Unknown(samples::named_unknown(json)));
        assert_eq!(through(json), json);
    }
}

#[test]
fn a_document_with_line_breaks_is_shown_on_one_line() {
    let spread = "{\n  \"text\" : \"two  blanks\\n\\\" stay\" ,\r\n\t\"list\": [ 1, 2 ]\n}";
    let document = JsonText::parse(spread).unwrap();
    assert_eq!(document.as_str(), spread);
    let payload = Payload::CustomJson(CustomJson { app_type: "text".to_owned(), data: document });
    let shown = serde_json::to_string(&payload).unwrap();
    assert_eq!(shown, custom(r#"{"text":"two  blanks\n\" stay","list":[1,2]}"#));
}

#[test]
fn what_cannot_be_shown_as_a_value_is_no_document() {
    for text in
        ["", "{", "1 2", "NaN", "1e999", r#""\ud800""#, r#"{"\udc00":1}"#, "{1:2}", "\u{7f}"]
    {
        let refused = Err(ParseError::Characters { what: "JSON document" });
        assert_eq!(JsonText::parse(text), refused, "{text}");
        assert!(serde_json::from_str::<Payload>(&custom(text)).is_err(), "{text}");
    }
}

#[test]
fn a_document_and_its_value_are_the_same() {
    let value = json!({ "text": "hello", "list": [1, -2, 3.5, true, null] });
    assert_eq!(JsonText::from(&value).to_value(), value);
    assert_eq!(JsonText::parse(&value.to_string()).unwrap(), JsonText::from(&value));
}

#[test]
fn a_value_of_null_is_not_the_removal_of_a_key() {
    let read = |json: &str| {
        let Payload::ConfigUpdate(update) = serde_json::from_str(json).unwrap() else {
            panic!("{json}");
        };
        update
    };
    let author = samples::MINT;
    let set = format!(
        r#"{{"type":"config_update","data":{{"key":"k","value":null,"version":1,"author":"{author}","stamp":5}}}}"#
    );
    let removed = set.replace(r#""value":null,"#, "");
    let null = JsonText::parse("null").unwrap();
    let expected =
        |value| ConfigUpdate { key: "k".to_owned(), value, version: 1, author, stamp: 5 };
    assert_eq!(read(&set), expected(Some(null)));
    assert_eq!(read(&removed), expected(None));
    assert_eq!(through(&set), set);
    assert_eq!(through(&removed), removed);
}

#[test]
fn a_payload_known_by_name_alone_cannot_pose_as_a_known_type() {
    let posing = Unknown {
        kind: Unknown::KIND_NAMED,
        body: br#"{"type":"ack","data":{"message_id":"00000000-0000-0000-0000-000000000000"}}"#
            .to_vec(),
    };
    let payload = Payload::Unknown(posing);
    assert_eq!(payload.to_json()["type"], "unknown");
    assert_eq!(Payload::from_json(&payload.to_json()).unwrap(), payload);
}

#[test]
fn a_number_that_is_known_by_now_is_read_as_its_kind() {
    let ping = samples::ping_message().payload;
    let body = super::encode_body(&ping);
    let shown = Payload::Unknown(Unknown { kind: 4711, body }).to_json();
    let mut known = shown;
    known["data"]["kind"] = json!(6);
    assert_eq!(Payload::from_json(&known).unwrap(), ping);
    known["data"]["body"] = json!("AAAA");
    assert!(Payload::from_json(&known).is_err());
}

#[test]
fn the_value_form_and_the_text_form_say_the_same() {
    for (name, payload) in samples::payloads() {
        let text = serde_json::to_string(&payload).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(payload.to_json(), value, "{name}");
        // A value sorts keys and rounds long numbers, so the payload itself may differ in those.
        assert_eq!(Payload::from_json(&value).unwrap().to_json(), value, "{name}");
    }
}

#[test]
fn binary_data_is_base64_in_json() {
    let payloads = samples::payloads();
    let (_, file) = payloads.iter().find(|(name, _)| *name == "file_transfer").unwrap();
    assert_eq!(file.to_json()["data"]["chunk_data"], "ZWNobyByZXN0YXJ0ZWQK");
    let mut document = file.to_json();
    for wrong in ["ZWNobyByZXN0YXJ0ZWQ", "ZWNo ", "*", "AA=A"] {
        document["data"]["chunk_data"] = json!(wrong);
        assert!(Payload::from_json(&document).is_err(), "{wrong}");
    }
    document["data"]["chunk_data"] = json!("");
    document["data"]["checksum"] = json!("AAAA");
    assert!(Payload::from_json(&document).is_err());
}

#[test]
fn a_document_without_a_type_or_with_misfitting_data_is_refused() {
    for json in [
        "[]",
        "{}",
        r#"{"type":5,"data":null}"#,
        r#"{"data":{"nonce":1,"sent_at":2}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"ping","data":{"nonce":-1,"sent_at":2}}"#,
        r#"{"type":"unknown","data":{"kind":65536,"body":""}}"#,
    ] {
        assert!(serde_json::from_str::<Payload>(json).is_err(), "{json}");
    }
    // A newer minor version may add members.
    let more = r#"{"type":"ping","data":{"nonce":1,"sent_at":2,"hops":3},"trace":"x"}"#;
    assert_eq!(through(more), r#"{"type":"ping","data":{"nonce":1,"sent_at":2}}"#);
}

#[test]
fn an_error_code_of_a_newer_version_reads_as_internal() {
    let json = r#"{"type":"error","data":{"code":"too_sunny","message":"m","message_id":null}}"#;
    let Payload::Error(notice) = serde_json::from_str(json).unwrap() else { panic!("{json}") };
    assert_eq!(notice.code, ErrorCode::Internal);
}

#[test]
fn a_payload_has_no_binary_form_outside_a_message() {
    let payload = samples::ping_message().payload;
    assert!(crate::codec::encode(&payload, 1024).is_err());
    assert!(crate::codec::decode::<Payload>("payload", &[0; 64], false).is_err());
}
