use mesh_files::Judgement;
use mesh_protocol::{
    CHUNK_BYTES_MIN, PeerId, PushId, PushMethod, PushOffer, PushReason, PushTotals, RelativePath,
    TEXT_BYTES_MAX, UnixMillis,
};

use super::*;

fn settings() -> RootSettings {
    RootSettings::new("site".parse().unwrap(), "/nowhere".into())
}

fn offer() -> PushOffer {
    PushOffer {
        push_id: PushId::from_bytes([1; 16]),
        by: PeerId::from_bytes([2; 32]),
        targets: vec![PeerId::from_bytes([3; 32])],
        root: "site".parse().unwrap(),
        destination: RelativePath::ROOT,
        message: String::new(),
        method: PushMethod::Stream,
        totals: PushTotals { entries: 10, files: 9, bytes: 1000, chunks: 9, pages: 1 },
        manifest: [0; 32],
        test: None,
        made_at: UnixMillis(1),
        expires_at: UnixMillis(2),
    }
}

fn reason(settings: &RootSettings, offer: &PushOffer) -> Option<PushReason> {
    let hostname = "alice".parse().unwrap();
    match judge(settings, offer, Some(&hostname)) {
        Judgement::Accept | Judgement::NeedsApproval => None,
        Judgement::Refuse(problem) => Some(problem.reason),
    }
}

#[test]
fn a_root_takes_from_everybody_from_a_hostname_or_from_an_identity() {
    let offer = offer();
    let with = |allowed: &[&str]| RootSettings {
        allow_from: allowed.iter().map(|name| (*name).to_owned()).collect(),
        ..settings()
    };
    assert_eq!(reason(&with(&["*"]), &offer), None);
    assert_eq!(reason(&with(&["bob", "alice"]), &offer), None);
    assert_eq!(reason(&with(&[&offer.by.to_string()]), &offer), None);
    let refused = Some(PushReason::SenderNotAllowed);
    assert_eq!(reason(&with(&["bob"]), &offer), refused);
    assert_eq!(reason(&with(&["ali"]), &offer), refused);
    assert_eq!(reason(&with(&[]), &offer), refused);
}

#[test]
fn a_test_has_to_be_one_of_the_roots_list_and_has_to_be_there_where_it_is_required() {
    let mut settings = settings();
    settings.test_commands = vec!["make check".to_owned()];
    let mut offer = offer();
    assert_eq!(reason(&settings, &offer), None);
    settings.require_test = true;
    assert_eq!(reason(&settings, &offer), Some(PushReason::TestRequired));
    offer.test = Some("make".to_owned());
    assert_eq!(reason(&settings, &offer), Some(PushReason::TestUnknown));
    offer.test = Some("make check".to_owned());
    assert_eq!(reason(&settings, &offer), None);
}

#[test]
fn more_than_the_quota_is_refused_before_anything_is_sent() {
    let mut settings = settings();
    settings.tree.bytes_max = 999;
    assert_eq!(reason(&settings, &offer()), Some(PushReason::QuotaExceeded));
    settings.tree.bytes_max = 1000;
    assert_eq!(reason(&settings, &offer()), None);
    settings.tree.files_max = 9;
    assert_eq!(reason(&settings, &offer()), Some(PushReason::QuotaExceeded));
    settings.tree.files_max = 10;
    let mut offer = offer();
    offer.totals.pages = u64::MAX;
    assert_eq!(reason(&settings, &offer), Some(PushReason::QuotaExceeded));
}

#[test]
fn more_pages_than_the_files_can_need_are_refused() {
    let with = |totals: PushTotals| reason(&settings(), &PushOffer { totals, ..offer() });
    let few = PushTotals { entries: 10, files: 9, bytes: 1000, chunks: 9, pages: 12 };
    assert_eq!(with(few), None);
    assert_eq!(with(PushTotals { pages: 13, ..few }), Some(PushReason::QuotaExceeded));
    let bytes = 512 * u64::from(CHUNK_BYTES_MIN);
    let large = PushTotals { entries: 1, files: 1, bytes, chunks: 512, pages: 5 };
    assert_eq!(with(large), None);
    assert_eq!(with(PushTotals { pages: 6, ..large }), Some(PushReason::QuotaExceeded));
    // More chunks than there are bytes for make no room for pages.
    let claimed = PushTotals { bytes: 1000, chunks: u64::MAX, ..large };
    assert_eq!(with(claimed), Some(PushReason::QuotaExceeded));
}

#[test]
fn what_is_staged_of_a_push_that_is_over_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots::new(&PushSettings::default(), dir.path());
    roots.open_all();
    let root = roots.open(&DEFAULT.parse().unwrap()).unwrap().root;
    let [over, open] = [1, 2].map(|byte| PushId::from_bytes([byte; 16]));
    for push_id in [over, open] {
        drop(Staging::open(&root, push_id).unwrap());
    }
    roots.discard_except(&BTreeSet::from([open]));
    assert_eq!(Staging::list(&root).unwrap(), [open]);
}

#[test]
fn a_root_with_approval_asks_for_it_but_not_for_what_it_refuses_anyway() {
    let mut settings = settings();
    settings.approve = true;
    assert_eq!(judge(&settings, &offer(), None), Judgement::NeedsApproval);
    settings.allow_from.clear();
    assert!(matches!(judge(&settings, &offer(), None), Judgement::Refuse(_)));
}

#[test]
fn a_detail_is_cut_between_letters_to_what_travels() {
    let cut = problem(PushReason::Internal, "é".repeat(TEXT_BYTES_MAX));
    assert_eq!(cut.detail.len(), TEXT_BYTES_MAX);
    let cut = problem(PushReason::Internal, format!("a{}", "é".repeat(TEXT_BYTES_MAX)));
    assert_eq!(cut.detail.len(), TEXT_BYTES_MAX - 1);
}

#[test]
fn the_default_root_is_made_and_another_one_is_told_to_be_missing_until_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let later = dir.path().join("later");
    let site = RootSettings::new("site".parse().unwrap(), later.clone());
    let settings = PushSettings { roots: vec![site], ..PushSettings::default() };
    let roots = Roots::new(&settings, dir.path());
    roots.open_all();
    assert!(dir.path().join("inbox-files").is_dir());
    let views = roots.views();
    assert_eq!(views.len(), 2);
    assert_eq!(views[0].problem, None);
    assert!(views[1].problem.is_some(), "{views:?}");

    let name = "site".parse().unwrap();
    assert!(matches!(roots.open(&name), Err(RootError::Closed { .. })));
    std::fs::create_dir(&later).unwrap();
    roots.open(&name).unwrap();
    assert_eq!(roots.views()[1].problem, None);
    let unknown = roots.open(&"nothing".parse().unwrap());
    assert!(matches!(unknown, Err(RootError::Unknown(_))));
}

#[test]
fn a_setting_takes_the_place_of_the_default_root() {
    let dir = tempfile::tempdir().unwrap();
    let own = RootSettings::new("default".parse().unwrap(), dir.path().join("mine"));
    let settings = PushSettings { roots: vec![own], ..PushSettings::default() };
    let roots = Roots::new(&settings, dir.path());
    roots.open_all();
    assert!(!dir.path().join("inbox-files").exists());
    assert_eq!(roots.views().len(), 1);
}
