//! Every section and key that a `cluster.toml` can have, as data.
//!
//! The reader refuses what is not listed here and takes presence and defaults from here; `docs/cluster.toml.md` is checked against it.

/// A table of the file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name, without brackets; with a dot, it lies within the section before the dot, and may be absent.
    pub name: &'static str,
    /// Whether it is an array of tables (`[[worker]]`), which may then also be absent.
    pub repeated: bool,
    /// What it describes.
    pub doc: &'static str,
    /// Its keys, in the order in which they are documented.
    pub keys: &'static [Key],
}

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What kind of TOML value it takes.
    pub kind: Kind,
    /// Whether it must be there.
    pub presence: Presence,
    /// A value as one would write it, in TOML.
    pub example: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// The kind of a TOML value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An array of strings.
    Texts,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The file is wrong without it.
    Required,
    /// Without it there is no value, or one that follows from others.
    Optional,
    /// Without it, this text counts as given.
    Default(&'static str),
}

impl Section {
    /// The section as its header is written: `[cluster]`, `[[worker]]`.
    pub fn header(&self) -> String {
        if self.repeated { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }

    /// The section of that name within this one.
    pub(crate) fn within(&self, name: &str) -> Option<&'static Section> {
        SECTIONS.into_iter().find(|section| {
            section.name.split_once('.').is_some_and(|pair| pair == (self.name, name))
        })
    }

    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn text(
    name: &'static str,
    presence: Presence,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind: Kind::Text, presence, example, doc }
}

use Presence::{Default, Optional, Required};

/// `[cluster]`
pub const CLUSTER: Section = Section {
    name: "cluster",
    repeated: false,
    doc: "The cluster as a whole.",
    keys: &[text("name", Required, r#""lab""#, "What the cluster is called.")],
};

/// `[network]`
pub const NETWORK: Section = Section {
    name: "network",
    repeated: false,
    doc: "The segment that master and workers share.",
    keys: &[
        text(
            "subnet",
            Required,
            r#""192.168.10.0/24""#,
            "Addresses of the segment, with prefix length.",
        ),
        text("gateway", Required, r#""192.168.10.1""#, "The router's address."),
        Key {
            name: "dns",
            kind: Kind::Texts,
            presence: Optional,
            example: r#"["192.168.10.1"]"#,
            doc: "Name servers, in order of preference; the gateway when absent.",
        },
        text("dhcp", Default("proxy"), r#""proxy""#, "Who hands out addresses."),
    ],
};

/// `[master]`
pub const MASTER: Section = Section {
    name: "master",
    repeated: false,
    doc: "The one node with a disk.",
    keys: &[
        text("name", Required, r#""cluster00""#, "Its host name."),
        text("address", Required, r#""192.168.10.100""#, "Its address, which it sets itself."),
        text("board", Default("3b+"), r#""3b+""#, "Its model."),
        text("user", Default("pi"), r#""pi""#, "Who logs in over SSH."),
    ],
};

/// `[master.ssd]`
pub const SSD: Section = Section {
    name: "master.ssd",
    repeated: false,
    doc: "The disk to which the master moves from its SD card.",
    keys: &[
        text(
            "disk",
            Required,
            r#""/dev/disk/by-id/usb-Samsung_Portable_SSD_T5_1234567-0:0""#,
            "The disk, by its stable name.",
        ),
        text("file-system", Default("ext4"), r#""ext4""#, "The file system of its root."),
        text("sd-card", Default("kept"), r#""kept""#, "What becomes of the SD card."),
    ],
};

/// `[[worker]]`
pub const WORKER: Section = Section {
    name: "worker",
    repeated: true,
    doc: "A node that boots from the master.",
    keys: &[
        text("name", Required, r#""cluster01""#, "Its host name."),
        text("mac", Required, r#""b8:27:eb:40:45:36""#, "The address of its network card."),
        text("address", Required, r#""192.168.10.101""#, "The address it is given."),
        text("board", Default("3b+"), r#""3b+""#, "Its model."),
        text("serial", Optional, r#""9f404536""#, "The last eight digits of its serial number."),
        text(
            "state",
            Default("8GiB"),
            r#""8GiB""#,
            "The size of the image that holds what it writes.",
        ),
    ],
};

/// The sections in the order in which they are documented.
pub const SECTIONS: [&Section; 5] = [&CLUSTER, &NETWORK, &MASTER, &SSD, &WORKER];
