//! What people use instead: `scp` and `rsync` over an sshd of this machine, for this run alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cpu;

const SSHD: &str = "/usr/sbin/sshd";

/// What a copy took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) time: Duration,
    /// Of both sides together.
    pub(crate) processor_seconds: f64,
}

/// What `rsync` took for the same, without and with syncing what it wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rsyncs {
    plain: Took,
    synced: Took,
}

impl Rsyncs {
    /// The two beside what a push took.
    pub(crate) fn beside(&self, took: Took) -> String {
        let one = |other: Took| {
            let ratio = took.time.as_secs_f64() / other.time.as_secs_f64();
            format!("{:.2?}, {ratio:.2} x", other.time)
        };
        format!("rsync {}; with --fsync {}", one(self.plain), one(self.synced))
    }
}

/// A server that lets in whoever has its key.
pub(crate) struct Ssh {
    server: Child,
    folder: PathBuf,
    port: u16,
}

impl Ssh {
    /// Starts it; none where the programs are not installed.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let is_there = |program: &str| {
            Command::new(program)
                .arg("-V")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok()
        };
        if !Path::new(SSHD).exists() || !is_there("scp") || !is_there("rsync") {
            return None;
        }
        let folder = folder.join("ssh");
        fs::create_dir(&folder).unwrap();
        // Where the server drops its rights to; it does not start without.
        let _as_it_may_be = fs::create_dir_all("/run/sshd");
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.join(key))
                .status();
            assert!(made.unwrap().success());
        }
        let allowed = folder.join("allowed");
        fs::copy(folder.join("user.pub"), &allowed).unwrap();
        fs::set_permissions(&allowed, fs::Permissions::from_mode(0o600)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.join("config");
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
             UsePAM no\nPermitRootLogin yes\nPidFile none\nSubsystem sftp internal-sftp\n",
            folder.join("host").display(),
            allowed.display()
        );
        fs::write(&config, text).unwrap();
        let server = Command::new(SSHD)
            .arg("-D")
            .arg("-f")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ssh = Self { server, folder, port };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(ssh)
    }

    fn options(&self) -> Vec<String> {
        let key = self.folder.join("user").display().to_string();
        let options =
            ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option.to_owned()]);
        ["-F", "none", "-i", &key].into_iter().map(ToOwned::to_owned).chain(options).collect()
    }

    pub(crate) fn scp(&self, from: &Path, to: &Path) -> Took {
        let mut command = Command::new("scp");
        command.args(self.options()).args(["-q", "-r", "-P", &self.port.to_string()]);
        command.arg(from).arg(format!("127.0.0.1:{}", to.display()));
        self.run(command)
    }

    /// The same work twice, as it is used and as it would have to be to keep what a push keeps after a loss of power.
    pub(crate) fn rsyncs(&self, from: &Path, to: &Path) -> Rsyncs {
        let synced = to.with_added_extension("synced");
        Rsyncs { plain: self.rsync(from, to, &[]), synced: self.rsync(from, &synced, &["--fsync"]) }
    }

    /// With the options that make it most like a push: what is unchanged does not travel, times and modes do.
    fn rsync(&self, from: &Path, to: &Path, more: &[&str]) -> Took {
        let shell = format!("ssh -p {} {}", self.port, self.options().join(" "));
        let mut command = Command::new("rsync");
        // On one machine it would copy whole files.
        command.args(["-a", "--no-whole-file", "-e", &shell]).args(more);
        command.arg(from).arg(format!("127.0.0.1:{}", to.display()));
        self.run(command)
    }

    fn run(&self, mut command: Command) -> Took {
        crate::settle();
        let before = cpu::of_children_of(self.server.id()) + cpu::of_own_children();
        let started = Instant::now();
        let status = command.stdin(Stdio::null()).status().unwrap();
        let time = started.elapsed();
        assert!(status.success(), "{command:?}");
        // The server hears of the end a moment later.
        let until = Instant::now() + Duration::from_secs(5);
        while cpu::has_children(self.server.id()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let after = cpu::of_children_of(self.server.id()) + cpu::of_own_children();
        Took { time, processor_seconds: after - before }
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}
