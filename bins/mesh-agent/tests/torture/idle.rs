//! What a process holds: memory, open files, connections; and how long it has worked.

use std::fs;
use std::time::Duration;

use rustix::process::Pid;

/// One of the ticks that Linux counts processor time in, on every machine (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
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

/// Processor time of a process since its start, in user and system mode.
pub(crate) fn worked(pid: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    // The program's name may hold spaces; what follows its bracket may not.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    TICK * ticks.map(|ticks| ticks.parse::<u32>().unwrap()).sum::<u32>()
}
