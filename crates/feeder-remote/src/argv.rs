//! The `ssh` command line, as a pure function.

use camino::Utf8Path;
use feeder_process::quote;

use crate::{HostKeys, Password, Privilege, SshOptions, UserConfig};

/// Keep-alive questions that may go unanswered before the connection is given up.
const UNANSWERED: u64 = 4;
/// How long an unused shared connection stays, in seconds: longer than the pause between two steps, short enough to
/// vanish by itself when we are killed.
const PERSIST: u64 = 60;

/// The arguments of `ssh` up to and with the destination; a remote command may follow.
///
/// The destination is the node's name and `HostName` its address, so that `Host cluster00` in the user's
/// configuration applies. With `control`, the path of a socket, connections are shared through it.
#[must_use]
pub fn ssh_argv(options: &SshOptions, control: Option<&Utf8Path>) -> Vec<String> {
    let mut argv = Vec::new();
    let mut option = |name: &str, value: String| {
        argv.extend(["-o".to_owned(), format!("{name}={value}")]);
    };
    if options.login_password.is_some() {
        // Asked through a program of ours, once: what was wrong stays wrong.
        option("BatchMode", "no".into());
        option("NumberOfPasswordPrompts", "1".into());
    } else {
        option("BatchMode", "yes".into());
    }
    option("HostName", options.address.ip().to_string());
    option("HostKeyAlias", options.host_key_alias.clone());
    let strict = match options.host_keys {
        HostKeys::Strict => "yes",
        HostKeys::AcceptNew => "accept-new",
    };
    option("StrictHostKeyChecking", strict.into());
    option("UserKnownHostsFile", path(&options.known_hosts));
    // Ours is the only list: neither the system's file, nor keys a server offers later, nor DNS may add to it.
    option("GlobalKnownHostsFile", "/dev/null".into());
    option("UpdateHostKeys", "no".into());
    option("VerifyHostKeyDNS", "no".into());
    option("HashKnownHosts", "no".into());
    option("CheckHostIP", "no".into());
    if let Some(identity) = &options.identity {
        option("IdentityFile", path(identity));
        option("IdentitiesOnly", "yes".into());
    }
    option("ConnectTimeout", options.connect_timeout.as_secs().max(1).to_string());
    option("ServerAliveInterval", (options.silence.as_secs() / UNANSWERED).max(1).to_string());
    option("ServerAliveCountMax", UNANSWERED.to_string());
    // Errors are told apart by their text, and ssh says "Connection closed by …" at this level, not as an error.
    option("LogLevel", "INFO".into());
    if let Some(socket) = &options.through {
        option("ProxyCommand", forwarded(options, socket));
    }
    match control {
        Some(socket) => {
            option("ControlMaster", "auto".into());
            option("ControlPath", path(socket));
            option("ControlPersist", PERSIST.to_string());
        }
        None => option("ControlPath", "none".into()),
    }
    match &options.config {
        UserConfig::Honoured => {}
        UserConfig::Ignored => argv.extend(["-F".into(), "none".into()]),
        UserConfig::File(file) => argv.extend(["-F".into(), file.to_string()]),
    }
    argv.extend(["-p".into(), options.address.port().to_string()]);
    argv.extend(["-l".into(), options.user.clone(), "--".into(), options.host_key_alias.clone()]);
    argv
}

/// Gives sudo the first line of standard input where it asks for a password, and drops that line where it does not; the rest is
/// the script. What was answered is not remembered (`-k`), so that sudo asks every time or never.
const SUDO_THAT_MAY_ASK: &str = r#"sh -c 'if sudo -n true </dev/null 2>/dev/null; then read -r line; line=; exec sudo -n sh; fi; exec sudo -k -S -p "" sh'"#;

/// The remote command that reads a script from its standard input.
pub(crate) fn shell(options: &SshOptions) -> &'static str {
    match (options.privilege, &options.sudo_password) {
        (Privilege::Root, _) if options.user == "root" => "sh",
        (Privilege::Root, None) => "sudo -n sh",
        (Privilege::Root, Some(_)) => SUDO_THAT_MAY_ASK,
        (Privilege::User, _) => "sh",
    }
}

/// What [`shell`] reads ahead of the script.
pub(crate) fn before_script(options: &SshOptions) -> String {
    let asked = shell(options) == SUDO_THAT_MAY_ASK;
    let password = options.sudo_password.as_ref().filter(|_| asked);
    password.map_or_else(String::new, Password::line)
}

/// A command that carries a connection through another one. Where that has ended it fails, and does not make one of its own.
fn forwarded(options: &SshOptions, socket: &Utf8Path) -> String {
    let control = format!("ControlPath={}", path(socket));
    let words =
        ["ssh", "-F", "none", "-o", &control, "-o", "ControlMaster=no", "-o", "ProxyCommand=false"];
    let to = options.address.to_string();
    let words = words.into_iter().chain(["-W", &to, "--", "through"]);
    // A shell reads it, behind ssh that looks for tokens.
    words.map(|word| quote(word).replace('%', "%%")).collect::<Vec<_>>().join(" ")
}

/// A path as ssh's configuration parser reads it back: words are split at blanks, `%` begins a token.
fn path(path: &Utf8Path) -> String {
    let text = path.as_str().replace('%', "%%");
    if text.contains([' ', '\t', '#']) { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use feeder_process::Cmd;

    use super::*;

    fn options() -> SshOptions {
        let address = "192.168.10.100:22".parse().unwrap();
        SshOptions::new("pi", address, "cluster00", "/home/me/lab/known_hosts")
    }

    #[test]
    fn the_users_own_way_in() {
        insta::assert_snapshot!(ssh_argv(&options(), Some("/tmp/feeder-x/c".into())).join("\n"));
    }

    #[test]
    fn a_virtual_machine_with_its_own_key() {
        let options = SshOptions {
            address: "127.0.0.1:40022".parse().unwrap(),
            identity: Some("/lab runs/100%/id".into()),
            host_keys: HostKeys::AcceptNew,
            config: UserConfig::Ignored,
            ..options()
        };
        insta::assert_snapshot!(ssh_argv(&options, None).join("\n"));
    }

    #[test]
    fn a_host_behind_another_one() {
        let options = SshOptions { through: Some("/tmp/feeder-ssh-x/c".into()), ..options() };
        let argv = ssh_argv(&options, Some("/tmp/feeder-ssh-y/c".into()));
        let proxy = argv.iter().find(|word| word.starts_with("ProxyCommand=")).unwrap();
        assert_eq!(
            proxy,
            "ProxyCommand=ssh -F none -o ControlPath=/tmp/feeder-ssh-x/c -o ControlMaster=no -o ProxyCommand=false -W 192.168.10.100:22 -- through"
        );
    }

    #[test]
    fn sudo_only_where_it_is_needed() {
        let shell = |user: &str, privilege| {
            shell(&SshOptions { user: user.into(), privilege, ..options() })
        };
        assert_eq!(shell("pi", Privilege::Root), "sudo -n sh");
        assert_eq!(shell("pi", Privilege::User), "sh");
        assert_eq!(shell("root", Privilege::Root), "sh");
    }

    /// What a script says that goes where sudo does what `sudo` is, with a password.
    fn with_password(sudo: &str) -> (Option<i32>, String, String) {
        let guard = tempfile::tempdir().unwrap();
        let dir = guard.path().to_str().unwrap();
        let program = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >>{dir}/told\n{sudo}\n");
        Cmd::new("sh")
            .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
            .arg(format!("{dir}/sudo"))
            .stdin(program)
            .run()
            .unwrap();
        let options = SshOptions { sudo_password: Some(Password::new("hunter2")), ..options() };
        let script = crate::script::wrap("echo done", crate::script::Stdout::Limited);
        let output = Cmd::new("sh")
            .args(["-c", shell(&options)])
            .env("PATH", format!("{dir}:{}", std::env::var("PATH").unwrap()))
            .stdin(before_script(&options) + &script)
            .output()
            .unwrap();
        let told = std::fs::read_to_string(format!("{dir}/told")).unwrap();
        assert!(!told.contains("hunter2") && !output.stderr.contains("hunter2"), "{told}");
        (output.status.code, output.stdout_text(), told)
    }

    #[test]
    fn sudo_gets_its_password_when_it_asks_and_the_script_never() {
        let never = with_password("[ \"$1\" = -n ] || exit 9; shift; exec \"$@\"");
        assert_eq!(never, (Some(0), "done\n".into(), "-n true\n-n sh\n".into()));
        let asks = with_password(
            "[ \"$1\" != -n ] || exit 1; read -r line; [ \"$line\" = hunter2 ] || exit 9; shift 4; exec \"$@\"",
        );
        assert_eq!(asks, (Some(0), "done\n".into(), "-n true\n-k -S -p  sh\n".into()));
        // It reads on, as sudo does, and takes no line of the script for anything else.
        let wrong = with_password("[ \"$1\" != -n ] || exit 1; cat >/dev/null; exit 1");
        assert_eq!((wrong.0, wrong.1.as_str()), (Some(1), ""));
    }

    #[test]
    fn a_password_goes_nowhere_where_sudo_is_not_used() {
        let sudo_password = Some(Password::new("hunter2\nrm -rf /"));
        let of = |user: &str, privilege| {
            let sudo_password = sudo_password.clone();
            before_script(&SshOptions { user: user.into(), privilege, sudo_password, ..options() })
        };
        assert_eq!(of("root", Privilege::Root), "");
        assert_eq!(of("pi", Privilege::User), "");
        assert_eq!(of("pi", Privilege::Root), "hunter2\n");
        let shown = format!("{:?}", SshOptions { sudo_password, ..options() });
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
