use super::*;

#[test]
fn a_change_is_named_by_its_number_and_its_maker() {
    let name = |version, by: Option<&str>| ChangeName { version, by: by.map(str::to_owned) };
    assert_eq!("17".parse(), Ok(name(17, None)));
    assert_eq!("17@oak".parse(), Ok(name(17, Some("oak"))));
    for wrong in ["", "@oak", "17@", "-1", "v17", "17 @oak"] {
        assert!(wrong.parse::<ChangeName>().is_err(), "{wrong}");
    }
}
