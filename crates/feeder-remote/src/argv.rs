//! The `ssh` command line, as a pure function.

use camino::Utf8Path;
use feeder_process::quote;

use crate::{HostKeys, Privilege, SshOptions, UserConfig};

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
    option("BatchMode", "yes".into());
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

/// The remote command that reads a script from its standard input.
pub(crate) fn shell(options: &SshOptions) -> &'static str {
    match options.privilege {
        Privilege::Root if options.user != "root" => "sudo -n sh",
        Privilege::Root | Privilege::User => "sh",
    }
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
}
