//! What a member may not do though it speaks the protocol: push in another's name, take what is not for it, keep others
//! from being served.

use std::fs;
use std::time::Duration;

use mesh_control::{PushTargetState, PushesQuery};
use mesh_protocol::{
    ChunkNeed, ChunkRange, ChunkRanges, ChunkSource, Fetch, PageNeed, PushAnswer, PushId,
    PushMessage, PushOffer, PushReason, PushTotals, RollbackOffer, UnixMillis,
};

use super::desk::{at, followed, pushed, request, states, story, tree, write};
use super::hostile::Scene;
use super::member::{EVIL, Fate, Goods, Member, Talk, evil, now, path};
use crate::abuse::memory_peak_kib;
use crate::agent::{NEWS, eventually};
use crate::stranger::key;

/// What an offer is answered with.
async fn answer(member: &Member, offer: &PushOffer) -> (Talk, PushAnswer) {
    let mut talk = member.talk().await;
    talk.say(&PushMessage::Offer(offer.clone())).await;
    let answer = talk
        .hear_until(|said| if let PushMessage::Answer(answer) = said { Some(answer) } else { None })
        .await;
    (talk, answer)
}

fn refused(answer: &PushAnswer) -> PushReason {
    let PushAnswer::Refused(problem) = answer else { panic!("{answer:?}") };
    problem.reason
}

fn ranges(first: u64, count: u64) -> ChunkRanges {
    let mut ranges = ChunkRanges::default();
    assert!(ranges.push(ChunkRange { first, count }));
    ranges
}

#[tokio::test]
async fn a_member_pushes_in_nobody_elses_name_and_to_nobody_who_is_not_meant() {
    let scene = Scene::set("").await;
    let (loki, goods) = (&scene.loki, Goods::of(vec![evil("evil")]));
    let mut in_ones_name = loki.offer(&goods);
    in_ones_name.by = scene.one.peer_id();
    let mut to_others = loki.offer(&goods);
    to_others.targets = vec![scene.one.peer_id()];
    let mut to_nobody = loki.offer(&goods);
    to_nobody.targets.clear();
    let mut for_ever = loki.offer(&goods);
    for_ever.expires_at = UnixMillis(u64::MAX);
    let mut too_late = loki.offer(&goods);
    too_late.expires_at = UnixMillis(1);
    for (what, offer, reason) in [
        ("in another's name", &in_ones_name, PushReason::NotAMember),
        ("to another", &to_others, PushReason::ManifestInvalid),
        ("to nobody", &to_nobody, PushReason::ManifestInvalid),
        ("for ever", &for_ever, PushReason::ManifestInvalid),
        ("too late", &too_late, PushReason::Expired),
    ] {
        let (_, answer) = answer(loki, offer).await;
        assert_eq!(refused(&answer), reason, "{what}");
    }
    // In its own name, for a push of somebody else.
    let file = scene.dir.path().join("tool.sh");
    write(&file, "exit 0\n", 0o755);
    let push = pushed(&scene.one, &request(&[&file], &[&scene.victim])).await;
    let mut reused = loki.offer(&goods);
    reused.push_id = push.push_id;
    let (_, answer_to) = answer(loki, &reused).await;
    assert_eq!(refused(&answer_to), PushReason::ManifestInvalid);
    assert_eq!(story(&scene.victim, &push).await.last().unwrap(), "confirmed");
    assert_eq!(tree(&scene.root).len(), 1);
    scene.serves().await;
}

#[tokio::test]
async fn a_push_keeps_its_content_and_is_served_to_its_targets_alone() {
    let scene = Scene::set("").await;
    let (loki, goods) = (&scene.loki, Goods::of(vec![evil("tool.sh")]));
    let offer = loki.offer(&goods);
    let fate = loki.push(&offer, &goods).await;
    assert!(matches!(fate, Fate::Confirmed), "{fate:?}");
    // The same id with something else, in all the ways in which an offer may differ.
    let other = Goods::of(vec![evil("other.sh")]);
    let changed = [
        PushOffer { manifest: other.digest(), ..offer.clone() },
        PushOffer { destination: path("elsewhere"), ..offer.clone() },
        PushOffer { totals: PushTotals { bytes: 1, ..offer.totals }, ..offer.clone() },
        PushOffer { message: "something else".to_owned(), ..offer.clone() },
    ];
    for changed in &changed {
        let (_, answer) = answer(loki, changed).await;
        assert_eq!(refused(&answer), PushReason::ManifestInvalid);
    }
    assert_eq!(tree(&scene.root).len(), 1);
    // A push of others is served to its targets: not to a member that is none, nor by another manifest.
    let file = scene.dir.path().join("private.txt");
    write(&file, "for the victim", 0o600);
    let push = pushed(&scene.one, &request(&[&file], &[&scene.victim])).await;
    let unknown = PushId::from_bytes([9; 16]);
    for (push_id, manifest, reason) in [
        (push.push_id, [0; 32], PushReason::NotAMember),
        (offer.push_id, [0; 32], PushReason::NotAMember),
        (offer.push_id, goods.digest(), PushReason::NotAMember),
        (unknown, [0; 32], PushReason::StorageError),
    ] {
        let mut talk = loki.talk().await;
        talk.say(&PushMessage::Fetch(Fetch { push_id, manifest })).await;
        talk.say(&PushMessage::Need(ChunkNeed { chunks: ranges(0, 1), is_last: true })).await;
        let said = talk.hear().await;
        let Some(PushMessage::Stop(problem)) = said else { panic!("{said:?}") };
        assert_eq!(problem.reason, reason);
        assert!(talk.hear().await.is_none(), "nothing is served");
    }
    scene.serves().await;
}

#[tokio::test]
async fn only_those_who_may_push_to_a_root_take_a_push_back() {
    let scene = Scene::set("allow_from = [\"one\"]").await;
    let loki = &scene.loki;
    let goods = Goods::of(vec![evil("evil")]);
    let (_, to_push) = answer(loki, &loki.offer(&goods)).await;
    assert_eq!(refused(&to_push), PushReason::SenderNotAllowed);
    let file = scene.dir.path().join("tool.sh");
    write(&file, "exit 0\n", 0o755);
    let push = pushed(&scene.one, &request(&[&file], &[&scene.victim])).await;
    assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
    let rollback = RollbackOffer {
        push_id: PushId::from_bytes(rand::random()),
        by: loki.peer_id(),
        targets: vec![scene.victim.peer_id()],
        of: push.push_id,
        is_forced: true,
        message: String::new(),
        made_at: now(),
        expires_at: UnixMillis(now().0 + 60_000),
    };
    let in_ones_name = RollbackOffer { by: scene.one.peer_id(), ..rollback.clone() };
    let of_nothing = RollbackOffer { of: PushId::from_bytes([9; 16]), ..rollback.clone() };
    for (rollback, reason) in [
        (rollback, PushReason::SenderNotAllowed),
        (in_ones_name, PushReason::NotAMember),
        (of_nothing, PushReason::NothingKept),
    ] {
        let mut talk = loki.talk().await;
        talk.say(&PushMessage::Rollback(rollback)).await;
        let said = talk.hear().await;
        let Some(PushMessage::Answer(answer)) = said else { panic!("{said:?}") };
        assert_eq!(refused(&answer), reason);
    }
    assert_eq!(fs::read(scene.root.join("tool.sh")).unwrap(), b"exit 0\n");
    assert_eq!(
        states(&super::desk::detail(&scene.one, &push).await.push),
        [PushTargetState::Confirmed]
    );
    scene.serves().await;
}

#[tokio::test]
async fn pushes_that_say_nothing_any_more_leave_room_for_those_of_others() {
    let scene = Scene::set("").await;
    let (loki, goods) = (&scene.loki, Goods::of(vec![evil("evil")]));
    let mut open = Vec::new();
    let mut is_busy = false;
    // As many as a link carries, each taken in and silent from there on.
    for _ in 0..8 {
        let (talk, answer) = answer(loki, &loki.offer(&goods)).await;
        if answer == PushAnswer::Accepted {
            open.push(talk);
        } else {
            assert_eq!(refused(&answer), PushReason::Busy);
            is_busy = true;
        }
    }
    assert!(!open.is_empty() && is_busy, "one member gets a part of the places");
    scene.serves().await;
    // Streams that do not even say what they are for.
    drop(open);
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(loki.talk().await);
    }
    scene.serves().await;
    drop(silent);
}

#[tokio::test]
async fn offers_without_end_fill_neither_the_memory_nor_the_list_of_pushes() {
    let scene = Scene::set("").await;
    let (loki, goods) = (&scene.loki, Goods::of(vec![evil("evil")]));
    const OFFERS: u32 = 360;
    let before = memory_peak_kib(&scene.victim);
    let mut nowhere = loki.offer(&goods);
    nowhere.root = "nowhere".parse().unwrap();
    // The largest offers that there are.
    nowhere.targets.resize(1024, loki.peer_id());
    nowhere.targets[0] = scene.victim.peer_id();
    nowhere.message = "x".repeat(1024);
    let busy = std::sync::atomic::AtomicU32::new(0);
    let flood = async || {
        for _ in 0..OFFERS / 6 {
            let push_id = PushId::from_bytes(rand::random());
            let offer = PushOffer { push_id, ..nowhere.clone() };
            let (talk, answer) = answer(loki, &offer).await;
            talk.close().await;
            let reason = refused(&answer);
            if reason == PushReason::Busy {
                busy.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            } else {
                assert_eq!(reason, PushReason::RootUnknown);
            }
        }
    };
    futures_util::future::join_all((0..6).map(|_| flood())).await;
    let busy = busy.into_inner();
    assert!(busy >= OFFERS - 240, "{busy}");
    let listed = PushesQuery { limit: Some(10_000) };
    let kept = scene.victim.client().pushes(&listed).await.unwrap().len();
    assert_eq!(kept, 0, "who has no right there must not push others out of the history");
    let grown = memory_peak_kib(&scene.victim) - before;
    assert!(grown < 48 << 10, "the agent took {grown} KiB more");
    scene.serves().await;
}

#[tokio::test]
async fn a_target_that_asks_again_and_again_or_for_what_is_not_there_fails_alone() {
    let mut scene = Scene::set("").await;
    let file = scene.dir.path().join("image.bin");
    fs::write(&file, crate::raw::noise(5, 3 << 20)).unwrap();
    let known = async || scene.victim.members().await.contains_key("loki").then_some(());
    eventually(NEWS, "the sender knows the target", known).await;
    let asks: [fn(&PushOffer) -> PushMessage; 3] = [
        |offer| {
            let chunks = ranges(0, offer.totals.chunks);
            PushMessage::Need(ChunkNeed { chunks, is_last: false })
        },
        |offer| {
            let chunks = ranges(offer.totals.chunks, 1 << 60);
            PushMessage::Need(ChunkNeed { chunks, is_last: true })
        },
        |offer| {
            let pages = ranges(offer.totals.pages + 7, 1 << 60);
            PushMessage::PageNeed(PageNeed { pages, is_last: true })
        },
    ];
    for (index, ask) in asks.into_iter().enumerate() {
        // The victim is the sender: one target is honest, and one is not.
        let mut wanted = request(&[&file], &[&scene.one]);
        wanted.root = None;
        wanted.to.push("loki".to_owned());
        wanted.dest = Some(format!("ask-{index}").into());
        let before = memory_peak_kib(&scene.victim);
        let begun = scene.victim.client().push(&wanted).await.unwrap();
        let mut talk = scene.loki.called().await;
        let offer = talk
            .hear_until(
                |said| if let PushMessage::Offer(offer) = said { Some(offer) } else { None },
            )
            .await;
        talk.say(&PushMessage::Answer(PushAnswer::Accepted)).await;
        // What is asked for before the pages are named is for nobody.
        talk.hear_until(|said| matches!(said, PushMessage::PageIds(_)).then_some(())).await;
        let stopped = async {
            for _ in 0..64 {
                talk.say(&ask(&offer)).await;
            }
            talk.hear_until(|said| {
                if let PushMessage::Stop(problem) = said { Some(problem.reason) } else { None }
            })
            .await
        };
        let stopped = tokio::time::timeout(Duration::from_secs(20), stopped).await;
        assert_eq!(stopped.ok(), Some(PushReason::ManifestInvalid), "ask {index}");
        let ended = followed(&scene.victim, &begun, |_| false).await;
        assert_eq!(at(&ended, &scene.one).state, PushTargetState::Confirmed, "{ended:?}");
        let of_loki = ended.targets.iter().find(|target| target.hostname == "loki").unwrap();
        let error = of_loki.error.as_ref().unwrap();
        assert_eq!(error.reason, PushReason::ManifestInvalid, "{error:?}");
        let grown = memory_peak_kib(&scene.victim) - before;
        assert!(grown < 48 << 10, "the agent took {grown} KiB more");
    }
}

#[tokio::test]
async fn a_sender_that_names_others_again_and_again_makes_a_target_ask_a_few_at_once() {
    let scene = Scene::set("").await;
    let mut sif = Member::enter(key(67), "sif", &scene.one, &scene.victim).await;
    sif.be_deaf();
    let (loki, goods) = (&scene.loki, Goods::of(vec![evil("evil")]));
    let mut offer = loki.offer(&goods);
    offer.targets.push(sif.peer_id());
    let (mut talk, accepted) = answer(loki, &offer).await;
    assert!(matches!(accepted, PushAnswer::Accepted));
    talk.name_pages(&goods).await;
    let page = mesh_protocol::PageOf { number: 0, page: goods.pages[0].clone() };
    talk.say(&PushMessage::Page(page)).await;
    talk.hear_until(|said| matches!(said, PushMessage::Need(_)).then_some(())).await;
    let chunks = ChunkRange { first: 0, count: 1 };
    let before = memory_peak_kib(&scene.victim);
    for _ in 0..5000 {
        talk.say(&PushMessage::Source(ChunkSource { from: sif.peer_id(), chunks })).await;
    }
    // Whoever is named does not answer. What it does not send is asked of the sender.
    talk.hear_until(|said| matches!(said, PushMessage::Need(_)).then_some(())).await;
    talk.say(&PushMessage::Chunk(super::member::chunk(0, EVIL))).await;
    let fate = talk.bring(&goods).await;
    assert!(matches!(fate, Fate::Confirmed), "{fate:?}");
    let grown = memory_peak_kib(&scene.victim) - before;
    assert!(grown < 16 << 10, "the agent took {grown} KiB more");
    scene.serves().await;
}
