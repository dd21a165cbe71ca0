use canopy_core::link::{HEARTBEAT_EVERY, Message as Said};
use canopy_identity::{Peer, Role};
use canopy_model::Uid;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::limits::FRAME_BYTES_MAX;
use crate::terms::Limits;

/// A session over channels, with the hands of its peer and of its driver.
struct Rig {
    peer: mpsc::Sender<Result<v1::Frame, Status>>,
    sent: mpsc::Receiver<Result<v1::Frame, Status>>,
    events: mpsc::Receiver<LinkEvent>,
    frames: mpsc::Sender<Frame>,
    session: JoinHandle<End>,
}

impl Rig {
    /// The driver has room for `room` events.
    async fn start(room: usize, limits: Limits) -> Self {
        let (peer, incoming) = mpsc::channel(1);
        let (outgoing, sent) = mpsc::channel(1);
        let (handing_in, mut events) = mpsc::channel(room);
        let session = tokio::spawn(async move {
            let press = Peer { role: Role::Agent, path: "press-3".parse().unwrap(), uid: Uid(1) };
            let session = Session::new(EdgeId::Parent, Terms::parent(limits, press), &handing_in);
            let incoming = ReceiverStream::new(incoming);
            session.run(incoming, outgoing, std::future::pending(), async |end| end).await
        });
        let Some(LinkEvent::Connected { frames, .. }) = events.recv().await else { panic!("not connected") };
        Self { peer, sent, events, frames, session }
    }

    async fn hear(&self, seq: u64) -> bool {
        self.peer.send(Ok((&beat(seq)).into())).await.is_ok()
    }

    /// The end, of which the driver must be told last of all.
    async fn end(mut self) -> End {
        let mut last = None;
        while let Some(event) = self.events.recv().await {
            last = Some(event);
        }
        assert!(matches!(last, Some(LinkEvent::Disconnected { .. })), "{last:?}");
        self.session.await.unwrap()
    }
}

fn beat(seq: u64) -> Frame {
    Frame { seq, message: Said::Heartbeat { sent: None, stalest_ms: 0 } }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_given_up() {
    let rig = Rig::start(8, Limits::default()).await;
    let began = Instant::now();
    rig.hear(0).await;
    let end = rig.end().await;
    assert!(matches!(end, End::Silent(_)), "{end}");
    assert_eq!(began.elapsed(), HEARTBEAT_EVERY * 3);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_shows_life_is_kept() {
    let mut rig = Rig::start(8, Limits::default()).await;
    for seq in 0..100 {
        tokio::time::sleep(HEARTBEAT_EVERY * 2).await;
        assert!(rig.hear(seq).await);
        assert!(
            matches!(rig.events.recv().await, Some(LinkEvent::Received { frame, .. }) if frame == beat(seq))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_while_the_driver_is_busy_up_to_a_bound() {
    let rig = Rig::start(1, Limits::default()).await;
    // One frame lies with the driver, the others in the backlog.
    let mut taken = 0;
    while rig.hear(taken).await && taken < 1000 {
        taken += 1;
    }
    assert!((BACKLOG_FRAMES_MAX as u64..BACKLOG_FRAMES_MAX as u64 + 5).contains(&taken), "{taken}");
    let end = rig.end().await;
    assert!(matches!(end, End::Overrun), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_does_not_wait_for_ever_for_the_driver() {
    let rig = Rig::start(1, Limits { heartbeat: HANDOVER_MAX, ..Limits::default() }).await;
    let began = Instant::now();
    rig.hear(0).await;
    rig.hear(1).await;
    tokio::time::sleep(HANDOVER_MAX + Duration::from_secs(1)).await;
    assert!(!rig.hear(2).await, "the stream is closed");
    let end = rig.end().await;
    assert!(matches!(end, End::Stalled), "{end}");
    assert!(began.elapsed() < HANDOVER_MAX * 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_given_up() {
    let limits = Limits { heartbeat: SEND_MAX * 10, ..Limits::default() };
    let rig = Rig::start(8, limits).await;
    let mut seq = 0;
    while rig.frames.try_send(beat(seq)).is_ok() {
        seq += 1;
    }
    assert_eq!(seq, OUTGOING_FRAMES_MAX as u64);
    let end = rig.end().await;
    assert!(matches!(end, End::Unread), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_larger_than_the_limit_is_not_sent() {
    let rig = Rig::start(8, Limits { message_bytes_max: 10, ..Limits::default() }).await;
    rig.frames.send(beat(0)).await.unwrap();
    rig.frames.send(Frame { seq: u64::MAX, message: Said::Ack { seq: u64::MAX } }).await.unwrap();
    let end = rig.end().await;
    assert!(matches!(end, End::TooLarge { max: 10, .. }), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_larger_than_the_limit_is_not_taken() {
    let rig = Rig::start(8, Limits::default()).await;
    let row = |bytes| v1::Row { kind: 77, uid: vec![0; 16], version: 1, value: Some(vec![0; bytes]) };
    let rows = vec![row(FRAME_BYTES_MAX / 2), row(FRAME_BYTES_MAX / 2)];
    let message = Some(v1::frame::Message::Rows(v1::Rows { rows, ..v1::Rows::default() }));
    rig.peer.send(Ok(v1::Frame { seq: 0, message })).await.unwrap();
    let end = rig.end().await;
    assert!(matches!(end, End::TooLarge { max: FRAME_BYTES_MAX, .. }), "{end}");
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_a_session_by_dropping_its_sender() {
    let mut rig = Rig::start(8, Limits::default()).await;
    rig.frames.send(beat(0)).await.unwrap();
    rig.frames = mpsc::channel(1).0;
    assert_eq!(rig.sent.recv().await.unwrap().unwrap().seq, 0);
    let status = rig.sent.recv().await.unwrap().unwrap_err();
    assert_eq!(status.message(), "this node ended the session");
    let end = rig.end().await;
    assert!(matches!(end, End::Released), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_cannot_be_read_ends_the_session() {
    let rig = Rig::start(8, Limits::default()).await;
    rig.peer.send(Ok(v1::Frame { seq: 0, message: None })).await.unwrap();
    let end = rig.end().await;
    assert!(matches!(end, End::Frame(_)), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_hello_of_another_protocol_never_reaches_the_driver() {
    let rig = Rig::start(8, Limits::default()).await;
    let hello = v1::Hello { protocol: Some(v1::Protocol { min: 9, max: 9 }), ..v1::Hello::default() };
    rig.peer.send(Ok(v1::Frame { seq: 0, message: Some(v1::frame::Message::Hello(hello)) })).await.unwrap();
    let end = rig.end().await;
    assert!(matches!(end, End::Terms(_)), "{end}");
}
