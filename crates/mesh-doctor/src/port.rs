use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::finding::listed;
use crate::{Check, Finding};

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Who holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process and its name; absent when this user may not see it.
    pub process: Option<(u32, String)>,
    /// The user that opened the socket.
    pub uid: u32,
}

/// Whether an agent could listen on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    /// It could.
    Free,
    /// Somebody else does; nobody is named where the system does not tell.
    Taken(Vec<Holder>),
    /// This user may not.
    Forbidden,
    /// The address is none of this machine's.
    NoSuchAddress,
    /// The system refuses for another reason.
    Refused(String),
}

/// An address and whether an agent could listen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortUse {
    /// The address.
    pub address: SocketAddr,
    /// Whether.
    pub state: PortState,
}

/// Tries to listen on `address` for a moment, and finds out who is in the way.
#[must_use]
pub fn look_at_port(address: SocketAddr) -> PortUse {
    let state = match TcpListener::bind(address) {
        Ok(_closed_at_once) => PortState::Free,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            PortState::Taken(holders(address))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => PortState::Forbidden,
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => PortState::NoSuchAddress,
        Err(error) => PortState::Refused(error.to_string()),
    };
    PortUse { address, state }
}

/// Who listens where `address` would. Linux tells; elsewhere nobody is found.
fn holders(address: SocketAddr) -> Vec<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let sockets: Vec<Socket> = tables
        .flat_map(|table| table.lines().filter_map(Socket::parse).collect::<Vec<Socket>>())
        .filter(|socket| socket.is_in_the_way_of(address))
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let processes = processes_with_sockets();
    let holder = |socket: Socket| {
        let name = format!("socket:[{}]", socket.inode);
        let process = processes.iter().find(|process| process.sockets.contains(&name));
        Holder {
            process: process.map(|process| (process.pid, process.name.clone())),
            uid: socket.uid,
        }
    };
    let mut found: Vec<Holder> = sockets.into_iter().map(holder).collect();
    found.dedup();
    found
}

/// A line of `/proc/net/tcp` that is about a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    uid: u32,
    inode: u64,
}

impl Socket {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next()?;
        let is_listening = words.nth(1)? == LISTENING;
        let uid = words.nth(3)?.parse().ok()?;
        let inode = words.nth(1)?.parse().ok()?;
        let (ip, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        is_listening.then_some(Self { local: SocketAddr::new(hex_ip(ip)?, port), uid, inode })
    }

    fn is_in_the_way_of(&self, wanted: SocketAddr) -> bool {
        let (theirs, ours) = (self.local.ip().to_canonical(), wanted.ip().to_canonical());
        self.local.port() == wanted.port()
            && (theirs == ours || theirs.is_unspecified() || ours.is_unspecified())
    }
}

/// Groups of eight digits, each a number of this machine's byte order.
fn hex_ip(text: &str) -> Option<IpAddr> {
    let group = |from: usize| -> Option<[u8; 4]> {
        let digits = text.get(from..from + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    if text.len() == 8 {
        return group(0).map(|octets| Ipv4Addr::from(octets).into());
    }
    let groups = [group(0)?, group(8)?, group(16)?, group(24)?];
    let octets: [u8; 16] = groups.concat().try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// A process and what it has open, as far as this user may see.
struct Process {
    pid: u32,
    name: String,
    sockets: Vec<String>,
}

fn processes_with_sockets() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let opened = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let sockets: Vec<String> = opened
            .filter_map(|file| fs::read_link(file.path()).ok()?.into_os_string().into_string().ok())
            .filter(|target| target.starts_with("socket:"))
            .collect();
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        // A process chooses its name; a terminal must not obey it.
        let name = name.trim().chars().filter(|c| !c.is_control()).collect();
        Some(Process { pid, name, sockets })
    });
    processes.collect()
}

/// Judges whether an agent could listen, before it does.
#[must_use]
pub fn judge_ports(uses: &[PortUse]) -> Finding {
    for PortUse { address, state } in uses {
        let failed = |detail: String, hint: String| Finding::failed(Check::Port, detail, hint);
        match state {
            PortState::Free => {}
            PortState::Taken(holders) => return taken(*address, holders),
            PortState::Forbidden => {
                return failed(
                    format!("this user may not listen on {address}"),
                    String::from(
                        "choose a port from 1024 on with --listen, or grant CAP_NET_BIND_SERVICE, as `mesh-agent install` does for such a port",
                    ),
                );
            }
            PortState::NoSuchAddress => {
                return failed(
                    format!("{address} is no address of this machine at the moment"),
                    String::from(
                        "look with `ip address`; if it belongs to Tailscale or a VPN, start that first, or listen on all addresses",
                    ),
                );
            }
            PortState::Refused(why) => {
                return failed(
                    format!("the system refuses to listen on {address}: {why}"),
                    String::from("choose another address with --listen"),
                );
            }
        }
    }
    let free: Vec<String> = uses.iter().map(|port| port.address.to_string()).collect();
    Finding::good(Check::Port, format!("free: {}", listed(&free)))
}

fn taken(address: SocketAddr, holders: &[Holder]) -> Finding {
    let port = address.port();
    let is_agent = holders
        .iter()
        .filter_map(|holder| holder.process.as_ref())
        .any(|(_, name)| name == "mesh-agent");
    let named: Vec<String> = holders
        .iter()
        .map(|holder| match &holder.process {
            Some((pid, name)) => format!("{name} (process {pid})"),
            None => format!("a process of user {} that this user may not see", holder.uid),
        })
        .collect();
    let by = if named.is_empty() { String::from("another program") } else { listed(&named) };
    let hint = if is_agent {
        String::from(
            "another agent runs on this machine: ask that one with --socket or MESH_SOCKET, or stop it, or give this one another port with --listen",
        )
    } else if named.is_empty() || holders.iter().any(|holder| holder.process.is_none()) {
        format!(
            "find it with `sudo ss -ltnp 'sport = :{port}'` (macOS: `sudo lsof -nP -iTCP:{port} -sTCP:LISTEN`) and stop it, or give the agent another port with --listen"
        )
    } else {
        String::from("stop that program, or give the agent another port with --listen")
    };
    Finding::failed(Check::Port, format!("{address} is taken by {by}"), hint)
}

/// What a running agent says of its port.
#[must_use]
pub fn judge_listening(listening: &[SocketAddr]) -> Finding {
    let shown: Vec<String> = listening.iter().map(ToString::to_string).collect();
    Finding::good(Check::Port, format!("the agent listens on {}", listed(&shown)))
}

#[cfg(test)]
mod tests;
