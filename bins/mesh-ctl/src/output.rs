//! Standard output and standard error: text for people or JSON for programs, never both on one.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use mesh_control::{ApiError, ErrorDocument};
use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::text::{BAD, ODD, plain, plain_json, styled};

/// Where a command prints. Colours are left out unless a terminal is there to show them.
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    pub(crate) const fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.is_json
    }

    /// Prints `value` as the one document of this command, or what `render` makes of it.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        render: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        if self.is_json {
            let document = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
            self.print(&format!("{}\n", plain_json(&document)))
        } else {
            self.print(&render(value))
        }
    }

    /// Prints `value` as one of many: a line each.
    pub(crate) fn line<T: Serialize>(
        &self,
        value: &T,
        render: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        let line = if self.is_json {
            plain_json(&serde_json::to_string(value).map_err(io::Error::other)?)
        } else {
            render(value)
        };
        self.print(&format!("{line}\n"))
    }

    /// Prints what only people want to read on the way to a result.
    pub(crate) fn news(&self, text: &str) -> io::Result<()> {
        if self.is_json { Ok(()) } else { self.print(&format!("{text}\n")) }
    }

    /// Prints `text` as it is, and makes sure that it is out.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Whether a person looks at what is printed.
    #[expect(clippy::unused_self, reason = "what is asked of the output is asked here")]
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Writes `bytes` exactly as they are: for programs, never for a terminal.
    pub(crate) fn exact(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Prints what people should know and programs find in the document.
    pub(crate) fn warn(&self, text: &str) {
        if !self.is_json {
            complain(&format!("{} {}", styled(ODD, "warning:"), plain(text)));
        }
    }

    /// Tells why the command failed, and the exit code that goes with it.
    pub(crate) fn fail(&self, failure: Failure) -> ExitCode {
        match failure {
            Failure::Told(error) => {
                let exit = Exit::of(error.code);
                self.explain(error);
                exit.into()
            }
            // Whoever read the output has seen enough, as with `| head`.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Exit::Done.into()
            }
            Failure::Output(error) => {
                complain(&format!("{} writing the output failed: {error}", styled(BAD, "error:")));
                Exit::Failed.into()
            }
        }
    }

    fn explain(&self, error: ApiError) {
        if self.is_json {
            // With nobody left to read it there is nothing to be done.
            let _unread = self.line(&ErrorDocument { error }, |_| String::new());
            return;
        }
        self.complain(&error.message, &error.hint);
    }

    /// Tells people what failed and what to do. Programs find both in the document.
    pub(crate) fn complain(&self, message: &str, hint: &str) {
        if self.is_json {
            return;
        }
        complain(&format!("{} {}", styled(BAD, "error:"), plain(message)));
        if !hint.is_empty() {
            complain(&format!("{} {}", styled(ODD, "hint:"), plain(hint)));
        }
    }

    /// Tells of a failure that only this command knows, in the form that errors of the agent have.
    pub(crate) fn tell(&self, code: &str, message: &str, hint: &str) -> io::Result<()> {
        if self.is_json {
            let error = json!({"error": {"code": code, "message": message, "hint": hint}});
            return self.line(&error, |_| String::new());
        }
        self.complain(message, hint);
        Ok(())
    }
}

fn complain(line: &str) {
    // Standard error that cannot be written leaves nowhere to say so.
    let _unread = writeln!(anstream::stderr().lock(), "{line}");
}
