use std::time::Duration;

use clap::{Args, Subcommand};
use mesh_control::{TokenCreate, TokenCreated, TokenState, TokenView};

use super::Context;
use crate::clock;
use crate::duration::parse_duration;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{Columns, DIM, GOOD, NORMAL, ago, or_dash, plain, styled, until};

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl token create --ttl 1h --note 'for mint'
  mesh-ctl token list
  mesh-ctl token revoke 5f3a";

#[derive(Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Makes a token that admits one agent
    #[command(after_help = "\
Example:
  mesh-ctl token create --ttl 1h --note 'for mint'
  mesh-ctl token create --json | jq -r .token")]
    Create {
        /// How long it can be used, such as 30m, 24h or 7d
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
        ttl: Duration,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
    },
    /// Lists the tokens that this agent issued, newest first
    #[command(after_help = "Example:\n  mesh-ctl token list")]
    List,
    /// Withdraws a token; the first four digits of its id are enough
    #[command(after_help = "Example:\n  mesh-ctl token revoke 5f3a")]
    Revoke {
        /// The token's id, or the start of it
        #[arg(value_name = "ID")]
        token_id: String,
    },
}

pub(crate) async fn run(args: TokenArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    match args.action {
        Action::Create { ttl, note } => {
            let request = TokenCreate { ttl_seconds: Some(ttl.as_secs()), note };
            let created = client.token_create(&request);
            let created = patiently("making a token", created).await?;
            context.output.show(&created, render_created)?;
        }
        Action::List => {
            let tokens = patiently("asking the agent", client.token_list()).await?;
            context.output.show(&tokens, |tokens| render_list(tokens))?;
        }
        Action::Revoke { token_id } => {
            let revoked = client.token_revoke(&token_id);
            let revoked = patiently("withdrawing the token", revoked).await?;
            context.output.show(&revoked, |token| {
                format!("Token {} admits nobody any more.\n", token.token_id)
            })?;
        }
    }
    Ok(Exit::Done)
}

fn render_created(created: &TokenCreated) -> String {
    let ends = until(created.expires_at, clock::now());
    let token = plain(&created.token);
    let note = format!(
        "It admits one agent and ends {ends}. Whoever has it can join, so hand it over in private.\n\
         On the other machine: mesh-ctl join -   (and paste it)\n\
         Its id, to withdraw it: {}",
        created.token_id
    );
    format!("{}\n\n{}\n", styled(GOOD, &token), styled(DIM, &note))
}

fn render_list(tokens: &[TokenView]) -> String {
    if tokens.is_empty() {
        return "This agent has issued no tokens. Make one with `mesh-ctl token create`.\n"
            .to_owned();
    }
    let now = clock::now();
    let mut columns = Columns::new(["ID", "STATE", "CREATED", "ENDS", "USED BY", "NOTE"]);
    for token in tokens {
        let (style, state) = match token.state {
            TokenState::Unused => (NORMAL, "unused"),
            TokenState::Used => (DIM, "used"),
            TokenState::Expired => (DIM, "expired"),
            TokenState::Revoked => (DIM, "revoked"),
        };
        let used_by = token.used_by.as_ref().map(|peer| match peer.hostname.as_str() {
            "" => peer.peer_id.short(),
            hostname => plain(hostname),
        });
        columns.row(
            style,
            [
                token.token_id.short(),
                state.to_owned(),
                ago(token.created_at, now),
                until(token.expires_at, now),
                or_dash(used_by),
                or_dash(Some(plain(&token.note))),
            ],
        );
    }
    columns.render()
}
