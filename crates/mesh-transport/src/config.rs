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
    /// What the other side may send on one stream before this side has read it.
    pub stream_window_bytes: u32,
    /// The same for all streams of a connection.
    pub connection_window_bytes: u32,
    /// Largest HTTP/2 frame. An urgent frame waits for at most one such piece of each other lane.
    pub http_frame_bytes: u32,
    /// Bytes of one stream that HTTP/2 holds ready for the socket.
    pub send_buffer_bytes: usize,
    /// Bytes that the kernel holds but has not sent: what lies there can no longer be overtaken.
    pub unsent_bytes_max: u32,
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
            stream_window_bytes: 16 << 20,
            connection_window_bytes: 64 << 20,
            http_frame_bytes: 128 << 10,
            send_buffer_bytes: 1 << 20,
            unsent_bytes_max: 256 << 10,
        }
    }
}
