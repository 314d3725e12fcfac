use std::time::Duration;

/// How often one address may ask the join port for something: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptRate {
    /// Requests that are granted in the long run.
    pub per_minute: u32,
    /// Requests that are granted at once to an address that was quiet.
    pub burst: u32,
}

/// Every bound and time-out of the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportConfig {
    /// From the TCP connection to the end of the TLS handshake (accepting side), and from the first
    /// HTTP/2 byte to Welcome (dialling side).
    pub handshake_timeout: Duration,
    /// From the TLS handshake to the first request's head, and from there to Hello.
    pub header_timeout: Duration,
    /// From the head of a join request to the end of its body.
    pub join_body_timeout: Duration,
    /// How long the node may take to answer a join request.
    pub join_answer_timeout: Duration,
    /// Name service, TCP connection and TLS handshake to one address.
    pub dial_timeout: Duration,
    /// Head start of an address over the next one.
    pub dial_stagger: Duration,
    /// Connections that are not authenticated yet or came for the join routes. More are closed at once.
    pub stranger_connections_max: usize,
    /// The part of these that one address (IPv4) or one /64 (IPv6) may hold.
    pub stranger_connections_per_ip_max: usize,
    /// Join requests from one address.
    pub accept_rate_per_ip: AcceptRate,
    /// Links that members may hold open to this node.
    pub links_max: usize,
    /// The part of these that one member may hold. Above one, because a link that broke silently
    /// lives until a heartbeat is missed, and must not keep its successor out.
    pub links_per_peer_max: usize,
    /// Frames that wait in one lane; a sender waits, or is told that the lane is full.
    pub lane_queue_frames: u32,
    /// Bytes that wait in one lane.
    pub lane_queue_bytes: u32,
    /// Streams beside the lanes that each side may have open on one link.
    pub streams_max: u32,
    /// How long the other side may take to accept a stream.
    pub stream_open_timeout: Duration,
    /// Bytes that wait in one stream; its sender waits.
    pub stream_queue_bytes: usize,
    /// What the other side may send on one lane or stream before this side has read it.
    pub stream_window_bytes: u32,
    /// Largest HTTP/2 frame. An urgent frame waits for at most one such piece of each other lane.
    pub http_frame_bytes: u32,
    /// Bytes of one stream that HTTP/2 holds ready for the socket.
    pub send_buffer_bytes: usize,
    /// Bytes that the kernel holds but has not sent: what lies there can no longer be overtaken.
    pub unsent_bytes_max: u32,
}

/// HTTP/2 streams beyond lanes and streams: the reverse request that waits, those that are being
/// closed, and one to be told that there is no such route.
const SPARE_STREAMS: u32 = 5;

/// The largest window that HTTP/2 knows.
const WINDOW_BYTES_MAX: u32 = i32::MAX.unsigned_abs();

impl TransportConfig {
    /// HTTP/2 streams of one link.
    #[must_use]
    pub(crate) const fn http_streams_max(&self) -> u32 {
        let lanes_and_spare = 3 + SPARE_STREAMS;
        self.streams_max.saturating_mul(2).saturating_add(lanes_and_spare)
    }

    /// What the other side may send on all lanes and streams of a connection before this side has read
    /// it: the sum of their windows, so that those which nobody reads never stop the others.
    #[must_use]
    pub const fn connection_window_bytes(&self) -> u32 {
        let sum = self.http_streams_max().saturating_mul(self.stream_window_bytes);
        if sum < WINDOW_BYTES_MAX { sum } else { WINDOW_BYTES_MAX }
    }
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            join_body_timeout: Duration::from_secs(10),
            join_answer_timeout: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(5),
            dial_stagger: Duration::from_millis(250),
            stranger_connections_max: 64,
            stranger_connections_per_ip_max: 32,
            accept_rate_per_ip: AcceptRate { per_minute: 120, burst: 40 },
            links_max: 1024,
            links_per_peer_max: 8,
            lane_queue_frames: 256,
            lane_queue_bytes: 4 << 20,
            streams_max: 8,
            stream_open_timeout: Duration::from_secs(10),
            stream_queue_bytes: 1 << 20,
            stream_window_bytes: 4 << 20,
            http_frame_bytes: 128 << 10,
            send_buffer_bytes: 1 << 20,
            unsent_bytes_max: 256 << 10,
        }
    }
}
