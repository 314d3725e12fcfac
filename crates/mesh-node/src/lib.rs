//! A member of an agent mesh, to be embedded: start it, join, send, subscribe.
//!
//! This room joins the pure engines (who belongs, what is delivered, whom to link with) with the
//! adapters (database, links, control socket), and owns everything that needs a clock, randomness or
//! a task. Never in here: SQL, the parsing of bytes, or a decision that an engine could make.
//!
//! Start reading at [`Node`]; inside, at `core.rs` (the engines joined) and `shared.rs` (how what
//! they wish becomes effects).
//!
//! ```no_run
//! use mesh_node::{CustomJson, Filter, JsonText, Node, Outgoing, Payload, Target};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder("/var/lib/my-agent").start().await?;
//! node.join("meshjoin1_…").await?;
//! let data = JsonText::parse(r#"{"build": 42}"#)?;
//! let payload = Payload::CustomJson(CustomJson { app_type: "ci".into(), data });
//! let sent = node.send(Outgoing::new(Target::Name("mint".into()), payload)).await?;
//! println!("{:?}", sent.wait(std::time::Duration::from_secs(5)).await);
//! let mut inbox = node.subscribe(Filter::AppType("ci".into()));
//! while let Some(received) = inbox.next().await {
//!     println!("{} says {:?}", received.from_hostname, received.message.payload);
//!     inbox.ack(received.message.message_id).await?;
//! }
//! # Ok(()) }
//! ```

mod admission;
mod backup;
mod bodies;
mod builder;
mod clock;
mod config;
mod control_api;
mod core;
mod custody;
mod data_dir;
mod discover;
mod doctor;
mod error;
mod events;
mod git;
mod inbound;
mod join;
mod keyring;
mod link;
mod maintenance;
mod metrics;
mod node;
mod outgoing;
mod parcels;
mod pushes;
mod reach;
mod receipts;
mod records;
mod relay;
mod removal;
mod send;
mod shared;
mod shared_config;
mod streams;
mod subscribe;
mod sync;
mod tables;
mod tasks;
mod tokens;
mod unstored;
mod view;

pub use backup::{RestoreError, restore};
pub use builder::NodeBuilder;
pub use config::DEFAULT_PORT;
pub use discover::{DiscoveryConfig, DiscoveryReport};
pub use error::{NodeError, StartError};
pub use events::Event;
pub use git::RepositorySettings;
pub use join::{JoinStepDone, Joined};
pub use mesh_config::{ConfigKey, EntryValue};
pub use mesh_control::{ConfigFileState, ConfigFileView};
pub use mesh_control::{JoinStep, ParkedAccepted, default_data_dir, default_socket_path};
pub use mesh_delivery::{DeliveryConfig, Priority};
pub use mesh_discovery::{LanConfig, LanInterfaces, TailscaleConfig};
pub use mesh_doctor::{Check, Finding};
pub use mesh_files::{DistributionConfig, SenderConfig};
pub use mesh_membership::{LinkConfig, LivenessConfig};
pub use mesh_protocol::{
    Address, CustomJson, ErrorCode, Hostname, HybridClock, JsonText, MediaStream, MediaType,
    MeshId, MeshMessage, MessageId, OriginId, Payload, PeerId, REMOVE_QUORUM_MAX, RootName,
    SqlValue, UnixMillis,
};
pub use mesh_store::StoreConfig;
pub use mesh_sync::ExchangeConfig;
pub use mesh_tables::{
    ChangeEvent, ConflictInfo, Feed, FeedItem, Operation, ParkedInfo, Query, Restored, Rows,
    Statement, TableInfo, TablesConfig, WriteInfo, Written,
};
pub use mesh_tree::{KeepConfig, RootConfig};
pub use node::{Node, Peer, RoundTrip};
pub use outgoing::{Delivery, DeliveryOutcome, DeliveryReport, Outgoing, Sent, Target};
pub use pushes::{PushSettings, RootSettings};
pub use shared_config::{
    ChangesMissed, ConfigChange, ConfigChanged, ConfigFollower, ConfigView, SharedConfigSettings,
};
pub use subscribe::{Filter, Received, Subscription};
pub use tokens::IssuedToken;
