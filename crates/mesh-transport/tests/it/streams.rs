mod limits;

use std::time::Duration;

use bytes::Bytes;
use mesh_transport::{
    LaneReceiver, Link, LinkStream, Listening, OpenStreamError, StreamError, StreamReceiver,
    TransportConfig,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Node, assert_passes, link, pair_with, within};

/// A piece of a push.
const PIECE: usize = 256 << 10;

/// Two linked members with everything that their ends consist of.
struct Pair {
    a: Node,
    b: Node,
    _listening: Listening,
    at_a: Link,
    at_b: Link,
    into_a: [LaneReceiver; 3],
    into_b: [LaneReceiver; 3],
    streams_a: StreamReceiver,
    streams_b: StreamReceiver,
    passed: u64,
}

impl Pair {
    async fn new() -> Self {
        Self::with(TransportConfig::default()).await
    }

    async fn with(config: TransportConfig) -> Self {
        let (a, b) = pair_with(config);
        Self::of(a, b).await
    }

    async fn of(a: Node, b: Node) -> Self {
        let mut listening = b.listen().await;
        let (mut at_a, mut at_b) = link(&a, &b, &mut listening).await;
        let (into_a, into_b) = (at_a.receivers(), at_b.receivers());
        let (streams_a, streams_b) = (at_a.take_streams(), at_b.take_streams());
        let passed = 0;
        Self {
            a,
            b,
            _listening: listening,
            at_a,
            at_b,
            into_a,
            into_b,
            streams_a,
            streams_b,
            passed,
        }
    }

    /// A stream that the dialler or the acceptor opened; the opener's end comes first.
    async fn open(&mut self, is_by_dialler: bool) -> (LinkStream, LinkStream) {
        let (from, to) = if is_by_dialler {
            (&self.at_a, &mut self.streams_b)
        } else {
            (&self.at_b, &mut self.streams_a)
        };
        open(from, to).await
    }

    async fn assert_lanes_pass(&mut self) {
        self.passed += 1;
        assert_passes(&self.at_a, &mut self.into_b[0], self.passed).await;
        assert_passes(&self.at_b, &mut self.into_a[0], self.passed).await;
    }
}

async fn open(from: &Link, to: &mut StreamReceiver) -> (LinkStream, LinkStream) {
    let sender = from.sender();
    within(async {
        let (opened, accepted) =
            tokio::join!(sender.open_stream(Bytes::from_static(b"test")), async {
                to.next().await.unwrap().accept()
            });
        (opened.unwrap(), accepted)
    })
    .await
}

fn piece(bytes: usize) -> Bytes {
    Bytes::from(vec![0x5a; bytes])
}

/// Reads to the end and returns how many bytes came.
async fn drain(stream: &mut LinkStream) -> Result<u64, StreamError> {
    let mut bytes = 0;
    while let Some(piece) = within(stream.recv()).await {
        bytes += piece?.len() as u64;
    }
    Ok(bytes)
}

/// Sends until there is no more room for a while, and returns the stream that is stuck.
async fn fill(mut stream: LinkStream) -> LinkStream {
    let pieces = piece(PIECE);
    let stuck = Duration::from_millis(300);
    while let Ok(sent) = tokio::time::timeout(stuck, stream.send(pieces.clone())).await {
        sent.unwrap();
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_opens_streams_that_carry_bytes_both_ways() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let head = Bytes::from((0..4096).map(|n: u32| n.to_le_bytes()[0]).collect::<Vec<_>>());
        let (from, to) = if is_by_dialler {
            (&pair.at_a, &mut pair.streams_b)
        } else {
            (&pair.at_b, &mut pair.streams_a)
        };
        let sender = from.sender();
        let accepting = async {
            let arrived = to.next().await.unwrap();
            assert_eq!(arrived.head(), &head);
            arrived.accept()
        };
        let (opened, mut far) =
            within(async { tokio::join!(sender.open_stream(head.clone()), accepting) }).await;
        let mut near = opened.unwrap();
        for (one, other) in [(0, 1), (1, 0)] {
            let ends = [&mut near, &mut far];
            for bytes in [1, 300, 70_000, PIECE, 3 << 20] {
                let sent = Bytes::from((0..bytes).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
                within(ends[one].send(sent.clone())).await.unwrap();
                let mut came = Vec::new();
                while came.len() < bytes {
                    came.extend_from_slice(&within(ends[other].recv()).await.unwrap().unwrap());
                }
                assert!(came == sent, "the bytes are the same");
            }
        }
        near.finish();
        assert!(within(far.recv()).await.is_none());
        // The other direction goes on.
        within(far.send(Bytes::from_static(b"more"))).await.unwrap();
        assert_eq!(within(near.recv()).await.unwrap().unwrap(), "more");
        far.finish();
        assert!(within(near.recv()).await.is_none());
        assert!(within(near.recv()).await.is_none());
        assert_eq!(within(near.send(piece(1))).await, Err(StreamError::EndedHere));
    }
    pair.assert_lanes_pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_beyond_its_bound_is_not_sent() {
    let mut pair = Pair::new().await;
    for from in [&pair.at_a, &pair.at_b] {
        let error = from.sender().open_stream(piece(4097)).await.unwrap_err();
        assert_eq!(error, OpenStreamError::HeadTooLarge { bytes: 4097, bytes_max: 4096 });
    }
    pair.assert_lanes_pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_refused_says_why() {
    let mut pair = Pair::new().await;
    for (from, to) in [(&pair.at_a, &mut pair.streams_b), (&pair.at_b, &mut pair.streams_a)] {
        let sender = from.sender();
        let (opened, ()) = within(async {
            tokio::join!(sender.open_stream(Bytes::new()), async {
                to.next().await.unwrap().refuse("no root \u{fc}\nof that name");
            })
        })
        .await;
        let reason = "no root \u{fc} of that name".to_owned();
        assert_eq!(opened.unwrap_err(), OpenStreamError::Refused { reason });
        let (opened, ()) = within(async {
            tokio::join!(sender.open_stream(Bytes::new()), async {
                drop(to.next().await.unwrap());
            })
        })
        .await;
        assert!(matches!(opened.unwrap_err(), OpenStreamError::Refused { .. }));
        for _ in 0..100 {
            let (opened, ()) = within(async {
                tokio::join!(sender.open_stream(Bytes::new()), async {
                    to.next().await.unwrap().refuse("no");
                })
            })
            .await;
            let refused = OpenStreamError::Refused { reason: "no".to_owned() };
            assert_eq!(opened.unwrap_err(), refused);
        }
    }
    // Refusals take no places.
    for is_by_dialler in [true, false] {
        for _ in 0..20 {
            let (mut near, mut far) = pair.open(is_by_dialler).await;
            near.finish();
            far.finish();
            assert_eq!((drain(&mut near).await, drain(&mut far).await), (Ok(0), Ok(0)));
        }
    }
    pair.assert_lanes_pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_takes_streams_they_are_refused() {
    let pair = Pair::new().await;
    drop((pair.streams_a, pair.streams_b));
    for from in [&pair.at_a, &pair.at_b] {
        let error = within(from.sender().open_stream(Bytes::new())).await.unwrap_err();
        assert!(matches!(error, OpenStreamError::Refused { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_reaches_the_other_side_with_its_reason() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        for is_by_opener in [true, false] {
            let (near, far) = pair.open(is_by_dialler).await;
            let (mut near, mut far) = if is_by_opener { (near, far) } else { (far, near) };
            within(near.send(Bytes::from_static(b"before"))).await.unwrap();
            assert_eq!(within(far.recv()).await.unwrap().unwrap(), "before");
            near.reset("the disk is full");
            let reset = StreamError::Reset { reason: "the disk is full".to_owned() };
            assert_eq!(within(far.recv()).await.unwrap(), Err(reset.clone()));
            assert!(within(far.recv()).await.is_none());
            assert_eq!(within(far.send(piece(1))).await, Err(reset));
        }
        let (near, mut far) = pair.open(is_by_dialler).await;
        drop(near);
        assert!(matches!(within(far.recv()).await, Some(Err(StreamError::Reset { .. }))));
    }
    pair.assert_lanes_pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_read_hears_of_a_reset() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let (mut near, far) = pair.open(is_by_dialler).await;
        far.reset("enough");
        // It goes on sending without end, and never reads.
        let sending = async {
            let pieces = piece(PIECE);
            loop {
                if let Err(error) = near.send(pieces.clone()).await {
                    return error;
                }
            }
        };
        assert_eq!(within(sending).await, StreamError::Broken);
        pair.assert_lanes_pass().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_finished_arrives_though_its_end_was_dropped() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let (mut near, mut far) = pair.open(is_by_dialler).await;
        let receiving = pair.a.tracker.spawn(async move {
            let bytes = drain(&mut far).await;
            // Nobody reads this.
            far.send(piece(PIECE)).await.unwrap();
            far.finish();
            bytes
        });
        for _ in 0..80 {
            within(near.send(piece(PIECE))).await.unwrap();
        }
        near.finish();
        drop(near);
        assert_eq!(within(receiving).await.unwrap(), Ok(80 * PIECE as u64));
    }
    pair.assert_lanes_pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_link_ends_every_stream_and_says_so() {
    for is_closed_by_dialler in [true, false] {
        let mut pair = Pair::new().await;
        let mut waiting = Vec::new();
        for is_by_dialler in [true, false] {
            for (mut near, mut far) in
                [pair.open(is_by_dialler).await, pair.open(is_by_dialler).await]
            {
                waiting.push(pair.a.tracker.spawn(async move {
                    let _held = near.recv().await.unwrap().unwrap_err();
                    near.send(piece(1)).await.unwrap_err()
                }));
                waiting.push(pair.a.tracker.spawn(async move {
                    loop {
                        if let Err(error) = far.send(piece(0)).await {
                            return error;
                        }
                        if let Err(error) = far.recv().await.unwrap() {
                            return error;
                        }
                    }
                }));
            }
            // One whose sender waits for room.
            let (near, far) = pair.open(is_by_dialler).await;
            let mut near = fill(near).await;
            waiting.push(pair.a.tracker.spawn(async move {
                let error = near.send(piece(PIECE)).await.unwrap_err();
                drop(far);
                error
            }));
        }
        let opening = [pair.at_a.sender(), pair.at_b.sender()].map(|sender| {
            pair.a.tracker.spawn(async move { sender.open_stream(Bytes::new()).await.unwrap_err() })
        });
        if is_closed_by_dialler {
            pair.at_a.close()
        } else {
            pair.at_b.close()
        }
        for waiting in waiting {
            assert_eq!(within(waiting).await.unwrap(), StreamError::LinkClosed);
        }
        for opening in opening {
            assert_eq!(within(opening).await.unwrap(), OpenStreamError::Closed);
        }
        for mut streams in [pair.streams_a, pair.streams_b] {
            assert!(within(streams.next()).await.is_none());
        }
        for link in [&pair.at_a, &pair.at_b] {
            let error = within(link.sender().open_stream(Bytes::new())).await.unwrap_err();
            assert_eq!(error, OpenStreamError::Closed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_read_before_the_link_was_closed_is_not_handed_out() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let (mut near, mut far) = pair.open(is_by_dialler).await;
        within(near.send(Bytes::from_static(b"first"))).await.unwrap();
        within(near.send(Bytes::from_static(b"last words"))).await.unwrap();
        assert!(within(far.recv()).await.unwrap().is_ok());
        if !is_by_dialler {
            // The receiver of the last words removes the sender.
            pair.at_a.close();
            assert_eq!(within(far.recv()).await.unwrap(), Err(StreamError::LinkClosed));
            assert!(within(far.recv()).await.is_none());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_copied_through_readers_and_writers() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let (near, far) = pair.open(is_by_dialler).await;
        let (mut far_sender, mut far_reader) = far.into_split();
        let echoing = pair.a.tracker.spawn(async move {
            let copied = tokio::io::copy(&mut far_reader, &mut far_sender).await.unwrap();
            far_sender.shutdown().await.unwrap();
            copied
        });
        let sent: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let (mut reader, mut writer) = tokio::io::split(near);
        let bytes = sent.clone();
        let writing = pair.a.tracker.spawn(async move {
            let (small, large) = bytes.split_at(3000);
            for byte in small {
                writer.write_all(std::slice::from_ref(byte)).await.unwrap();
            }
            writer.write_all(large).await.unwrap();
            writer.flush().await.unwrap();
            writer.shutdown().await.unwrap();
            writer
        });
        let mut came = Vec::new();
        within(reader.read_to_end(&mut came)).await.unwrap();
        assert!(came == sent, "the bytes are the same");
        assert_eq!(within(echoing).await.unwrap(), sent.len() as u64);
        let mut stream = reader.unsplit(within(writing).await.unwrap());
        let error = within(stream.write_all(b"late")).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
    let (mut near, far) = pair.open(true).await;
    far.reset("no");
    let error = within(near.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(error.to_string().contains("no"), "{error}");
}
