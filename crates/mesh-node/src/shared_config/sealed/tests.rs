use mesh_config::ConfigKey;

use super::bound_to;

#[test]
fn a_sealed_value_belongs_to_its_key_alone_and_moves_with_the_entry_of_a_member() {
    let bound = |text: &str| bound_to(&text.parse::<ConfigKey>().unwrap());
    assert_eq!(bound("agents.oak.pin"), bound("agents.\"ash.office\".pin"));
    assert_eq!(bound("agents.oak.door.pin"), "agents.*.door.pin");
    for (one, other) in [
        ("agents.oak.pin", "agents.oak.door"),
        ("agents.oak.pin", "agents.oak.door.pin"),
        ("agents.oak.pin", "agents.pin"),
        ("agents.oak.pin", "agents.\"*\""),
        ("databases.oak.pin", "databases.ash.pin"),
    ] {
        assert_ne!(bound(one), bound(other), "{one} {other}");
    }
}
