//! The transport against a real sshd. Where there is none, the tests say so and pass.

mod support;

use std::{
    cell::Cell,
    io::{Read, Write},
    time::{Duration, Instant},
};

use feeder_remote::{
    Host, HostKeys, Privilege, RemoteError, Ssh, SshOptions, UserConfig, apart, together,
    wait_until_reachable,
};
use support::{free_port, sshd};

#[test]
fn a_script_runs_there() {
    let Some(sshd) = sshd("a_script_runs_there") else { return };
    let host = Ssh::connect(sshd.options()).unwrap();
    assert_eq!(host.name(), "node");

    let out = host.run("echo out; echo err >&2; cat").unwrap();
    assert_eq!((out.stdout_text().as_str(), out.stderr.as_str()), ("out\n", "err\n"));

    for status in [1, 2, 127, 254, 255] {
        let error = host.run(&format!("echo why >&2; exit {status}")).unwrap_err();
        let RemoteError::Script { status: got, stderr_tail, .. } = error else { panic!("{error}") };
        assert_eq!((got.code, stderr_tail.as_str()), (Some(status), "why"));
    }
}

#[test]
fn lines_come_as_they_are_said() {
    let Some(sshd) = sshd("lines_come_as_they_are_said") else { return };
    let host = Ssh::connect(sshd.options()).unwrap();
    let go = sshd.dir.join("go");
    let mut lines = Vec::new();
    // The script goes on only after we have seen its first line.
    let script = format!("echo one; until [ -e {go} ]; do :; done; echo two; echo three >&2");
    let out = host
        .stream(&script, &mut |line| {
            lines.push(line.to_owned());
            std::fs::write(&go, "").unwrap();
        })
        .unwrap();
    assert_eq!(lines, ["one", "two"]);
    assert_eq!(out.stderr.trim(), "three");
    let error =
        host.stream("echo last; exit 255", &mut |line| lines.push(line.to_owned())).unwrap_err();
    assert!(matches!(error, RemoteError::Script { .. }), "{error}");
    assert_eq!(lines.last().unwrap(), "last");
}

#[test]
fn long_scripts_and_any_bytes_arrive() {
    let Some(sshd) = sshd("long_scripts_and_any_bytes_arrive") else { return };
    let host = Ssh::connect(sshd.options()).unwrap();
    // Longer than any argument list, any pipe and any ssh window.
    let filler = "x".repeat(79);
    let script = format!("{}echo end", format!(": {filler}\n").repeat(50_000));
    assert!(script.len() > 4_000_000);
    assert_eq!(host.run(&script).unwrap().stdout_text(), "end\n");

    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let path = sshd.dir.join("put file");
    host.put(&path, &bytes, 0o640).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(host.run("head -c 100000 /dev/zero").unwrap().stdout, vec![0; 100_000]);
}

#[test]
fn one_connection_serves_all_scripts() {
    let Some(sshd) = sshd("one_connection_serves_all_scripts") else { return };
    let host = Ssh::connect(sshd.options()).unwrap();
    let whose = |host: &Ssh| host.run("echo $SSH_CONNECTION").unwrap().stdout_text();
    let first = whose(&host);
    assert_eq!(whose(&host), first);
    let second = Ssh::connect(sshd.options()).unwrap();
    assert_ne!(whose(&second), first, "each has its own");
}

#[test]
fn every_script_is_a_round_trip_and_the_first_one_connects() {
    let Some(sshd) = sshd("every_script_is_a_round_trip") else { return };
    let options = sshd.options();
    let (host, output) = Ssh::connect_with(options.clone(), "echo first").unwrap();
    assert_eq!(output.stdout_text(), "first\n");
    assert_eq!(options.tally.by_host(), [("node".to_owned(), 1)].into());
    let scripts = ["echo one", "exit 3"];
    let output = host.run(&together(&scripts)).unwrap();
    let said = apart(host.name(), &output, scripts.len());
    assert_eq!(said[0].as_ref().unwrap().stdout_text(), "one\n");
    assert!(matches!(&said[1], Err(RemoteError::Script { status, .. }) if status.code == Some(3)));
    assert_eq!(options.tally.by_host(), [("node".to_owned(), 2)].into());
    let failed = Ssh::connect_with(options, "exit 4").unwrap_err();
    assert!(matches!(failed, RemoteError::Script { .. }), "{failed}");
}

#[test]
fn a_host_is_reached_through_another_one_as_long_as_that_one_is_connected() {
    let Some(sshd) = sshd("a_host_is_reached_through_another_one") else { return };
    let first = Ssh::connect(sshd.options()).unwrap();
    let beyond = first.beyond(sshd.options());
    let second = Ssh::connect(beyond.clone()).unwrap();
    assert_eq!(second.run("echo $((6 * 7))").unwrap().stdout_text(), "42\n");
    // Nobody listens there.
    let nobody = SshOptions { address: "127.0.0.99:9".parse().unwrap(), ..beyond.clone() };
    let error = Ssh::connect(nobody).unwrap_err();
    assert!(error.is_transient(), "{error}");
    drop((second, first));
    let error = Ssh::connect(beyond).unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[test]
fn a_changed_host_key_is_refused_whatever_is_accepted() {
    let Some(mut sshd) = sshd("a_changed_host_key_is_refused_whatever_is_accepted") else { return };
    sshd.reinstall();
    for host_keys in [HostKeys::Strict, HostKeys::AcceptNew] {
        let options = SshOptions { host_keys, ..sshd.options() };
        let error = Ssh::connect(options.clone()).unwrap_err();
        let RemoteError::HostKeyChanged { fingerprint, .. } = &error else { panic!("{error}") };
        assert!(fingerprint.as_ref().unwrap().starts_with("SHA256:"), "{error}");
        // Waiting does not cure it.
        let error = wait_until_reachable(&options, &mut || true).unwrap_err();
        assert!(matches!(error, RemoteError::HostKeyChanged { .. }), "{error}");
    }
}

#[test]
fn an_unknown_host_key_is_recorded_only_when_that_is_wanted() {
    let Some(sshd) = sshd("an_unknown_host_key_is_recorded_only_when_that_is_wanted") else {
        return;
    };
    let known_hosts = sshd.dir.join("nobody yet");
    let strict = SshOptions { known_hosts: known_hosts.clone(), ..sshd.options() };
    let error = Ssh::connect(strict.clone()).unwrap_err();
    assert!(matches!(error, RemoteError::HostKeyUnknown { .. }), "{error}");
    assert!(!known_hosts.exists());
    drop(Ssh::connect(SshOptions { host_keys: HostKeys::AcceptNew, ..strict.clone() }).unwrap());
    assert!(std::fs::read_to_string(&known_hosts).unwrap().starts_with("node ssh-ed25519 "));
    drop(Ssh::connect(strict).unwrap());
}

#[test]
fn a_wrong_key_is_a_refused_login() {
    let Some(sshd) = sshd("a_wrong_key_is_a_refused_login") else { return };
    for key in ["stranger", "none"] {
        let options = SshOptions { identity: Some(sshd.dir.join(key)), ..sshd.options() };
        let error = Ssh::connect(options.clone()).unwrap_err();
        assert!(matches!(error, RemoteError::Authentication { .. }), "{error}");
        let error = wait_until_reachable(&options, &mut || true).unwrap_err();
        assert!(matches!(error, RemoteError::Authentication { .. }), "{error}");
    }
}

#[test]
fn a_connection_lost_in_the_middle_is_no_failed_script_and_the_next_script_connects_anew() {
    let Some(sshd) = sshd("a_connection_lost_in_the_middle") else { return };
    let host = Ssh::connect(sshd.options()).unwrap();
    // The script waits in a read, as one that runs a long command does.
    let gate = sshd.dir.join("gate");
    host.run(&format!("mkfifo {gate}")).unwrap();
    let mut lines = Vec::new();
    let error = host
        .stream(&format!("echo begun; read -r x <{gate}"), &mut |line| {
            lines.push(line.to_owned());
            sshd.cut();
        })
        .unwrap_err();
    // It is still there: nobody told it. Let it go.
    drop(std::fs::OpenOptions::new().write(true).open(&gate).unwrap());
    assert!(matches!(error, RemoteError::ConnectionLost { .. }), "{error}");
    assert_eq!(lines, ["begun"]);
    assert_eq!(host.run("echo again").unwrap().stdout_text(), "again\n");
}

#[test]
fn nobody_there_is_waited_for() {
    let Some(mut sshd) = sshd("nobody_there_is_waited_for") else { return };
    sshd.stop();
    let error = Ssh::connect(sshd.options()).unwrap_err();
    assert!(matches!(error, RemoteError::Refused { .. }), "{error}");

    let asked = Cell::new(0);
    let error = wait_until_reachable(&sshd.options(), &mut || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    })
    .unwrap_err();
    let RemoteError::GaveUp { last, .. } = &error else { panic!("{error}") };
    assert!(last.contains("refuses connections"), "{error}");

    // It comes up while we wait.
    let mut waited = 0;
    let options = sshd.options();
    let host = wait_until_reachable(&options, &mut || {
        waited += 1;
        if waited == 2 {
            sshd.reinstall();
            sshd.record_host_key("known_hosts", "other-host");
        }
        true
    })
    .unwrap();
    assert_eq!(host.run("echo up").unwrap().stdout_text(), "up\n");
}

#[test]
fn a_host_that_accepts_and_says_nothing_is_not_reachable() {
    // A forward whose far end is still booting: the connection opens and stays silent.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let known_hosts = camino::Utf8Path::from_path(dir.path()).unwrap().join("known_hosts");
    let mut options = SshOptions::new("pi", silent.local_addr().unwrap(), "node", known_hosts);
    options.config = UserConfig::Ignored;
    options.connect_timeout = Duration::from_secs(1);
    let error = Ssh::connect(options.clone()).unwrap_err();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");

    // Giving up does not wait for an attempt to end.
    options.connect_timeout = Duration::from_secs(600);
    let begun = Instant::now();
    let error =
        wait_until_reachable(&options, &mut || begun.elapsed() < Duration::from_millis(300))
            .unwrap_err();
    assert!(matches!(error, RemoteError::GaveUp { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_host_that_hangs_up_is_not_reachable_yet() {
    // An sshd that is just starting, or that pam_nologin speaks for, before and after its greeting.
    for greeting in ["", "SSH-2.0-OpenSSH_9.2\r\n"] {
        let rude = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = rude.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = rude.accept().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
            let mut theirs = [0; 16];
            drop(stream.read(&mut theirs));
        });
        let mut options = SshOptions::new("pi", address, "node", "/nonexistent/known_hosts");
        options.config = UserConfig::Ignored;
        let error = Ssh::connect(options).unwrap_err();
        let RemoteError::Unreachable { why, .. } = &error else { panic!("{error}") };
        assert!(why.contains("Connection"), "in ssh's words: {error}");
        server.join().unwrap();
    }
}

#[test]
fn what_is_said_before_a_script_is_not_its_own() {
    let Some(sshd) = sshd("what_is_said_before_a_script_is_not_its_own") else { return };
    let known_hosts = sshd.dir.join("first contact");
    let host_keys = HostKeys::AcceptNew;
    let host = Ssh::connect(SshOptions { known_hosts, host_keys, ..sshd.options() }).unwrap();
    // Closing the shared connection makes the next script connect, with all that ssh says then.
    sshd.cut();
    let out = host.run("echo mine >&2").or_else(|_| host.run("echo mine >&2")).unwrap();
    assert_eq!(out.stderr, "mine\n");
}

#[test]
fn a_closed_port_is_refused() {
    let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, free_port()));
    let mut options = SshOptions::new("pi", address, "node", "/nonexistent/known_hosts");
    options.config = UserConfig::Ignored;
    let error = Ssh::connect(options).unwrap_err();
    assert!(matches!(error, RemoteError::Refused { .. }), "{error}");
}

#[test]
fn the_users_configuration_counts_unless_told_otherwise() {
    let Some(sshd) = sshd("the_users_configuration_counts_unless_told_otherwise") else { return };
    // What is in the way of scripts must not be, and what says how to get in must count.
    let config = sshd.dir.join("users config");
    let text = format!(
        "Host node\n  IdentityFile {}\n  RemoteCommand echo hello\n  RequestTTY force\n  LocalForward 1 127.0.0.1:1\n  LogLevel QUIET\n",
        sshd.dir.join("user")
    );
    std::fs::write(&config, text).unwrap();
    let without = SshOptions { identity: None, ..sshd.options() };
    let with = SshOptions { config: UserConfig::File(config), ..without.clone() };
    let host = Ssh::connect(with).unwrap();
    assert_eq!(host.run("echo $((6*7))").unwrap().stdout_text(), "42\n");
    // An agent of whoever runs the tests does not know the key either.
    let error = Ssh::connect(without).unwrap_err();
    assert!(matches!(error, RemoteError::Authentication { .. }), "{error}");

    let broken = sshd.dir.join("broken");
    std::fs::write(&broken, "ProxyJmp nowhere\n").unwrap();
    let error = Ssh::connect(SshOptions { config: UserConfig::File(broken), ..sshd.options() })
        .unwrap_err();
    assert!(matches!(error, RemoteError::Ssh { .. }), "{error}");
}

#[test]
fn becoming_root_is_part_of_connecting() {
    let Some(sshd) = sshd("becoming_root_is_part_of_connecting") else { return };
    let options = SshOptions { privilege: Privilege::Root, ..sshd.options() };
    // As root this is nothing; as somebody else it works or says why not.
    match Ssh::connect(options) {
        Ok(host) => assert_eq!(host.run("id -u").unwrap().stdout_text(), "0\n"),
        Err(error) => assert!(matches!(error, RemoteError::Sudo { .. }), "{error}"),
    }
}

#[test]
fn no_control_socket_stays_behind() {
    let Some(sshd) = sshd("no_control_socket_stays_behind") else { return };
    let host = Ssh::connect(sshd.options()).unwrap();
    let pid = host.run("echo $PPID").unwrap().stdout_text().trim().to_owned();
    let served = std::path::PathBuf::from(format!("/proc/{pid}"));
    assert!(served.exists(), "the process that serves the connection is a neighbour here");
    drop(host);
    let begun = Instant::now();
    while served.exists() && begun.elapsed() < Duration::from_secs(30) {
        assert!(!feeder_process::interrupt::wait_timeout(Duration::from_millis(20)));
    }
    assert!(!served.exists(), "the connection is closed");
}

#[test]
fn what_a_script_holds_is_held_as_long_as_we_want_it() {
    let Some(sshd) = sshd("what_a_script_holds_is_held_as_long_as_we_want_it") else { return };
    let host = Ssh::connect(sshd.options()).unwrap();
    let lock = sshd.dir.join("lock");
    let take = |wait: &str| {
        format!(
            "exec 9>>{lock}\nflock {wait} 9 || {{ echo taken >&2; exit 3; }}\necho {} >&2\nwhile echo; do sleep 0.1 9>&-; done",
            feeder_remote::HELD
        )
    };
    let held = host.hold(&take("-n")).unwrap();
    // The connection serves other scripts meanwhile.
    assert_eq!(host.run("echo served").unwrap().stdout_text(), "served\n");
    let another = Ssh::connect(sshd.options()).unwrap();
    let error = another.hold(&take("-n")).unwrap_err();
    let RemoteError::Script { status, stderr_tail, .. } = error else { panic!("{error}") };
    assert_eq!((status.code, stderr_tail.as_str()), (Some(3), "taken"));
    drop(held);
    let held = another.hold(&take("-w 60")).unwrap();
    // It goes with the connection, too.
    sshd.cut();
    let again = host.hold(&take("-w 60")).unwrap();
    drop((held, again));
}
