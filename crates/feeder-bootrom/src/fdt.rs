//! The one thing the twin reads from a device tree: `/chosen/bootargs`.

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

/// The `bootargs` of `/chosen` in a flattened device tree (Devicetree Specification 0.4, chapter 5).
///
/// `Ok(None)` when the tree is sound and has none.
///
/// # Errors
///
/// One sentence saying what is wrong with the blob.
pub fn bootargs(blob: &[u8]) -> Result<Option<String>, String> {
    let header = Words(blob);
    if header.at(0) != Some(MAGIC) {
        return Err("it does not begin with the magic d00dfeed".into());
    }
    let truncated = || "it is truncated".to_owned();
    let part = |offset: Option<u32>, size: Option<u32>| -> Option<&[u8]> {
        let start = offset? as usize;
        blob.get(start..start.checked_add(size? as usize)?)
    };
    let structure = part(header.at(8), header.at(36)).ok_or_else(truncated)?;
    let strings = part(header.at(12), header.at(32)).ok_or_else(truncated)?;

    let words = Words(structure);
    let (mut at, mut depth, mut in_chosen) = (0, 0_u32, false);
    loop {
        let token = words.at(at).ok_or_else(truncated)?;
        at += 4;
        match token {
            BEGIN_NODE => {
                let name = text_at(structure, at).ok_or_else(truncated)?;
                depth += 1;
                in_chosen = depth == 2 && name == b"chosen";
                at = aligned(at + name.len() + 1);
            }
            END_NODE => {
                depth = depth.checked_sub(1).ok_or("its nodes do not nest")?;
                // A child's end leaves the parent in place; only /chosen's own properties count, and
                // the specification puts properties before children.
                in_chosen = false;
            }
            PROP => {
                let length = words.at(at).ok_or_else(truncated)? as usize;
                let name = words.at(at + 4).ok_or_else(truncated)? as usize;
                let end = (at + 8).checked_add(length).ok_or_else(truncated)?;
                let value = structure.get(at + 8..end).ok_or_else(truncated)?;
                if in_chosen && text_at(strings, name).ok_or_else(truncated)? == b"bootargs" {
                    let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
                    return Ok(Some(String::from_utf8_lossy(text).into_owned()));
                }
                at = aligned(end);
            }
            NOP => {}
            // END, or anything unknown: nothing follows that could be read.
            9 => return Ok(None),
            other => return Err(format!("it holds the unknown token {other:#x}")),
        }
    }
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn at(&self, offset: usize) -> Option<u32> {
        let bytes = self.0.get(offset..offset.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

fn aligned(at: usize) -> usize {
    at.next_multiple_of(4)
}

fn text_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    Some(&rest[..rest.iter().position(|&byte| byte == 0)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tree `/ { compatible; chosen { bootargs }; memory { bootargs = decoy } }`.
    pub(crate) fn tree(bootargs: Option<&str>) -> Vec<u8> {
        let strings = b"compatible\0bootargs\0";
        let mut s = Vec::new();
        let word = |s: &mut Vec<u8>, w: u32| s.extend(w.to_be_bytes());
        let text = |s: &mut Vec<u8>, t: &[u8]| {
            s.extend(t);
            s.push(0);
            s.resize(s.len().next_multiple_of(4), 0);
        };
        let prop = |s: &mut Vec<u8>, name: u32, value: &str| {
            word(s, PROP);
            word(s, value.len() as u32 + 1);
            word(s, name);
            text(s, value.as_bytes());
        };
        word(&mut s, BEGIN_NODE);
        text(&mut s, b"");
        prop(&mut s, 0, "raspberrypi,3-model-b-plus");
        word(&mut s, BEGIN_NODE);
        text(&mut s, b"memory@0");
        prop(&mut s, 11, "decoy");
        word(&mut s, END_NODE);
        word(&mut s, BEGIN_NODE);
        text(&mut s, b"chosen");
        word(&mut s, NOP);
        if let Some(args) = bootargs {
            prop(&mut s, 11, args);
        }
        word(&mut s, END_NODE);
        word(&mut s, END_NODE);
        word(&mut s, 9);

        let (structure_at, strings_at) = (56, 56 + s.len());
        let total = strings_at + strings.len();
        let mut blob = Vec::new();
        for w in [
            MAGIC,
            total as u32,
            structure_at as u32,
            strings_at as u32,
            40,
            17,
            16,
            0,
            strings.len() as u32,
            s.len() as u32,
        ] {
            word(&mut blob, w);
        }
        blob.resize(structure_at, 0);
        blob.extend(s);
        blob.extend(strings);
        blob
    }

    #[test]
    fn chosen_is_found_and_decoys_are_not() {
        assert_eq!(bootargs(&tree(Some("a=1 b"))), Ok(Some("a=1 b".into())));
        assert_eq!(bootargs(&tree(None)), Ok(None));
    }

    #[test]
    fn broken_blobs_say_what_is_wrong() {
        assert_eq!(
            bootargs(b"not a tree"),
            Err("it does not begin with the magic d00dfeed".into())
        );
        let good = tree(Some("x"));
        assert_eq!(bootargs(&good[..good.len() - 30]), Err("it is truncated".into()));
    }

    proptest! {
        #[test]
        fn any_damage_is_survived(at in 0_usize..300, byte: u8, cut in 0_usize..300) {
            let mut blob = tree(Some("console=ttyS0"));
            let (at, cut) = (at % blob.len(), cut % blob.len());
            blob[at] = byte;
            let _ = bootargs(&blob);
            let _ = bootargs(&blob[..cut]);
        }
    }
}
