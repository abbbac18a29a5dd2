//! Addresses of registries.

use super::{Invalid, shown};

const WANTED: &str = "the address of a registry";

/// `https://host` or `https://host:port`, without anything that would need quoting somewhere.
///
/// # Errors
/// With what is wrong.
pub(crate) fn upstream(text: &str) -> Result<String, Invalid> {
    let invalid = |why: String| {
        Err(Invalid::new(text, WANTED, why).hint("write it like https://registry-1.docker.io"))
    };
    let Some(rest) = text.strip_prefix("https://") else {
        return invalid("it does not begin with https://".to_owned());
    };
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    if let Some(odd) = host.chars().find(|c| !c.is_ascii_alphanumeric() && !".-".contains(*c)) {
        return invalid(format!("`{}` cannot be in the name of a host", shown(&odd.to_string())));
    }
    if host.is_empty() || host.starts_with(['.', '-']) || host.ends_with(['.', '-']) {
        return invalid("the host is missing, or begins or ends oddly".to_owned());
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return invalid("a port is a number from 1 to 65535".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host_and_perhaps_a_port() {
        for good in ["https://registry-1.docker.io", "https://cluster00:5000", "https://10.0.0.1"] {
            assert_eq!(upstream(good).as_deref(), Ok(good));
        }
        for bad in [
            "registry-1.docker.io",
            "http://a",
            "https://",
            "https://a:",
            "https://a:0",
            "https://a:70000",
            "https://a/v2",
            "https://a b",
            "https://-a",
            "https://a.",
            "https://a\nb",
            "https://$(reboot)",
        ] {
            assert!(upstream(bad).is_err(), "{bad}");
        }
    }
}
