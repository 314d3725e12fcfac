use crate::{
    DecodeError, GIT_PIECE_BYTES_MAX, GitEnd, GitPiece, GitPieces, GitService, TEXT_BYTES_MAX,
};

fn end(code: u8, reason: &str) -> GitPiece {
    GitPiece::End(GitEnd { code, reason: reason.to_owned() })
}

fn encoded(pieces: &[GitPiece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    pieces.iter().for_each(|piece| piece.encode(&mut bytes));
    bytes
}

fn all(pieces: &mut GitPieces, bytes: &[u8]) -> Result<Vec<GitPiece>, DecodeError> {
    pieces.feed(bytes);
    std::iter::from_fn(|| pieces.next().transpose()).collect()
}

#[test]
fn a_service_is_called_as_git_calls_it() {
    for service in [GitService::UploadPack, GitService::ReceivePack] {
        assert_eq!(service.as_str().parse(), Ok(service));
        assert_eq!(serde_json::to_value(service).unwrap(), service.as_str());
    }
    assert!("git-upload-archive".parse::<GitService>().is_err());
    assert!("--upload-pack=sh".parse::<GitService>().is_err());
}

#[test]
fn what_a_git_service_says_has_these_bytes() {
    let said =
        [GitPiece::Output(b"0000".to_vec()), GitPiece::Complaint(b"no".to_vec()), end(128, "x")];
    let expected = b"\x01\x04\0\0\x000000\x02\x02\0\0\0no\x03\x02\0\0\0\x80x";
    assert_eq!(encoded(&said), expected);
    assert_eq!(all(&mut GitPieces::default(), expected).unwrap(), said);
}

#[test]
fn pieces_of_a_git_service_come_together_byte_by_byte() {
    let said = [GitPiece::Output(vec![7; 300]), GitPiece::Complaint(b"oh".to_vec()), end(0, "")];
    let mut pieces = GitPieces::default();
    let together: Vec<GitPiece> =
        encoded(&said).iter().flat_map(|byte| all(&mut pieces, &[*byte]).unwrap()).collect();
    assert_eq!(together, said);
}

#[test]
fn more_than_fits_a_piece_becomes_several_and_a_long_reason_is_cut() {
    let bytes = encoded(&[GitPiece::Output(vec![1; GIT_PIECE_BYTES_MAX + 1])]);
    let cut = all(&mut GitPieces::default(), &bytes).unwrap();
    assert_eq!(cut, [GitPiece::Output(vec![1; GIT_PIECE_BYTES_MAX]), GitPiece::Output(vec![1])]);
    let bytes = encoded(&[end(1, &"é".repeat(TEXT_BYTES_MAX))]);
    let cut = all(&mut GitPieces::default(), &bytes).unwrap();
    assert_eq!(cut, [end(1, &"é".repeat(TEXT_BYTES_MAX / 2))]);
}

#[test]
fn pieces_of_a_git_service_that_are_none_are_refused() {
    let large = u32::try_from(GIT_PIECE_BYTES_MAX + 1).unwrap().to_le_bytes();
    for wrong in [
        [&[1][..], &large[..]].concat(),
        b"\x04\0\0\0\0".to_vec(),
        b"\x03\0\0\0\0".to_vec(),
        [&b"\x03\x02\x04\0\0\0"[..], &[b'x'; TEXT_BYTES_MAX + 1][..]].concat(),
        [&encoded(&[end(0, "")])[..], &b"\x01\x01\0\0\0x"[..]].concat(),
    ] {
        assert!(all(&mut GitPieces::default(), &wrong).is_err(), "{:?}", &wrong[..6]);
    }
}
