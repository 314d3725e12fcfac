//! What a process holds: memory, open files, connections.

use std::fs;

use rustix::process::Pid;

/// The state of an established connection in the kernel's table.
const ESTABLISHED: &str = "01";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) memory_kib: u64,
    pub(crate) files: usize,
    pub(crate) connections: usize,
}

/// What a process that is alone in its network namespace holds.
pub(crate) fn held(pid: Pid) -> Held {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let connections = ["tcp", "tcp6"].map(|table| {
        let table = fs::read_to_string(format!("{process}/net/{table}")).unwrap_or_default();
        let states = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3));
        states.filter(|state| *state == ESTABLISHED).count()
    });
    Held {
        memory_kib: line.trim().trim_end_matches(" kB").parse().unwrap(),
        files: fs::read_dir(format!("{process}/fd")).unwrap().count(),
        connections: connections.iter().sum(),
    }
}
