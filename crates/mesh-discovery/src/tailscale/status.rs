//! The JSON of a status. Every field may be absent, null or of a kind that nobody expects; such a one
//! counts as empty, and never spoils its neighbours.

use std::fmt;

use mesh_protocol::UnixMillis;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{TailscaleNode, TailscalePeer, TailscaleSkipped, TailscaleState, TailscaleStatus};
use crate::TailscaleError;

/// Most devices that are taken from one answer.
pub const DEVICES_MAX: usize = 10_000;

/// Most addresses of one device; two are usual.
const IPS_MAX: usize = 8;

/// Most tags of one device that are looked at.
const TAGS_MAX: usize = 64;

/// Longest name that is kept: that of a DNS name. Free text can be anything.
const NAME_CHARS_MAX: usize = 255;

/// Longest name of an unknown state.
const STATE_CHARS_MAX: usize = 32;

const EXIT_NODE_TAG: &str = "tag:mullvad-exit-node";
const EXIT_NODE_SUFFIX: &str = "mullvad.ts.net";

/// A field as it stands in the text, not looked at yet.
type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawStatus<'a> {
    #[serde(borrow)]
    backend_state: Raw<'a>,
    #[serde(borrow, rename = "TailscaleIPs")]
    ips: Raw<'a>,
    #[serde(borrow, rename = "Self")]
    own: Raw<'a>,
    #[serde(borrow)]
    current_tailnet: Raw<'a>,
    /// Older versions say it here only.
    #[serde(borrow, rename = "MagicDNSSuffix")]
    dns_suffix: Raw<'a>,
    #[serde(borrow, rename = "Peer")]
    peers: Raw<'a>,
}

#[derive(Deserialize, Default)]
struct RawTailnet<'a> {
    #[serde(borrow, rename = "MagicDNSSuffix")]
    dns_suffix: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawDevice<'a> {
    #[serde(borrow)]
    host_name: Raw<'a>,
    #[serde(borrow, rename = "DNSName")]
    dns_name: Raw<'a>,
    #[serde(borrow, rename = "TailscaleIPs")]
    ips: Raw<'a>,
    #[serde(borrow)]
    online: Raw<'a>,
    #[serde(borrow)]
    last_seen: Raw<'a>,
    #[serde(borrow)]
    tags: Raw<'a>,
    #[serde(borrow)]
    expired: Raw<'a>,
    #[serde(borrow)]
    sharee_node: Raw<'a>,
    #[serde(borrow, rename = "AltSharerUserID")]
    sharer: Raw<'a>,
    #[serde(borrow)]
    exit_node_option: Raw<'a>,
    #[serde(borrow)]
    location: Raw<'a>,
}

/// Why a device is left out.
enum Skip {
    Shared,
    Expired,
    ExitNode,
}

/// Reads the answer of the LocalAPI or of the command: they are the same.
pub(super) fn read(answer: &[u8]) -> Result<TailscaleStatus, TailscaleError> {
    let raw: RawStatus<'_> =
        serde_json::from_slice(answer).map_err(|error| TailscaleError::Unreadable(error.into()))?;
    let own: RawDevice<'_> = object(raw.own).unwrap_or_default();
    // While Tailscale is stopped, only the device itself still has its addresses.
    let mut ips = list(own.ips, IPS_MAX);
    for ip in list(raw.ips, IPS_MAX) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    let own =
        TailscaleNode { host_name: name(own.host_name), dns_name: dns_name(own.dns_name), ips };
    let tailnet: RawTailnet<'_> = object(raw.current_tailnet).unwrap_or_default();
    let (peers, skipped) = devices(raw.peers, &dns_name(tailnet.dns_suffix.or(raw.dns_suffix)));
    Ok(TailscaleStatus { state: state(raw.backend_state), own, peers, skipped })
}

fn state(raw: Raw<'_>) -> TailscaleState {
    let name: String = field(raw).unwrap_or_default();
    match name.as_str() {
        "" | "NoState" => TailscaleState::NoState,
        "NeedsLogin" => TailscaleState::NeedsLogin,
        "NeedsMachineAuth" => TailscaleState::NeedsMachineAuth,
        "Stopped" => TailscaleState::Stopped,
        "Starting" => TailscaleState::Starting,
        "Running" => TailscaleState::Running,
        other => TailscaleState::Other(other.chars().take(STATE_CHARS_MAX).collect()),
    }
}

fn devices(raw: Raw<'_>, tailnet: &str) -> (Vec<TailscalePeer>, TailscaleSkipped) {
    let mut peers = Vec::new();
    let mut skipped = TailscaleSkipped::default();
    for_each_value(raw, |value| {
        let Some(device) = object::<RawDevice<'_>>(Some(value)) else {
            return;
        };
        match device.skip(tailnet) {
            Some(Skip::Shared) => skipped.shared += 1,
            Some(Skip::Expired) => skipped.expired += 1,
            Some(Skip::ExitNode) => skipped.exit_nodes += 1,
            None if peers.len() >= DEVICES_MAX => skipped.beyond_bound += 1,
            None => peers.push(device.into_peer()),
        }
    });
    (peers, skipped)
}

impl RawDevice<'_> {
    fn skip(&self, tailnet: &str) -> Option<Skip> {
        let dns_name = dns_name(self.dns_name);
        if self.is_exit_node(&dns_name) {
            return Some(Skip::ExitNode);
        }
        let is_flag = |raw| field(raw).unwrap_or(false);
        let is_shared = is_flag(self.sharee_node)
            || field(self.sharer).is_some_and(|id: u64| id != 0)
            // A device that its own user shared names no sharer; its tailnet shows in its name.
            || !is_within(&dns_name, tailnet);
        if is_shared {
            return Some(Skip::Shared);
        }
        is_flag(self.expired).then_some(Skip::Expired)
    }

    fn is_exit_node(&self, dns_name: &str) -> bool {
        let has_location = self.location.is_some() && field(self.exit_node_option).unwrap_or(false);
        has_location
            || list::<String>(self.tags, TAGS_MAX).iter().any(|tag| tag == EXIT_NODE_TAG)
            || (!dns_name.is_empty() && is_within(dns_name, EXIT_NODE_SUFFIX))
    }

    fn into_peer(self) -> TailscalePeer {
        let is_online = field(self.online).unwrap_or(false);
        TailscalePeer {
            host_name: name(self.host_name),
            dns_name: dns_name(self.dns_name),
            ips: list(self.ips, IPS_MAX),
            is_online,
            last_seen: if is_online { None } else { moment(self.last_seen) },
        }
    }
}

/// Whether `name` lies in `domain`. An unknown name or domain excludes nothing.
fn is_within(name: &str, domain: &str) -> bool {
    name.is_empty()
        || domain.is_empty()
        || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn name(raw: Raw<'_>) -> String {
    let text: String = field(raw).unwrap_or_default();
    text.chars().take(NAME_CHARS_MAX).collect()
}

fn dns_name(raw: Raw<'_>) -> String {
    let name = name(raw).to_ascii_lowercase();
    name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
}

/// Go writes the year 1 for "never".
fn moment(raw: Raw<'_>) -> Option<UnixMillis> {
    let moment: jiff::Timestamp = field::<String>(raw)?.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok().map(UnixMillis)
}

fn field<T: DeserializeOwned>(raw: Raw<'_>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn object<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    let text = raw?.get();
    // A derived reader would take an array, too, and its elements for fields.
    text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// The elements of an array that are a `T`, at most `count_max`.
fn list<T: DeserializeOwned>(raw: Raw<'_>, count_max: usize) -> Vec<T> {
    struct Elements<'v, T>(&'v mut Vec<T>, usize);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Elements<'_, T> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
            let Self(found, count_max) = self;
            while let Some(element) = array.next_element::<&RawValue>()? {
                if found.len() < count_max {
                    found.extend(field::<T>(Some(element)));
                }
            }
            Ok(())
        }
    }

    let mut found = Vec::new();
    if let Some(raw) = raw {
        // The text was read once already; what fails here is no array, and has no elements.
        let _not_an_array = serde_json::Deserializer::from_str(raw.get())
            .deserialize_seq(Elements(&mut found, count_max));
    }
    found
}

/// Hands out the values of an object one by one, so that a long one is never held twice.
fn for_each_value<'a>(raw: Raw<'a>, mut take: impl FnMut(&'a RawValue)) {
    struct Values<F>(F);

    impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Values<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
            while let Some((IgnoredAny, value)) = object.next_entry::<IgnoredAny, &RawValue>()? {
                (self.0)(value);
            }
            Ok(())
        }
    }

    if let Some(raw) = raw {
        // The text was read once already; what fails here is no object, and has no values.
        let _not_an_object =
            serde_json::Deserializer::from_str(raw.get()).deserialize_map(Values(&mut take));
    }
}

#[cfg(test)]
mod tests;
