//! What a kernel image looks like from outside.

/// The kinds of file a `kernel=` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageKind {
    /// `Image` with the magic of Linux's arm64 boot protocol (Documentation/arch/arm64/booting.rst).
    Arm64,
    /// gzip; the firmware unpacks it, what is inside is not looked at.
    Gzip,
    /// An EFI zboot image: starts on UEFI only.
    EfiZboot,
    /// A 32-bit zImage.
    Arm32,
    /// Anything else.
    Unknown,
}

pub(crate) fn kind(image: &[u8]) -> ImageKind {
    let at = |offset: usize, magic: &[u8]| image.get(offset..offset + magic.len()) == Some(magic);
    if at(0x38, b"ARM\x64") {
        ImageKind::Arm64
    } else if at(0, &[0x1f, 0x8b]) {
        ImageKind::Gzip
    } else if at(4, b"zimg") {
        ImageKind::EfiZboot
    } else if at(0x24, &0x016f_2818_u32.to_le_bytes()) {
        ImageKind::Arm32
    } else {
        ImageKind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(offset: usize, magic: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 128];
        image[offset..offset + magic.len()].copy_from_slice(magic);
        image
    }

    #[test]
    fn images_are_told_apart_by_their_magic() {
        assert_eq!(kind(&with(0x38, b"ARM\x64")), ImageKind::Arm64);
        assert_eq!(kind(&with(0, &[0x1f, 0x8b, 8])), ImageKind::Gzip);
        assert_eq!(kind(&with(4, b"zimg")), ImageKind::EfiZboot);
        assert_eq!(kind(&with(0x24, &[0x18, 0x28, 0x6f, 0x01])), ImageKind::Arm32);
        assert_eq!(kind(b"short"), ImageKind::Unknown);
        assert_eq!(kind(&[]), ImageKind::Unknown);
    }
}
