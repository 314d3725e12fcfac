use super::parse_rate;

#[test]
fn a_unit_is_1024_of_the_one_before_it() {
    for (text, rate) in [
        ("1", 1),
        ("500000", 500_000),
        ("500B", 500),
        ("20K", 20 << 10),
        ("20M", 20 << 20),
        ("20m", 20 << 20),
        ("2G", 2 << 30),
        ("1.5M", 3 << 19),
        ("0.5K", 512),
    ] {
        assert_eq!(parse_rate(text), Ok(rate), "{text}");
    }
}

#[test]
fn what_is_no_rate_is_refused() {
    for text in [
        "",
        "M",
        "20X",
        "-1",
        "+1",
        "1.M",
        "1.55M",
        ".5M",
        "1 M",
        "0",
        "0M",
        "20é",
        "1e3",
        "99999999999999999999",
        "18446744073709551615K",
    ] {
        assert!(parse_rate(text).is_err(), "{text}");
    }
}
