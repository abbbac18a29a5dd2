//! Messages as OpenSSH and sudo print them, and what each must become.

use feeder_ui::Expected;

use super::*;

const BEGIN: &str = "\u{1e}feeder begin\n";

fn options() -> SshOptions {
    SshOptions::new("pi", "10.0.0.2:22".parse().unwrap(), "cluster00", "/lab/known_hosts")
}

fn of(code: i32, stderr: &str) -> RemoteError {
    verdict(&options(), Status { code: Some(code), signal: None }, stderr).unwrap_err()
}

/// The variant's name.
fn kind(error: &RemoteError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '{']).next().unwrap().to_owned()
}

#[test]
fn each_message_has_its_meaning() {
    let changed = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n\
        @    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n\
        IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n\
        The fingerprint for the ED25519 key sent by the remote host is\n\
        SHA256:GwVQ9nS7RPPYDaCe4u7SJIBzAhTL0oYUlTiLLpE4GaY.\r\n\
        Offending ED25519 key in /lab/known_hosts:1\r\n\
        Host key for cluster00 has changed and you have requested strict checking.\r\n\
        Host key verification failed.\r\n";
    let unknown = "No ED25519 host key is known for cluster00 and you have requested strict checking.\r\nHost key verification failed.\r\n";
    let unprotected = "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\n\
        Permissions 0644 for '/lab/id' are too open.\r\n\
        Load key \"/lab/id\": bad permissions\r\n\
        pi@10.0.0.2: Permission denied (publickey).\r\n";
    let table = [
        (255, "ssh: connect to host 10.0.0.2 port 22: Connection refused\r\n", "Refused", true),
        (
            255,
            "ssh: connect to host 10.0.0.2 port 22: Connection timed out\r\n",
            "Unreachable",
            true,
        ),
        (255, "ssh: connect to host 10.0.0.2 port 22: No route to host\r\n", "Unreachable", true),
        (
            255,
            "ssh: connect to host 10.0.0.2 port 22: Network is unreachable\r\n",
            "Unreachable",
            true,
        ),
        (
            255,
            "Connection timed out during banner exchange\r\nConnection to 10.0.0.2 port 22 timed out\r\n",
            "Unreachable",
            true,
        ),
        (
            255,
            "ssh: Could not resolve hostname jump: Name or service not known\r\n",
            "Unreachable",
            true,
        ),
        (
            255,
            "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 10.0.0.2 port 22\r\n",
            "Unreachable",
            true,
        ),
        (
            255,
            "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.0.0.2 port 22\r\n",
            "Unreachable",
            true,
        ),
        (
            255,
            "\"System is booting up. Unprivileged users are not permitted to log in yet. For technical details, see pam_nologin(8).\"\nConnection closed by 10.0.0.2 port 22\r\n",
            "Unreachable",
            true,
        ),
        (255, changed, "HostKeyChanged", false),
        (255, unknown, "HostKeyUnknown", false),
        (255, "pi@10.0.0.2: Permission denied (publickey,password).\r\n", "Authentication", false),
        (
            255,
            "Received disconnect from 10.0.0.2 port 22:2: Too many authentication failures\r\nDisconnected from 10.0.0.2 port 22\r\n",
            "Authentication",
            false,
        ),
        (255, unprotected, "Authentication", false),
        (
            255,
            "/root/.ssh/config: line 1: Bad configuration option: proxyjmp\r\n/root/.ssh/config: terminating, 1 bad configuration options\r\n",
            "Ssh",
            false,
        ),
        (255, "Bad owner or permissions on /root/.ssh/config\r\n", "Ssh", false),
        (
            255,
            "Unable to negotiate with 10.0.0.2 port 22: no matching host key type found. Their offer: ssh-rsa\r\n",
            "Ssh",
            false,
        ),
        (255, "", "Unreachable", true),
        (1, "sudo: a password is required\n", "Sudo", false),
        (
            1,
            "sudo: a terminal is required to read the password; either use ssh's -t option or configure an askpass helper\nsudo: a password is required\n",
            "Sudo",
            false,
        ),
        (1, "pi is not in the sudoers file.\n", "Sudo", false),
        (
            1,
            "Sorry, user pi is not allowed to execute '/usr/bin/sh' as root on cluster00.\n",
            "Sudo",
            false,
        ),
        (127, "bash: line 1: sudo: command not found\n", "Sudo", false),
        (1, "This account is currently not available.\n", "Script", false),
        (2, "sh: 7: Syntax error: \"fi\" unexpected\n", "Script", false),
    ];
    for (code, stderr, wanted, transient) in table {
        let error = of(code, stderr);
        assert_eq!(kind(&error), wanted, "{stderr}");
        assert_eq!(error.is_transient(), transient, "{stderr}");
    }
}

#[test]
fn a_lost_connection_is_not_a_failed_script() {
    let lost = [
        "Connection to 10.0.0.2 closed by remote host.\r\n",
        "client_loop: send disconnect: Broken pipe\r\n",
        "Timeout, server 10.0.0.2 not responding.\r\n",
        "mux_client_request_session: read from master failed: Broken pipe\r\n",
        "",
    ];
    for said in lost {
        let error = of(255, &format!("{BEGIN}half a word{said}"));
        assert_eq!(kind(&error), "ConnectionLost", "{said}");
    }
    let failed = of(255, &format!("{BEGIN}no such disk\n\n\u{1e}feeder end 255\n"));
    assert_eq!(
        failed.to_string(),
        "a script failed on cluster00: exit status 255\n  | no such disk"
    );
}

#[test]
fn what_a_script_says_is_not_mistaken_for_ssh() {
    // A script that itself runs ssh, and prints what ours would print.
    let said = "ssh: connect to host 10.0.0.3 port 22: Connection refused\nHost key verification failed.\n";
    let error = of(255, &format!("{BEGIN}{said}\n\u{1e}feeder end 255\n"));
    assert_eq!(kind(&error), "Script");
    let error = of(255, &format!("{BEGIN}{said}"));
    assert_eq!(kind(&error), "ConnectionLost");
}

#[test]
fn every_error_reads_well() {
    let refused = "ssh: connect to host 10.0.0.2 port 22: Connection refused\r\n";
    let closed = "ssh: connect to host 10.0.0.2 port 22: No route to host\r\n";
    let changed = "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nSHA256:GwVQ9nS7RPPY.\r\n";
    let unknown =
        "No ED25519 host key is known for cluster00 and you have requested strict checking.\r\n";
    let denied = "pi@10.0.0.2: Permission denied (publickey).\r\n";
    let sudo = "sudo: a password is required\n";
    let lost = format!("{BEGIN}Timeout, server 10.0.0.2 not responding.\r\n");
    let text: Vec<String> = [
        of(255, refused),
        of(255, closed),
        of(255, changed),
        of(255, unknown),
        of(255, denied),
        of(1, sudo),
        of(255, &lost),
    ]
    .iter()
    .map(|error| format!("{error}\nhint: {}\n", error.hint().unwrap()))
    .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn a_long_tail_begins_with_a_whole_line() {
    let text: String = (0..500).map(|n| format!("zeile {n} \u{e4}\n")).collect();
    let tail = tail(&text);
    assert!(tail.len() <= TAIL && tail.starts_with("zeile ") && tail.ends_with("499 \u{e4}"));
}
