//! Logs show what `Debug` shows, so it must not show what users say or what must stay secret.

use super::samples;
use crate::{CustomJson, Frame, JsonText, Payload};

/// How `Debug` of a byte string would begin.
fn as_list(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    numbers.join(", ")
}

#[test]
fn no_payload_shows_its_content() {
    let secret = "the cellar key is under the oak";
    let data = JsonText::from(&serde_json::json!({ "text": secret }));
    let custom = CustomJson { app_type: "text".to_owned(), data };
    let shown = format!("{:?} {custom:?}", custom.data);
    assert!(!shown.contains("cellar"), "{shown}");

    for (_, mut payload) in samples::payloads() {
        match &mut payload {
            Payload::FileTransfer(file) => {
                file.chunk_data = secret.as_bytes().to_vec();
                file.path = secret.to_owned();
            }
            Payload::MediaStream(media) => media.data = secret.as_bytes().to_vec(),
            Payload::DatabaseSync(sync) => sync.data = JsonText::parse(r#""cellar""#).unwrap(),
            Payload::ConfigUpdate(update) => {
                update.value = Some(JsonText::parse(r#""cellar""#).unwrap());
            }
            Payload::Unknown(unknown) => unknown.body = secret.as_bytes().to_vec(),
            Payload::CustomJson(_)
            | Payload::Ping(_)
            | Payload::Pong(_)
            | Payload::Ack(_)
            | Payload::Error(_) => {}
        }
        let shown = format!("{:?}", samples::message(payload));
        assert!(!shown.contains("cellar"), "{shown}");
        assert!(!shown.contains(&as_list(b"the")), "{shown}");
    }
}

#[test]
fn no_frame_shows_a_message_or_a_token_secret() {
    for (name, frame) in samples::frames() {
        let shown = format!("{frame:?}");
        let is_listing = shown.contains(&as_list(&[0x5c; 3])) // the token's secret
            || shown.contains(&as_list(&[0xc1; 3])) // ciphertext
            || shown.contains(&as_list(&[0xb1; 3])); // the sender inside an open message
        assert!(!is_listing, "{name}: {shown}");
    }
    let deliver =
        Frame::Deliver(crate::Deliver { batch_id: 1, items: vec![samples::deliver_item(0)] });
    assert!(format!("{deliver:?}").contains(" bytes"));
    assert!(format!("{:?}", samples::envelope()).contains("40 bytes"));
}

#[test]
fn what_travels_through_others_shows_neither_content_nor_gossip() {
    for (name, frame) in samples::frames() {
        let shown = format!("{frame:?}");
        // Gossip, and the beginning of a link state: the id of the mesh.
        let is_listing =
            shown.contains(&as_list(&[0x5f; 3])) || shown.contains(&as_list(&[0x3e; 3]));
        assert!(!is_listing, "{name}: {shown}");
        let counted = match name {
            "swim" => "data: 24 bytes",
            "link_states" => "body: 160 bytes",
            "forward" | "custody" => "message: ",
            _ => "",
        };
        assert!(shown.contains(counted), "{name}: {shown}");
    }
    assert!(format!("{:?}", samples::parcel()).contains("from: PeerId(b1b1b1b1)"));
}

#[test]
fn ids_show_their_first_digits() {
    assert_eq!(format!("{:?}", samples::BAULDER), "PeerId(b1b1b1b1)");
    assert_eq!(samples::MESH.short(), "3e3e3e3e");
}
