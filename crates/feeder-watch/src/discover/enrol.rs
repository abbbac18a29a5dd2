//! A board's section in `cluster.toml`: text in, text out, and everything that was there stays as it was.

use std::net::Ipv4Addr;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::{Cluster, LoadError, NodeName};
use feeder_ui::{Exit, Expected};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use super::Device;

/// A board that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// As this worker.
    pub name: NodeName,
    /// At this address.
    pub address: Ipv4Addr,
}

/// Why a board was not added to `cluster.toml`. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotAdded {
    /// The subnet has no address for it.
    #[error("{subnet} has no free address for one more worker")]
    NoAddress {
        /// The segment.
        subnet: String,
    },
    /// Boards of this model cannot be workers.
    #[error("{mac} is a {model}, and workers are boards of models 3b and 3b+")]
    Model {
        /// Its hardware address.
        mac: String,
        /// Its model.
        model: String,
    },
    /// The file changed meanwhile, and is not right any more.
    #[error(transparent)]
    Cluster(#[from] LoadError),
    /// The file cannot be changed in the form in which it lists workers.
    #[error("{path}: workers are not listed as [[worker]] sections, so none can be added")]
    Form {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The file cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Expected for NotAdded {
    fn exit(&self) -> Exit {
        match self {
            Self::NoAddress { .. } | Self::Model { .. } | Self::Form { .. } => Exit::Input,
            Self::Cluster(error) => error.exit(),
            Self::Write { .. } => Exit::Host,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoAddress { .. } => "make [network] subnet larger, or take a worker out".into(),
            Self::Model { .. } => return None,
            Self::Cluster(error) => return error.hint(),
            Self::Form { .. } => "write each worker as a section of its own: [[worker]]".into(),
            Self::Write { path, .. } => {
                format!("check the permissions of {path} and of its folder")
            }
        })
    }

    fn rendered(&self) -> Option<String> {
        match self {
            Self::Cluster(error) => error.rendered(),
            _ => None,
        }
    }
}

/// Adds a board to a file as a worker. The file is read anew, and replaced in one step.
///
/// # Errors
/// Every [`NotAdded`]; then the file is as it was.
pub(crate) fn enrol(path: &Utf8Path, device: &Device) -> Result<Added, NotAdded> {
    let write = |source| NotAdded::Write { path: path.to_owned(), source };
    let cluster = feeder_cluster::load(path)?.cluster;
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let text = fs_err::read_to_string(path).map_err(read)?;
    let (text, added) = with(&text, path, &cluster, device)?;
    // What is wrong with it now would be a mistake of ours; it must not get into the file.
    feeder_cluster::parse(&text, path.as_str()).map_err(LoadError::from)?;
    // A link stays one: what it leads to is replaced.
    let file = path.canonicalize_utf8().map_err(write)?;
    let new = file.with_file_name(format!(".{}.new", file.file_name().unwrap_or_default()));
    let permissions = fs_err::metadata(&file).map_err(write)?.permissions();
    fs_err::write(&new, text)
        .and_then(|()| fs_err::set_permissions(&new, permissions))
        .and_then(|()| fs_err::rename(&new, &file))
        .map_err(write)?;
    Ok(added)
}

/// The text with one more worker, in the hand of the last one.
fn with(
    text: &str,
    path: &Utf8Path,
    cluster: &Cluster,
    device: &Device,
) -> Result<(String, Added), NotAdded> {
    let form = || NotAdded::Form { path: path.to_owned() };
    let Some(board) = device.model.board() else {
        let (mac, model) = (device.mac.to_string(), device.model.to_string());
        return Err(NotAdded::Model { mac, model });
    };
    let name = next_name(cluster);
    let address = cluster
        .next_free_address()
        .ok_or_else(|| NotAdded::NoAddress { subnet: cluster.network.subnet.to_string() })?;
    let mut document: DocumentMut = text.parse().map_err(|_| form())?;
    let workers = document
        .entry("worker")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(form)?;
    let values = [
        ("name", Some(name.to_string())),
        ("mac", Some(device.mac.to_string())),
        ("serial", device.serial.map(|serial| serial.to_string())),
        ("address", Some(address.to_string())),
        ("board", Some(board.to_string())),
    ];
    let last = workers.iter().last().cloned();
    let mut table = last.unwrap_or_default();
    // Whatever else the last one has is its own.
    table.retain(|key, _| values.iter().any(|(name, value)| *name == key && value.is_some()));
    for (key, value) in values {
        if let Some(value) = value {
            set(&mut table, key, &value);
        }
    }
    table.decor_mut().set_prefix("\n");
    table.decor_mut().set_suffix("");
    workers.push(table);
    Ok((document.to_string(), Added { name, address }))
}

/// Sets a value and keeps how its key is aligned; a comment behind the old value was about that.
fn set(table: &mut Table, key: &str, value: &str) {
    let width = table.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let aligned = table.iter().any(|(key, _)| {
        let key = table.key(key).and_then(|key| key.leaf_decor().suffix()?.as_str());
        key.is_some_and(|blank| blank.len() > 1)
    });
    let mut new = Value::from(value);
    new.decor_mut().set_prefix(" ");
    new.decor_mut().set_suffix("");
    if let Some(old) = table.get_mut(key) {
        *old = Item::Value(new);
        if let Some(mut key) = table.key_mut(key) {
            // A comment above the old one was about that.
            key.leaf_decor_mut().set_prefix("");
        }
        return;
    }
    table.insert(key, Item::Value(new));
    if let Some(mut key) = table.key_mut(key).filter(|_| aligned) {
        let blanks = (width + 1).saturating_sub(key.get().len()).max(1);
        key.leaf_decor_mut().set_suffix(" ".repeat(blanks));
    }
}

/// The last worker's name, counted up: `cluster02` becomes `cluster03`.
fn next_name(cluster: &Cluster) -> NodeName {
    let last = cluster.workers.last().map_or(&cluster.master.name, |worker| &worker.name).as_str();
    let stem = last.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &last[stem.len()..];
    let (first, width) = match digits.parse::<u64>() {
        Ok(number) => (number.saturating_add(1), digits.len()),
        Err(_) => (2, 1),
    };
    let counted = (first..).take(1 << 16).map(|number| format!("{stem}{number:0width$}"));
    // A name that is too long to be counted up is given up.
    let plain = (1..).map(|number| format!("worker{number}"));
    let taken = |name: &NodeName| cluster.nodes().any(|node| node.name == name);
    counted
        .chain(plain)
        .filter_map(|name| name.parse().ok())
        .find(|name| !taken(name))
        .unwrap_or_else(|| cluster.master.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(of: &str, with: &str) -> String {
        let lab = include_str!("../../../../fixtures/clusters/lab.toml").replace(of, with);
        next_name(&feeder_cluster::parse(&lab, "lab.toml").unwrap().cluster).to_string()
    }

    #[test]
    fn names_are_counted_up_past_those_that_are_taken() {
        assert_eq!(next("cluster02", "cluster02"), "cluster03");
        assert_eq!(next("cluster01", "cluster03"), "cluster04");
        assert_eq!(next("cluster02", "node99"), "node100");
        assert_eq!(next("cluster02", "rack"), "rack2");
        assert_eq!(next("cluster02", &format!("{}9", "a".repeat(62))), "worker1");
    }
}
