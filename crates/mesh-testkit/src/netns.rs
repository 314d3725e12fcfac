//! Machines on one LAN, for real processes: network namespaces with a bridge between them. Needs
//! Linux, root, and `ip` of iproute2.
//!
//! Nothing of it shows outside: the bridge has a namespace of its own, and so has every machine.
//! What the wires do is changed while processes run: cut in one or both directions, mended, slowed
//! down, and machines move to other addresses.

mod run;
#[cfg(test)]
mod tests;
mod wire;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use run::NetnsError;
use run::{in_namespace, ip, run};
use wire::Wire;

use crate::Conditions;

/// How every namespace of this module is called; the process id of its owner follows.
const PREFIX: &str = "meshlan-";

/// A private network, as agents announce themselves on no other. That the real LAN may have the same
/// addresses does not matter: the two never meet.
const NETWORK: [u8; 3] = [192, 168, 198];

/// Where the machines send what is for elsewhere. Nobody has this address, so that a packet for
/// elsewhere shows as a question for it.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 254);

/// A hardware address that nobody has: what is sent there is lost as on a cut wire, in silence.
const NOBODY: &str = "02:00:00:00:00:01";

/// The interface of every machine.
const INTERFACE: &str = "eth0";

/// A LAN with machines on it. They and everything between them vanish with it, so it has to outlive
/// the processes that were started there.
#[derive(Debug)]
pub struct Lan {
    name: String,
    namespaces: Vec<String>,
    addresses_used: u8,
    /// What is between the machines, when that is not a bridge.
    wire: Option<Wire>,
}

/// A machine on a [`Lan`]: a network namespace with one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanMachine {
    namespace: String,
    address: Ipv4Addr,
    /// Its first address ended with it; stays when it moves.
    port: u8,
}

impl LanMachine {
    /// The name of its namespace, for `ip netns exec`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its address on the LAN.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    const fn port(&self) -> u8 {
        self.port
    }

    /// Every address on the LAN that this machine ever sent something to or asked for, the gateway
    /// to elsewhere included; multicast groups are not.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn neighbours(&self) -> Result<Vec<Ipv4Addr>, NetnsError> {
        let table = in_namespace(&self.namespace, &["-4", "neigh", "show", "dev", INTERFACE])?;
        Ok(neighbours_of(&table))
    }
}

impl Lan {
    /// Makes a LAN without machines. First, what earlier processes left behind is removed.
    ///
    /// # Errors
    /// This process may not make namespaces, or `ip` is not there.
    pub fn new() -> Result<Self, NetnsError> {
        let mut lan = Self::empty(None)?;
        let switch = lan.add_namespace("switch")?;
        in_namespace(&switch, &["link", "add", "br0", "type", "bridge"])?;
        in_namespace(&switch, &["link", "set", "br0", "up"])?;
        Ok(lan)
    }

    /// Makes a LAN without machines, on which this process carries what they send: [`Lan::set_way`] says
    /// how. What is lost and how long the rest takes is drawn from `seed`. It keeps a program in `dir`.
    ///
    /// # Errors
    /// [`NetnsError::TunMissing`] when there is no `/dev/net/tun`; else as [`Lan::new`], and when there is
    /// no C compiler.
    pub fn on_wire(dir: &Path, seed: u64) -> Result<Self, NetnsError> {
        Self::empty(Some(Wire::new(dir, seed)?))
    }

    fn empty(wire: Option<Wire>) -> Result<Self, NetnsError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", process::id());
        Ok(Self { name, namespaces: Vec::new(), addresses_used: 0, wire })
    }

    /// Whether this process carries what the machines send.
    #[must_use]
    pub const fn has_wire(&self) -> bool {
        self.wire.is_some()
    }

    /// Says what becomes of everything that `from` sends to `to`, multicast as well: none is lost without
    /// exception. On a LAN that this process does not carry it does nothing.
    pub fn set_way(&self, from: &LanMachine, to: &LanMachine, conditions: Option<Conditions>) {
        if let Some(wire) = &self.wire {
            wire.set(from.port(), to.port(), conditions);
        }
    }

    /// Adds a machine that everybody on the LAN reaches.
    ///
    /// # Errors
    /// `ip` failed, or there is no address left.
    pub fn add_machine(&mut self) -> Result<LanMachine, NetnsError> {
        let address = self.next_address()?;
        let [.., last] = address.octets();
        let namespace = self.add_namespace(&last.to_string())?;
        if let Some(wire) = &self.wire {
            let hardware = wire.plug(&namespace, INTERFACE, last)?;
            in_namespace(&namespace, &["link", "set", INTERFACE, "address", &hardware])?;
        } else {
            let switch = self.switch();
            let port = format!("port{last}");
            let veth = ["link", "add", INTERFACE, "netns", &namespace];
            ip(&[&veth[..], &["type", "veth", "peer", "name", &port, "netns", &switch]].concat())?;
            in_namespace(&switch, &["link", "set", &port, "master", "br0", "up"])?;
        }
        in_namespace(&namespace, &["link", "set", "lo", "up"])?;
        // Without addresses of its own making: what is cut has one address alone. A kernel without
        // IPv6 refuses, and makes none.
        let _without_ipv6 =
            in_namespace(&namespace, &["link", "set", INTERFACE, "addrgenmode", "none"]);
        in_namespace(&namespace, &["link", "set", INTERFACE, "up"])?;
        let machine = LanMachine { namespace, address, port: last };
        set_address(&machine)?;
        Ok(machine)
    }

    /// Gives `machine` another address. The old one is gone before the new one is there, as when a
    /// laptop changes networks.
    ///
    /// # Errors
    /// `ip` failed, or there is no address left.
    pub fn move_machine(&mut self, machine: &mut LanMachine) -> Result<(), NetnsError> {
        let address = self.next_address()?;
        in_namespace(&machine.namespace, &["addr", "flush", "dev", INTERFACE])?;
        machine.address = address;
        set_address(machine)
    }

    /// Loses whatever `from` sends to `to` from here on, without a word to either. The other
    /// direction is not touched, and neither is multicast.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn cut(&self, from: &LanMachine, to: &LanMachine) -> Result<(), NetnsError> {
        let to = to.address.to_string();
        let nobody = ["lladdr", NOBODY, "nud", "permanent", "dev", INTERFACE];
        in_namespace(&from.namespace, &[&["neigh", "replace", &to][..], &nobody].concat())?;
        Ok(())
    }

    /// Ends what [`Lan::cut`] began.
    ///
    /// # Errors
    /// `ip` failed; also when nothing was cut.
    pub fn mend(&self, from: &LanMachine, to: &LanMachine) -> Result<(), NetnsError> {
        let to = to.address.to_string();
        in_namespace(&from.namespace, &["neigh", "del", &to, "dev", INTERFACE])?;
        Ok(())
    }

    /// Cuts every pair with one machine in each of the two sets, in both directions.
    ///
    /// # Errors
    /// `ip` failed; some pairs may be cut then.
    pub fn split(&self, some: &[&LanMachine], others: &[&LanMachine]) -> Result<(), NetnsError> {
        both_ways(some, others, |from, to| self.cut(from, to))
    }

    /// Ends what [`Lan::split`] began.
    ///
    /// # Errors
    /// `ip` failed; some pairs may be mended then.
    pub fn heal(&self, some: &[&LanMachine], others: &[&LanMachine]) -> Result<(), NetnsError> {
        both_ways(some, others, |from, to| self.mend(from, to))
    }

    /// Delays what `from` sends, and loses some of it.
    ///
    /// # Errors
    /// [`NetnsError::NetemMissing`] when this kernel cannot; `tc` failed or is not there.
    pub fn impair(
        &self,
        from: &LanMachine,
        delay: Duration,
        loss_percent: u8,
    ) -> Result<(), NetnsError> {
        let delay = format!("{}us", delay.as_micros());
        let loss = format!("{loss_percent}%");
        let place = ["-n", &from.namespace, "qdisc", "replace", "dev", INTERFACE, "root"];
        let netem = ["netem", "delay", &delay, "loss", &loss];
        match run("tc", &[&place[..], &netem].concat()) {
            Err(NetnsError::Refused { answer, .. }) if answer.contains("qdisc kind is unknown") => {
                Err(NetnsError::NetemMissing)
            }
            other => other.map(drop),
        }
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }

    fn add_namespace(&mut self, suffix: &str) -> Result<String, NetnsError> {
        let namespace = format!("{}-{suffix}", self.name);
        ip(&["netns", "add", &namespace])?;
        self.namespaces.push(namespace.clone());
        Ok(namespace)
    }

    fn next_address(&mut self) -> Result<Ipv4Addr, NetnsError> {
        let [.., gateway] = GATEWAY.octets();
        let next = self.addresses_used + 1;
        if next == gateway {
            return Err(NetnsError::Full);
        }
        self.addresses_used = next;
        let [a, b, c] = NETWORK;
        Ok(Ipv4Addr::new(a, b, c, next))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // What cannot be removed is a leftover, which the next process removes.
            let _leftover = ip(&["netns", "del", namespace]);
        }
    }
}

fn set_address(machine: &LanMachine) -> Result<(), NetnsError> {
    let address = format!("{}/24", machine.address);
    in_namespace(&machine.namespace, &["addr", "add", &address, "dev", INTERFACE])?;
    in_namespace(
        &machine.namespace,
        &["route", "replace", "default", "via", &GATEWAY.to_string()],
    )?;
    Ok(())
}

fn both_ways(
    some: &[&LanMachine],
    others: &[&LanMachine],
    mut change: impl FnMut(&LanMachine, &LanMachine) -> Result<(), NetnsError>,
) -> Result<(), NetnsError> {
    for one in some {
        for other in others {
            change(one, other)?;
            change(other, one)?;
        }
    }
    Ok(())
}

/// The addresses in the output of `ip neigh`.
fn neighbours_of(table: &str) -> Vec<Ipv4Addr> {
    table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// Removes the namespaces of processes that are gone, and what still runs in them.
fn remove_leftovers() -> Result<(), NetnsError> {
    let listed = ip(&["netns", "list"])?;
    for (namespace, owner) in listed.lines().filter_map(owned) {
        if std::fs::exists(format!("/proc/{owner}")).unwrap_or(true) {
            continue;
        }
        // Another process may clear up at the same time, so that nothing in here has to succeed.
        let running = ip(&["netns", "pids", namespace]).unwrap_or_default();
        for id in running.split_whitespace() {
            let _ended = run("kill", &["-KILL", id]);
        }
        let _removed = ip(&["netns", "del", namespace]);
    }
    Ok(())
}

/// A namespace of this module in a line of `ip netns list`, with the process id of its owner.
fn owned(line: &str) -> Option<(&str, u32)> {
    let namespace = line.split_whitespace().next()?;
    let (owner, _) = namespace.strip_prefix(PREFIX)?.split_once('-')?;
    Some((namespace, owner.parse().ok()?))
}
