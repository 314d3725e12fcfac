use super::*;

#[test]
fn a_line_ends_outside_of_comments() {
    assert_eq!(first_line_end(" /* a\nb */ // c\r\n  "), Some(15));
    assert_eq!(first_line_end(" /* a\nb */ "), None);
    assert_eq!(comments_end(" /* a */ \n// b\n "), 14);
    assert_eq!(comments_end(" \n "), 0);
    assert_eq!(first_line_end("/*/\n*/\n"), Some(6));
    assert_eq!(first_line_end("/**/\n*/"), Some(4));
}

#[test]
fn a_comment_to_the_end_of_the_line_is_open_until_there() {
    assert!(is_open(" // a"));
    assert!(is_open(" // a /* b */"));
    assert!(!is_open(" // a\n"));
    assert!(!is_open(" /* // */ "));
}

#[test]
fn the_indentation_follows_the_last_line_end() {
    assert_eq!(indent("\n\n \t// a\n    "), Some("    "));
    assert_eq!(indent("\n  /* a */ "), Some("  "));
    assert_eq!(indent(" /* a\n */ "), None);
    assert_eq!(indent("\r\n"), Some(""));
}

#[test]
fn comments_behind_an_empty_line_belong_to_the_member_alone() {
    assert_eq!(detached("\n  // a\n  // b\n  "), "");
    assert_eq!(detached("\n  // title\n\n  // about\n  "), "\n  // title");
    assert_eq!(detached("\n  // title\n \n  "), "\n  // title");
    assert_eq!(detached("\n\n  // about\n  "), "");
}
