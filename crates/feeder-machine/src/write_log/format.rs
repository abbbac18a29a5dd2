//! The bytes of a log. Pure.

/// Bytes of the super block that are used: magic, version, number of entries, bytes of a sector.
pub(super) const SUPER: usize = 28;
/// Bytes of an entry's header that are used: sector, sectors, flags, bytes of a mark.
pub(super) const ENTRY: usize = 32;

/// `WRITE_LOG_MAGIC` of drivers/md/dm-log-writes.c, and `WRITE_LOG_VERSION`.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;

const FLUSH: u64 = 1;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;
/// `LOG_METADATA_FLAG`: a hint about a write, of no meaning here.
const METADATA: u64 = 1 << 4;

pub(super) struct Super {
    pub(super) entries: u64,
    /// Bytes.
    pub(super) sector: u64,
}

pub(super) fn super_block(bytes: &[u8; SUPER]) -> Result<Super, String> {
    if number(bytes, 0) != MAGIC {
        return Err("it does not begin as one".into());
    }
    if number(bytes, 8) != VERSION {
        return Err(format!("it is of version {}, not {VERSION}", number(bytes, 8)));
    }
    let sector = u32::from_le_bytes(std::array::from_fn(|i| bytes[24 + i]));
    if !sector.is_power_of_two() || !(512..=1 << 20).contains(&sector) {
        return Err(format!("its sectors have {sector} bytes"));
    }
    Ok(Super { entries: number(bytes, 16), sector: u64::from(sector) })
}

pub(super) struct Raw {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) what: What,
    pub(super) flush: bool,
    pub(super) fua: bool,
    /// Bytes that follow the header.
    pub(super) stored: u64,
}

pub(super) enum What {
    Write,
    Discard,
    Mark,
}

pub(super) fn entry(bytes: &[u8; ENTRY], sector: u64) -> Result<Raw, String> {
    let flags = number(bytes, 16);
    if flags & !(FLUSH | FUA | DISCARD | MARK | METADATA) != 0 {
        return Err(format!("has flags {flags:x}, which are not known"));
    }
    let in_bytes = |at: usize| number(bytes, at).checked_mul(sector);
    let place = in_bytes(0).zip(in_bytes(8));
    let place = place.filter(|(offset, length)| offset.checked_add(*length).is_some());
    let (offset, length) = place.ok_or("lies beyond every disk")?;
    let (what, stored) = match flags {
        flags if flags & MARK != 0 => (What::Mark, number(bytes, 24)),
        flags if flags & DISCARD != 0 => (What::Discard, 0),
        _ => (What::Write, length),
    };
    Ok(Raw { offset, length, what, flush: flags & FLUSH != 0, fua: flags & FUA != 0, stored })
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}
