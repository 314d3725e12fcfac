//! The conversation with git: it asks what this helper can do, then to be connected; from there on, bytes.

use std::convert::Infallible;

use anyhow::{Context as _, bail};
use mesh_control::{ControlClient, GitConnection, GitQuery};
use mesh_protocol::{GitEnd, GitPiece, GitService};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Stdin,
    Stdout,
};

use crate::address::Address;

/// Longest line that git sends to a helper; more is not git.
const LINE_BYTES_MAX: u64 = 4 << 10;

const BUFFER_BYTES: usize = 64 << 10;

/// Does what git asks for; the code to exit with.
pub(crate) async fn run(client: &ControlClient, address: &Address) -> anyhow::Result<u8> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, tokio::io::stdin());
    let mut output = tokio::io::stdout();
    while let Some(line) = read_line(&mut input).await? {
        match line.split_once(' ') {
            None if line == "capabilities" => say(&mut output, b"connect\n\n").await?,
            // Git ends its list of commands so.
            None if line.is_empty() => return Ok(0),
            Some(("connect", service)) => {
                let service: GitService = service
                    .parse()
                    .with_context(|| format!("git asks for {service:?}, which is not served"))?;
                return connect(client, address, service, input, output).await;
            }
            _ => bail!("git asks for {line:?}, which this helper does not know"),
        }
    }
    Ok(0)
}

/// A line without its end; none when git has closed its side.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    let read = input.take(LINE_BYTES_MAX).read_line(&mut line).await.context("git is gone")?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(Some(line.to_owned())),
        None if read == 0 => Ok(None),
        None => bail!("this is for git to run; see git-remote-mesh --help"),
    }
}

async fn say(output: &mut Stdout, bytes: &[u8]) -> anyhow::Result<()> {
    output.write_all(bytes).await.context("git is gone")?;
    output.flush().await.context("git is gone")
}

async fn connect(
    client: &ControlClient,
    address: &Address,
    service: GitService,
    mut input: BufReader<Stdin>,
    mut output: Stdout,
) -> anyhow::Result<u8> {
    let Address { peer, repository } = address.clone();
    let connection = client.git(&GitQuery { peer, repository, service }).await?;
    let GitConnection { input: mut to_service, output: mut from_service } = connection;
    // An empty line: from here on git talks with the service.
    say(&mut output, b"\n").await?;
    let asking = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let bytes = input.read(&mut buffer).await.unwrap_or(0);
            let piece = match buffer.get(..bytes) {
                Some(said) if bytes > 0 => GitPiece::Output(said.to_vec()),
                // Git has said everything, and listens on.
                _ => GitPiece::End(GitEnd { code: 0, reason: String::new() }),
            };
            // Whatever goes wrong there, the service's own words say it better.
            if to_service.send(&piece).await.is_err() || bytes == 0 {
                return std::future::pending::<Infallible>().await;
            }
        }
    };
    let answering = async {
        loop {
            match from_service.next().await? {
                GitPiece::Output(bytes) => say(&mut output, &bytes).await?,
                GitPiece::Complaint(words) => complain(&String::from_utf8_lossy(&words)),
                GitPiece::End(end) => return anyhow::Ok(end),
            }
        }
    };
    let end = tokio::select! {
        end = answering => end?,
        never = asking => match never {},
    };
    if !end.reason.is_empty() {
        complain(&end.reason);
    }
    Ok(end.code)
}

/// Shows words of the other machine, marked as git marks those.
#[expect(clippy::print_stderr, reason = "git shows what its helper writes there")]
fn complain(words: &str) {
    for line in words.lines() {
        eprintln!("remote: {}", shown(line));
    }
}

/// Without what a terminal would obey.
pub(crate) fn shown(words: &str) -> String {
    let is_obeyed = |char: char| {
        char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    words.chars().map(|char| if is_obeyed(char) { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_another_machine_says() {
        assert_eq!(shown("\u{1b}[2J\u{202e}evil\r\u{7}é"), " [2J evil  é");
    }
}
