//! Those who write at the same time: programs of all kinds, on all agents.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mesh_control::{ControlClient, SqlReply};
use mesh_protocol::SqlValue;

use super::write::{Dice, Outcome, Write};
use crate::agent::eventually;
use crate::tables::desk::{LONG, ctl_program, python, shell, statement};

/// Most statements of one run of the shell or of Python.
const BATCH_MAX: u64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Api,
    Ctl,
    Shell,
    Python,
}

/// What all writers share.
pub(super) struct Log {
    next: AtomicU64,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { next: AtomicU64::new(1), outcomes: Mutex::new(Vec::new()) })
    }

    /// How many writes were begun.
    pub(super) fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    fn add(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.outcomes.lock().unwrap().extend(outcomes);
    }

    pub(super) fn take(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes.lock().unwrap())
    }
}

/// One program that writes on one agent.
pub(super) struct Writer {
    pub(super) program: Program,
    pub(super) client: ControlClient,
    pub(super) database: PathBuf,
    pub(super) rows: u64,
    pub(super) dice: Dice,
    pub(super) log: Arc<Log>,
}

impl Writer {
    fn draw(&mut self) -> Write {
        let no = self.log.next.fetch_add(1, Ordering::Relaxed);
        Write::draw(no, self.rows, &mut self.dice)
    }

    /// Makes as many writes as that.
    pub(super) async fn run(mut self, mut count: u64) {
        while count > 0 {
            let batch = match self.program {
                Program::Api | Program::Ctl => 1,
                Program::Shell | Program::Python => (1 + self.dice.below(BATCH_MAX)).min(count),
            };
            let writes: Vec<Write> = (0..batch).map(|_| self.draw()).collect();
            let log = Arc::clone(&self.log);
            if self.program == Program::Api {
                count -= batch;
                let is_done = self.ask(writes).await;
                if !is_done {
                    self.wait_for_agent().await;
                }
                continue;
            }
            let (program, database) = (self.program, self.database.clone());
            let socket = self.client.path().to_owned();
            let run = tokio::task::spawn_blocking(move || match program {
                Program::Api | Program::Ctl => by_ctl(&socket, writes),
                Program::Shell => by_shell(&database, writes),
                Program::Python => by_python(&database, writes),
            });
            let outcomes = run.await.unwrap();
            count -= outcomes.len() as u64;
            let is_lost = outcomes.iter().any(|outcome| !outcome.is_acknowledged);
            log.add(outcomes);
            if self.program == Program::Ctl && is_lost {
                self.wait_for_agent().await;
            }
        }
    }

    async fn ask(&self, writes: Vec<Write>) -> bool {
        let mut is_done = true;
        for write in writes {
            let outcome = match self.client.sql(&statement(&write.sql)).await {
                Ok(SqlReply::Rows { rows, .. }) => {
                    let values = rows.into_iter().next().map(|row| {
                        let texts = row.into_iter().skip(1).map(|value| text(value.0));
                        texts.collect()
                    });
                    Outcome::acknowledged(write, values)
                }
                Ok(SqlReply::Changes { changes: 0 }) => Outcome::acknowledged(write, None),
                Ok(SqlReply::Changes { .. }) | Err(_) => {
                    is_done = false;
                    Outcome::unknown(write)
                }
            };
            self.log.add([outcome]);
        }
        is_done
    }

    async fn wait_for_agent(&self) {
        let what = "the agent answers again";
        eventually(LONG, what, async || self.client.status().await.ok().map(drop)).await;
    }
}

fn text(value: SqlValue) -> String {
    let SqlValue::Text(text) = value else { panic!("{value:?} is no text") };
    text
}

/// The line `NO|a|b|c` of each write that was made, in their order; `end` stands behind each write that was
/// carried out, whatever it found. The first that fails ends the program: those behind it were not begun.
fn told(writes: Vec<Write>, output: &Output) -> Vec<Outcome> {
    let said = String::from_utf8_lossy(&output.stdout);
    let mut lines = said.lines().peekable();
    let mut outcomes = Vec::new();
    for write in writes {
        let prefix = format!("{}|", write.no);
        let row = lines.next_if(|line| line.starts_with(&prefix)).map(str::to_owned);
        let end = format!("end {}", write.no);
        if lines.next_if(|line| *line == end).is_none() {
            let why = String::from_utf8_lossy(&output.stderr);
            eprintln!("write {} failed ({}): {}", write.no, output.status, why.trim());
            outcomes.push(Outcome::unknown(write));
            break;
        }
        let values = row.map(|row| row.split('|').skip(1).map(str::to_owned).collect());
        outcomes.push(Outcome::acknowledged(write, values));
    }
    outcomes
}

fn by_shell(database: &std::path::Path, writes: Vec<Write>) -> Vec<Outcome> {
    let statements =
        writes.iter().map(|write| format!("{};\nSELECT 'end {}';\n", write.sql, write.no));
    let script = format!(".mode list\n{}", statements.collect::<String>());
    let output = shell(database, &script);
    told(writes, &output)
}

fn by_python(database: &std::path::Path, writes: Vec<Write>) -> Vec<Outcome> {
    let statements = writes.iter().map(|write| {
        let (sql, no) = (&write.sql, write.no);
        format!(
            "rows = db.execute(\"\"\"{sql}\"\"\").fetchall()\ndb.commit()\nfor row in rows: print(*row, sep='|')\nprint('end {no}')\n"
        )
    });
    let output = python(database, &statements.collect::<String>());
    told(writes, &output)
}

fn by_ctl(socket: &std::path::Path, writes: Vec<Write>) -> Vec<Outcome> {
    let outcomes = writes.into_iter().map(|write| {
        let mut command = Command::new(ctl_program());
        command.arg("--socket").arg(socket).args(["--json", "sql", &write.sql]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        if !output.status.success() {
            return Outcome::unknown(write);
        }
        let reply: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let row = reply["rows"].as_array().and_then(|rows| rows.first());
        let values = row.map(|row| {
            let cells = row.as_array().unwrap().iter().skip(1);
            cells.map(|cell| cell.as_str().unwrap().to_owned()).collect()
        });
        Outcome::acknowledged(write, values)
    });
    outcomes.collect()
}
