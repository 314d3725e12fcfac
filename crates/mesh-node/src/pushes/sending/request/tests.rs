use std::path::PathBuf;

use super::*;

fn request(paths: &[&str]) -> PushRequest {
    PushRequest { paths: paths.iter().map(PathBuf::from).collect(), ..PushRequest::default() }
}

fn names(request: &PushRequest) -> Vec<String> {
    sources_of(request).unwrap().iter().map(|source| source.name.to_string()).collect()
}

#[test]
fn paths_arrive_under_their_names_and_contents_without_the_folder() {
    assert_eq!(names(&request(&["/a/b", "/c/d.txt"])), ["b", "d.txt"]);
    assert_eq!(names(&request(&["/a/b/"])), ["."]);
    let renamed = PushRequest { rename: Some("z".into()), ..request(&["/a/b"]) };
    assert_eq!(names(&renamed), ["z"]);
}

#[test]
fn paths_without_a_place_of_their_own_are_refused() {
    let two = PushRequest { rename: Some("z".into()), ..request(&["/a", "/b"]) };
    let deep = PushRequest { rename: Some("x/z".into()), ..request(&["/a"]) };
    let up = PushRequest { rename: Some("..".into()), ..request(&["/a"]) };
    let lists: [&[&str]; 6] = [&[], &["a"], &["/"], &["/a/.."], &["/x/a", "/y/a"], &["/a/", "/b"]];
    for wrong in lists.into_iter().map(request).chain([two, deep, up]) {
        // The root folder's content is a place.
        if wrong.paths != [PathBuf::from("/")] {
            sources_of(&wrong).unwrap_err();
        }
    }
}

#[test]
fn a_destination_is_a_place_beneath_the_root() {
    let to = |dest: &str| PushRequest { dest: Some(dest.into()), ..PushRequest::default() };
    assert!(destination_of(&PushRequest::default()).unwrap().is_root());
    assert_eq!(destination_of(&to("a/b/")).unwrap().to_string(), "a/b");
    for wrong in ["/a", "a//b", "../a", "a/./b"] {
        assert_eq!(destination_of(&to(wrong)).unwrap_err().code, ErrorCode::PathRefused);
    }
}

#[test]
fn words_that_everybody_reads_have_a_bound_and_no_secret() {
    let check = |text: &str| check_text("the message", text, UnixMillis(0));
    check("a nice message").unwrap();
    assert_eq!(check(&"x".repeat(1025)).unwrap_err().code, ErrorCode::BadRequest);
    let secret = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let refused = check(&secret).unwrap_err();
    assert_eq!(refused.code, ErrorCode::SecretFound);
    assert!(!refused.message.contains(&secret));
}

#[test]
fn ids_are_fresh() {
    assert_ne!(push_id(), push_id());
}
