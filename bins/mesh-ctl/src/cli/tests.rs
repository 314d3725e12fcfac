use super::*;

fn every_command(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    found.push((path.to_owned(), command.clone()));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        every_command(inner, &format!("{path} {}", inner.get_name()), found);
    }
}

/// The words of an example's `mesh-ctl` command, without what a shell does around it.
fn words(line: &str) -> Vec<String> {
    let (_, arguments) = line.split_once("mesh-ctl").unwrap();
    let ends = [" | ", " > ", " < ", "  #"];
    let command = ends.iter().fold(arguments, |command, end| command.split(end).next().unwrap());
    let mut words = vec!["mesh-ctl".to_owned(), String::new()];
    for (number, part) in command.split('\'').enumerate() {
        for (index, piece) in part.split(if number % 2 == 1 { '\0' } else { ' ' }).enumerate() {
            if index > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(piece);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_description_is_sound() {
    description().debug_assert();
}

#[test]
fn every_command_has_examples_and_they_are_valid() {
    let mut found = Vec::new();
    every_command(&description(), "mesh-ctl", &mut found);
    assert!(found.len() >= 32, "{}", found.len());
    for (path, command) in found {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<_> = help.lines().filter(|line| line.starts_with("  ")).collect();
        let examples: Vec<_> = examples.iter().filter(|line| line.contains("mesh-ctl")).collect();
        assert!(help.contains("Example"), "{path} has no example");
        assert!(examples.iter().any(|line| line.contains(&path)), "{path}: {help}");
        for example in examples {
            let parsed = Cli::try_parse_from(words(example));
            assert!(parsed.is_ok(), "{example}: {}", parsed.err().unwrap());
        }
    }
}

#[test]
fn waiting_takes_thirty_seconds_unless_told_otherwise() {
    let wait = |words: &[&str]| {
        let words = ["mesh-ctl", "send", "--to", "mint", "hi"].iter().chain(words);
        let Command::Send(send) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not a send");
        };
        send.wait
    };
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&["--wait"]), Some(30));
    assert_eq!(wait(&["--wait=5"]), Some(5));
}
