//! Processor time of processes that have ended, as their parents know it.

use std::fs;

/// `/proc` counts processor time in these, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

fn stat(pid: &str) -> Vec<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The program's name may hold spaces; what follows its bracket may not.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect()
}

fn of_waited_for(pid: &str) -> f64 {
    stat(pid).into_iter().skip(13).take(2).sum::<f64>() / TICKS_PER_SECOND
}

/// Of this process' children that were waited for.
pub(crate) fn of_own_children() -> f64 {
    of_waited_for("self")
}

/// Of another one's.
pub(crate) fn of_children_of(pid: u32) -> f64 {
    of_waited_for(&pid.to_string())
}

pub(crate) fn has_children(pid: u32) -> bool {
    let path = format!("/proc/{pid}/task/{pid}/children");
    fs::read_to_string(path).is_ok_and(|children| !children.trim().is_empty())
}

/// Of this process, all threads.
pub(crate) fn of_myself() -> f64 {
    stat("self").into_iter().skip(11).take(2).sum::<f64>() / TICKS_PER_SECOND
}
