use super::*;

fn read(arguments: &[&str]) -> anyhow::Result<Settings> {
    let all = std::iter::once("mesh-agent").chain(arguments.iter().copied());
    let flags = Arguments::try_parse_from(all)?.flags;
    Settings::read(flags, || Ok(mesh_node::default_data_dir()?))
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(
        &file,
        "hostname = \"oak\"\nlisten = [\"127.0.0.1:4000\"]\nlog_format = \"json\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let settings =
        read(&["--config", file, "--hostname", "mint", "--data-dir", "/nowhere"]).unwrap();
    assert_eq!(settings.hostname.unwrap().as_str(), "mint");
    assert_eq!(settings.listen, vec!["127.0.0.1:4000".parse().unwrap()]);
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.log_level, "info");
    assert_eq!(settings.socket, Path::new("/nowhere/control.sock"));
}

#[test]
fn metrics_are_shown_to_this_machine_alone() {
    let metrics = |address: &str| read(&["--data-dir", "/nowhere", "--metrics", address]);
    for address in ["127.0.0.1:9464", "[::1]:9464", "[::ffff:127.0.0.1]:9464"] {
        assert_eq!(metrics(address).unwrap().metrics, Some(address.parse().unwrap()));
    }
    for address in ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:9464"] {
        let error = metrics(address).unwrap_err().to_string();
        assert!(error.contains(address) && error.contains("127.0.0.1:9464"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, "metrics = \"10.0.0.1:9464\"\n").unwrap();
    let arguments = ["--data-dir", "/nowhere", "--config", file.to_str().unwrap()];
    assert!(read(&arguments).unwrap_err().to_string().contains("10.0.0.1:9464"));
}

#[test]
fn an_unknown_name_in_the_file_is_an_error_that_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, "hostnam = \"oak\"\n").unwrap();
    let error = format!("{:#}", read(&["--config", file.to_str().unwrap()]).unwrap_err());
    assert!(error.contains("agent.toml") && error.contains("hostnam"), "{error}");
}

#[test]
fn members_are_looked_for_everywhere_unless_a_flag_or_the_file_says_no() {
    let nowhere = ["--data-dir", "/nowhere"];
    let discovery = |arguments: &[&str]| read(&[&nowhere, arguments].concat()).unwrap().discovery;
    assert_eq!(discovery(&[]), DiscoveryConfig::default());
    let without = discovery(&["--no-lan", "--no-tailscale", "--peer", "mint.example:1"]);
    let peers = vec!["mint.example:1".parse().unwrap()];
    assert_eq!(without, DiscoveryConfig { peers, ..DiscoveryConfig::none() });

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    let text = "[discovery]\npeers = [\"192.0.2.7:13500\", \"192.0.2.8:13500\"]\nlan = false\n\
        tailscale_socket = \"/run/ts.sock\"\ntailscale_port = 4000\ntailscale_command = \"/opt/ts\"\n";
    std::fs::write(&file, text).unwrap();
    let of_file = discovery(&["--config", file.to_str().unwrap()]);
    assert_eq!((of_file.peers.len(), of_file.tailscale_port), (2, 4000));
    assert_eq!(of_file.lan, None);
    let tailscale = of_file.tailscale.unwrap();
    assert_eq!(tailscale.sockets, [Path::new("/run/ts.sock")]);
    assert_eq!(tailscale.commands, [Path::new("/opt/ts")]);
    let both = ["--config", file.to_str().unwrap(), "--no-tailscale", "--peer", "[::1]:2"];
    let both = discovery(&both);
    assert_eq!(both.peers, ["[::1]:2".parse().unwrap()], "a flag beats the file");
    assert_eq!((both.lan, both.tailscale), (None, None));

    for wrong in ["tailscale_port = 0", "peers = [\"mint\"]", "lann = true"] {
        std::fs::write(&file, format!("[discovery]\n{wrong}\n")).unwrap();
        let error = read(&["--config", file.to_str().unwrap()]).unwrap_err();
        assert!(format!("{error:#}").contains(wrong), "{error:#}");
    }
}

#[test]
fn every_bound_of_the_tables_can_be_set_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    let text = "[tables]\nquery_seconds_max = 7\nwrite_seconds_max = 6\nlog_bytes_max = 8\n\
                compare_every_seconds = 9\n";
    std::fs::write(&file, text).unwrap();
    let arguments = ["--data-dir", "/nowhere", "--config", file.to_str().unwrap()];
    let settings = read(&arguments).unwrap();
    assert_eq!(settings.tables.query_time_max.as_secs(), 7);
    assert_eq!(settings.tables.write_time_max.as_secs(), 6);
    assert_eq!(settings.tables.log_bytes_max, 8);
    assert_eq!(settings.tables.parked_max, TablesConfig::default().parked_max);
    assert_eq!(settings.exchange.compare_every.as_secs(), 9);
    std::fs::write(&file, "[tables]\nlog_byte_max = 8\n").unwrap();
    let error = format!("{:#}", read(&arguments).unwrap_err());
    assert!(error.contains("log_byte_max"), "{error}");
}

#[test]
fn a_service_runs_with_the_flags_it_was_installed_with() {
    let line = ["--peer", "mint.example:1", "--no-lan", "--no-tailscale"];
    let all = std::iter::once("mesh-agent").chain(line);
    let flags = Arguments::try_parse_from(all).unwrap().flags;
    let arguments = flags.service_arguments(Path::new("/data")).unwrap();
    let usual = ["run", "--data-dir", "/data"];
    assert_eq!(arguments, [&usual[..], &line[..]].concat());
}

#[test]
fn run_takes_the_same_flags_before_and_behind_it() {
    let settings =
        read(&["--data-dir", "/nowhere", "run", "--listen", "127.0.0.1:1,127.0.0.1:2"]).unwrap();
    assert_eq!(settings.listen.len(), 2);
    assert_eq!(settings.data_dir, Path::new("/nowhere"));
}

#[test]
fn files_and_local_keys_of_the_shared_configuration_can_be_set_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    let text = "[config]\nfile = \"/etc/mesh.json\"\nlocal_keys = [\"paths.home\"]\n\
        views = [{ file = \"/srv/agents.json\", prefix = \"agents\" }]\n";
    std::fs::write(&file, text).unwrap();
    let settings = read(&["--config", file.to_str().unwrap()]).unwrap();
    assert_eq!(settings.config.path.as_deref(), Some(Path::new("/etc/mesh.json")));
    assert_eq!(settings.config.local_keys, ["paths.home".parse().unwrap()]);
    let [view] = &settings.config.views[..] else { panic!("{:?}", settings.config) };
    assert_eq!(view.prefix, Some("agents".parse().unwrap()));
    std::fs::write(&file, "[config]\nlocal_keys = [\"a..b\"]\n").unwrap();
    assert!(read(&["--config", file.to_str().unwrap()]).is_err());
}

fn of_text(text: &str) -> anyhow::Result<Settings> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, text).unwrap();
    read(&["--data-dir", "/nowhere", "--config", file.to_str().unwrap()])
}

#[test]
fn roots_and_bounds_of_pushes_can_be_set_in_the_file() {
    let text = "[files]\nincoming_max = 3\nttl_seconds = 60\nlimit_bytes_per_second = 7\n\
        remembered_max = 5\nsender_serves_max = 2\n\
        [[roots]]\nname = \"scripts\"\npath = \"/srv/scripts\"\nallow_from = [\"mint\"]\n\
        allow_read = [\"*\"]\ntest_commands = [\"node {file} --help\"]\nrequire_test = true\n\
        approve = true\ntest_seconds_max = 9\nbytes_max = 10\nfiles_max = 11\nfree_bytes_min = 12\n\
        file_mode = \"0640\"\nfolder_mode = \"750\"\nbackups_max = 2\nbackups_seconds_max = 13\n\
        [[roots]]\nname = \"plain\"\npath = \"/srv/plain\"\n";
    let pushes = of_text(text).unwrap().pushes;
    assert_eq!((pushes.incoming_max, pushes.ttl), (3, Duration::from_mins(1)));
    assert_eq!((pushes.limit_bytes_per_second, pushes.remembered_max), (Some(7), 5));
    assert_eq!(pushes.distribution.sender_serves_max, 2);
    let [scripts, plain] = &pushes.roots[..] else { panic!("{pushes:?}") };
    assert_eq!((scripts.name.as_str(), &*scripts.path), ("scripts", Path::new("/srv/scripts")));
    assert_eq!(
        (&scripts.allow_from[..], &scripts.allow_read[..]),
        (&["mint".into()][..], &["*".into()][..])
    );
    assert_eq!(scripts.test_commands, ["node {file} --help"]);
    assert!(scripts.require_test && scripts.approve);
    assert_eq!(scripts.test_timeout.as_secs(), 9);
    let tree = (scripts.tree.bytes_max, scripts.tree.files_max, scripts.tree.free_bytes_min);
    assert_eq!(tree, (10, 11, 12));
    assert_eq!((scripts.tree.file_mode, scripts.tree.folder_mode), (0o640, 0o750));
    assert_eq!((scripts.keep.backups_max, scripts.keep.age_seconds_max), (2, 13));
    assert_eq!((&plain.allow_from[..], plain.approve), (&["*".into()][..], false));
    assert!(plain.allow_read.is_empty());
}

#[test]
fn a_repository_is_open_to_fetch_and_closed_to_push_unless_the_file_says_otherwise() {
    let text = "[[repositories]]\nname = \"notes\"\npath = \"/srv/notes.git\"\n\
        [[repositories]]\nname = \"code.git\"\npath = \"/srv/code\"\nallow_push_from = [\"mint\", \"oak\"]\n\
        allow_fetch_from = []\n";
    let repositories = of_text(text).unwrap().repositories;
    let [notes, code] = &repositories[..] else { panic!("{repositories:?}") };
    assert_eq!((notes.name.as_str(), &*notes.path), ("notes", Path::new("/srv/notes.git")));
    assert_eq!(
        (&notes.allow_push_from[..], &notes.allow_fetch_from[..]),
        (&[][..], &["*".into()][..])
    );
    assert_eq!((code.allow_push_from.len(), code.allow_fetch_from.len()), (2, 0));
}

#[test]
fn a_mistake_in_a_root_or_repository_is_refused_with_its_name() {
    let root = "[[roots]]\nname = \"a\"\npath = \"/srv/a\"\n";
    let repository = "[[repositories]]\nname = \"a\"\npath = \"/srv/a\"\n";
    let behind = |start: &str, line: &str| format!("{start}{line}\n");
    for (text, words) in [
        (behind(root, "alow_from = []"), "alow_from"),
        (behind(root, "allow_from = [\"mint oak\"]"), "mint oak"),
        (behind(root, "allow_from = \"*\""), "allow_from"),
        (behind(root, "file_mode = \"4755\""), "4755"),
        (behind(root, "file_mode = \"0244\""), "0244"),
        (behind(root, "folder_mode = \"0644\""), "0644"),
        (behind(root, "file_mode = \"rw\""), "rw"),
        (behind(root, "require_test = true"), "test_commands"),
        (behind(root, "backups_max = 0"), "backups_max"),
        (behind(root, "backups_seconds_max = 0"), "backups_seconds_max"),
        (behind(root, "test_commands = [\" \"]"), "root a is empty"),
        (behind(root, root), "two roots have the name a"),
        (behind(repository, repository), "two repositories have the name a"),
        (behind(repository, "allow_push = []"), "allow_push"),
        (root.replace("/srv", "srv"), "srv/a is no absolute path"),
        (repository.replace("/srv", "srv"), "srv/a is no absolute path"),
        (root.replace("\"a\"", "\"../a\""), "../a"),
        (root.replace("path", "pth"), "pth"),
        ("[[roots]]\nname = \"a\"\n".to_owned(), "path"),
        ("[files]\nincoming_max = 0\n".to_owned(), "incoming_max"),
        ("[files]\nlimit_bytes_per_second = 0\n".to_owned(), "limit_bytes_per_second"),
        ("[files]\nttl_seconds = 2592001\n".to_owned(), "ttl_seconds"),
        ("[files]\nttl = 1\n".to_owned(), "ttl"),
    ] {
        let error = format!("{:#}", of_text(&text).unwrap_err());
        assert!(error.contains("agent.toml") && error.contains(words), "{text}: {error}");
    }
}
