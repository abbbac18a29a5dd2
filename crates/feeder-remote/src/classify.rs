//! What ssh's and sudo's messages mean. The words are OpenSSH's (9.2 to 10.0, at LogLevel INFO) and sudo's (1.9).

use feeder_process::Status;

use crate::{RemoteError, SshOptions, script::Transcript};

/// ssh's own exit status when it could not connect or lost the connection.
const SSH_FAILED: i32 = 255;
/// How much of a script's standard error an error message shows, in bytes.
const TAIL: usize = 1024;

/// The error in what a finished ssh left, or the script's standard error when it went well.
pub(crate) fn verdict(
    options: &SshOptions,
    status: Status,
    stderr: &str,
) -> Result<String, RemoteError> {
    let host = options.host_key_alias.clone();
    let Transcript { begun, status: ended, before, stderr } = Transcript::parse(stderr);
    match ended {
        Some(0) => Ok(stderr),
        Some(code) => {
            let status = Status { code: Some(code), signal: None };
            Err(RemoteError::Script { host, status, stderr_tail: tail(&stderr) })
        }
        None if begun => Err(RemoteError::ConnectionLost { host, why: lost(&stderr) }),
        None if status.code == Some(SSH_FAILED) => Err(before_login(options, &before)),
        None => Err(no_shell(options, status, &before)),
    }
}

/// ssh failed before the script began.
pub(crate) fn before_login(options: &SshOptions, stderr: &str) -> RemoteError {
    let host = options.host_key_alias.clone();
    let address = options.address.to_string();
    let known_hosts = options.known_hosts.clone();
    let user = options.user.clone();
    let line_with = |words: &[&str]| {
        stderr
            .lines()
            .find(|line| words.iter().any(|word| line.contains(word)))
            .map(|line| line.trim().to_owned())
    };

    if line_with(&["REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key for"]).is_some() {
        let fingerprint = stderr
            .split_ascii_whitespace()
            .find(|word| word.starts_with("SHA256:"))
            .map(|word| word.trim_end_matches('.').to_owned());
        return RemoteError::HostKeyChanged { host, address, fingerprint, known_hosts };
    }
    if line_with(&["host key is known for", "Host key verification failed"]).is_some() {
        return RemoteError::HostKeyUnknown { host, address, known_hosts };
    }
    if line_with(&["Connection refused"]).is_some() {
        return RemoteError::Refused { host, address };
    }
    // A key file that cannot be read is why the login was refused, so it is the better reason.
    let refused = line_with(&["Permission denied (", "Too many authentication failures"]);
    if let Some(refused) = refused {
        let key = line_with(&["UNPROTECTED PRIVATE KEY", "Load key ", "no such identity: "]);
        let why = match key {
            Some(key) if key.contains("UNPROTECTED") => {
                "the private key file is readable by others, so ssh ignores it".to_owned()
            }
            Some(key) => key,
            None => refused,
        };
        return RemoteError::Authentication { host, user, why };
    }
    const CONFIGURATION: &[&str] = &[
        "Bad configuration option",
        "bad configuration options",
        "Bad owner or permissions",
        "Can't open user config file",
        "too long for Unix domain socket",
        "ControlPath too long",
        "Unable to negotiate with",
        "no matching host key type",
    ];
    if let Some(why) = line_with(CONFIGURATION) {
        return RemoteError::Ssh { host, why };
    }
    const NOT_YET: &[&str] = &[
        "System is booting up",
        "System is going down",
        "No route to host",
        "Network is unreachable",
        "Host is down",
        "timed out",
        "Could not resolve hostname",
        "Connection closed by",
        "Connection reset by",
        "kex_exchange_identification",
        "Broken pipe",
        "not responding",
    ];
    match line_with(NOT_YET) {
        Some(why) => RemoteError::Unreachable { host, address, why },
        // Whatever ended without a word was no decision of anybody's: the next attempt may say more.
        None if stderr.trim().is_empty() => {
            let why = "ssh ended without a word before the login".to_owned();
            RemoteError::Unreachable { host, address, why }
        }
        None => RemoteError::Ssh { host, why: last_line(stderr, "it said nothing") },
    }
}

/// Logged in, but `sh` did not begin: sudo or the account's shell stopped it, or it is no shell of ours.
fn no_shell(options: &SshOptions, status: Status, stderr: &str) -> RemoteError {
    let host = options.host_key_alias.clone();
    let sudo = stderr.lines().find(|line| {
        line.contains("sudo: ")
            || line.contains("sudoers")
            || line.contains("is not allowed to execute")
    });
    match sudo {
        Some(why) => {
            RemoteError::Sudo { host, user: options.user.clone(), why: why.trim().to_owned() }
        }
        None => RemoteError::Script { host, status, stderr_tail: tail(stderr) },
    }
}

/// The best words for a broken connection: ssh's own, else whatever came last.
fn lost(stderr: &str) -> String {
    const SSH: &[&str] =
        &["Connection to ", "Connection reset", "Broken pipe", "Timeout, server", "mux_client"];
    stderr
        .lines()
        .rev()
        .find(|line| SSH.iter().any(|word| line.contains(word)))
        .map_or_else(|| "ssh ended without a word".to_owned(), |line| line.trim().to_owned())
}

fn last_line(text: &str, none: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or(none).to_owned()
}

/// The last whole lines that fit.
pub(crate) fn tail(text: &str) -> String {
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(TAIL);
    if from > 0 {
        while !text.is_char_boundary(from) {
            from += 1;
        }
        from += text[from..].find('\n').map_or(0, |newline| newline + 1);
    }
    text[from..].to_owned()
}

#[cfg(test)]
mod tests;
