//! Files under their own SHA-256.

use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8PathBuf;

use crate::{Digest, Hasher, Store, StoreError, tree};

impl Store {
    /// The file with this digest, when the store has it.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<Utf8PathBuf> {
        Some(self.blob_path(digest)).filter(|path| path.is_file())
    }

    /// Takes in all that `reader` gives and returns where it lies. With `expected`, the digest and the size in
    /// bytes must be these.
    ///
    /// # Errors
    ///
    /// [`StoreError::Mismatch`] when the bytes are not the expected ones, [`StoreError::Read`] when the reader
    /// fails, [`StoreError::Io`] when the disk does. Nothing is kept then.
    pub fn put_blob(
        &self,
        reader: impl Read,
        expected: Option<(Digest, u64)>,
    ) -> Result<Utf8PathBuf, StoreError> {
        let entry = self.stage_file()?;
        // One byte more than promised is enough to know that it is too long.
        let limit = expected.map_or(u64::MAX, |(_, size)| size.saturating_add(1));
        let mut writer = Hasher::new(BufWriter::with_capacity(1 << 20, &entry.file));
        copy(reader.take(limit), &mut writer, &entry.path)?;
        writer.flush().map_err(StoreError::io("write", &entry.path))?;
        let (got, size) = writer.finish();
        if let Some((expected, expected_size)) = expected
            && (got, size) != (expected, expected_size)
        {
            return Err(StoreError::Mismatch { expected, expected_size, got, size });
        }

        let path = self.blob_path(&got);
        if path.is_file() {
            return Ok(path);
        }
        entry
            .file
            .set_permissions(Permissions::from_mode(0o444))
            .and_then(|()| entry.file.sync_all())
            .map_err(StoreError::io("flush", &entry.path))?;
        let dir = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(dir).map_err(StoreError::io("make the directory", dir))?;
        fs::rename(&entry.path, &path).map_err(StoreError::io("rename to", &path))?;
        tree::sync_one(dir)?;
        Ok(path)
    }

    fn blob_path(&self, digest: &Digest) -> Utf8PathBuf {
        let hex = digest.to_string();
        self.root.join("blobs").join(&hex[..2]).join(hex)
    }
}

/// `io::copy` that knows which side failed.
fn copy(
    mut reader: impl Read,
    writer: &mut impl io::Write,
    path: &camino::Utf8Path,
) -> Result<(), StoreError> {
    let mut buffer = vec![0; 128 << 10];
    let mut bytes = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                writer.write_all(&buffer[..count]).map_err(StoreError::io("write", path))?;
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(StoreError::Read { bytes, source }),
        }
    }
}
