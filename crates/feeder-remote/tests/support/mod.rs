//! A real sshd of our own, on a loopback port, with keys made for it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "part of the tests")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Child, Cmd, find_program, interrupt};
use feeder_remote::{Privilege, SshOptions, UserConfig};

/// An sshd that lets the account running the test in with one key.
pub struct Sshd {
    _guard: tempfile::TempDir,
    pub dir: Utf8PathBuf,
    pub port: u16,
    daemon: Option<Child>,
}

/// The daemon, or a visible reason to skip. Where `CI=true`, setup has installed it, and there is none.
pub fn sshd(test: &str) -> Option<Sshd> {
    let Some(program) = find_program("/usr/sbin/sshd").or_else(|| find_program("sshd")) else {
        assert!(std::env::var_os("CI").is_none(), "no sshd: run `CI=true cargo xtask setup`");
        eprintln!("skipped {test}: no sshd on this machine (Debian: openssh-server)");
        return None;
    };
    let guard = tempfile::tempdir().unwrap();
    let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    for key in ["host", "other-host", "user", "stranger"] {
        make_key(&dir.join(key));
    }
    std::fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
    if is_root() {
        // Where Debian's sshd wants to lock itself in; a machine that never started one lacks it.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let mut sshd = Sshd { _guard: guard, dir, port: free_port(), daemon: None };
    sshd.start(Utf8Path::from_path(&program).unwrap(), "host");
    Some(sshd)
}

impl Sshd {
    /// Starts it, showing that host key. It answers when this returns.
    fn start(&mut self, program: &Utf8Path, host_key: &str) {
        let Self { dir, port, .. } = &*self;
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {dir}/{host_key}\nAuthorizedKeysFile {dir}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nPrintMotd no\nMaxStartups 100\n"
        );
        std::fs::write(dir.join("config"), config).unwrap();
        let config = dir.join("config");
        self.daemon = Some(
            Cmd::new(program.as_str()).args(["-D", "-e", "-f", config.as_str()]).spawn().unwrap(),
        );
        self.record_host_key("known_hosts", host_key);
        let daemon = self.daemon.as_ref().unwrap();
        while !daemon.stderr_tail().contains("Server listening") {
            assert_eq!(daemon.try_wait(), None, "{}", daemon.stderr_tail());
            assert!(!interrupt::wait_timeout(Duration::from_millis(5)));
        }
    }

    /// Starts it again at the same port with another host key.
    pub fn reinstall(&mut self) {
        self.stop();
        let program = find_program("/usr/sbin/sshd").or_else(|| find_program("sshd")).unwrap();
        self.start(Utf8Path::from_path(&program).unwrap(), "other-host");
        self.record_host_key("known_hosts", "host");
    }

    /// Ends the daemon. Connections that it has made live on.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Ends the processes that serve connections, as a power cut would.
    pub fn cut(&self) {
        // Each connection's process has the listening daemon as its parent.
        let daemon = self.daemon.as_ref().unwrap().pid().to_string();
        Cmd::new("pkill").args(["-KILL", "-P", &daemon]).run().unwrap();
    }

    pub fn options(&self) -> SshOptions {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut options = SshOptions::new(user(), address, "node", self.dir.join("known_hosts"));
        options.identity = Some(self.dir.join("user"));
        options.config = UserConfig::Ignored;
        options.privilege = Privilege::User;
        options.connect_timeout = Duration::from_secs(60);
        options
    }

    /// Writes down a key as that of `node`.
    pub fn record_host_key(&self, file: &str, key: &str) {
        let public = std::fs::read_to_string(self.dir.join(format!("{key}.pub"))).unwrap();
        std::fs::write(self.dir.join(file), format!("node {public}")).unwrap();
    }
}

fn make_key(path: &Utf8Path) {
    Cmd::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path.as_str()])
        .run()
        .unwrap();
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub fn user() -> String {
    Cmd::new("id").arg("-un").run().unwrap().stdout_text().trim().to_owned()
}

pub fn is_root() -> bool {
    user() == "root"
}
