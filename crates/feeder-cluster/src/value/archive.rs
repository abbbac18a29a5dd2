//! Archives of packages, and the keys that they are signed with.

use super::{Invalid, shown};

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// Where apt finds an archive.
pub(crate) fn archive(text: &str) -> Result<String, Invalid> {
    let invalid = |why: String| Err(Invalid::new(text, "the address of an archive", why));
    let Some(rest) = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme))
    else {
        return invalid("it does not begin with https:// or http://".to_owned());
    };
    if let Some(odd) = rest.chars().find(|c| !c.is_ascii_alphanumeric() && !".-:/_~".contains(*c)) {
        return invalid(format!("`{}` cannot be in it", shown(&odd.to_string())));
    }
    if rest.is_empty() || rest.starts_with(['/', ':']) {
        return invalid("the host is missing".to_owned());
    }
    Ok(text.to_owned())
}

/// A key as `gpg --armor` writes it (RFC 9580, 6.2), without blanks around it.
pub(crate) fn archive_key(text: &str) -> Result<String, Invalid> {
    let key = text.trim().replace("\r\n", "\n");
    let invalid = |why: &str| {
        let hint = "copy the whole file, between \"\"\" and \"\"\"";
        Err(Invalid::new(key.lines().next().unwrap_or_default(), "a public key", why).hint(hint))
    };
    if !key.starts_with(BEGIN) {
        return invalid("it does not begin with -----BEGIN PGP PUBLIC KEY BLOCK-----");
    }
    if !key.ends_with(END) {
        return invalid("it does not end with -----END PGP PUBLIC KEY BLOCK-----");
    }
    let printable = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
    if !key.chars().all(printable) {
        return invalid("there are other characters in it than those of an armored key");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_where_apt_can_fetch_from() {
        for good in ["https://mirror.example/linux/debian", "http://192.168.10.1:8080/docker"] {
            assert_eq!(archive(good).unwrap(), good);
        }
        for bad in ["", "mirror.example", "https://", "https:///x", "https://a b", "file:///srv"] {
            assert!(archive(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_whole() {
        let key = format!("{BEGIN}\n\nmQINBFit\n=0YYh\n{END}");
        assert_eq!(archive_key(&format!("\n{key}\n")).unwrap(), key);
        assert_eq!(archive_key(&key.replace('\n', "\r\n")).unwrap(), key);
        for bad in ["", "ssh-ed25519 AAAA", BEGIN, &key.replace("mQ", "m\u{e4}")] {
            assert!(archive_key(bad).is_err(), "{bad}");
        }
    }
}
