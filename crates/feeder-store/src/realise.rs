//! Building outputs, once.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{Derivation, Store, StoreError, tree};

impl Store {
    /// The output of this derivation, when it is there. What is there is complete.
    #[must_use]
    pub fn output(&self, derivation: &Derivation) -> Option<Utf8PathBuf> {
        Some(self.output_path(derivation)).filter(|path| path.is_dir())
    }

    /// Whether some process is building this derivation right now, so that one can say what one waits for.
    #[must_use]
    pub fn is_being_built(&self, derivation: &Derivation) -> bool {
        // An answer for people, out of date as soon as it is given: whatever goes wrong here is no error.
        let try_lock = |file: &File| file.try_lock().map_err(std::io::Error::from);
        self.output(derivation).is_none()
            && self.open_lock(&derivation.file_name(), try_lock).is_err()
    }

    /// Returns the output of this derivation, building it first when it is not there.
    ///
    /// `build` fills the empty directory it is given. It is called by one process at a time: others that want
    /// the same output wait, then find it. The result is flushed to disk and made read-only before it gets its
    /// name; the derivation's inputs are kept in it as `derivation.json`.
    ///
    /// # Errors
    ///
    /// What `build` returns, or [`StoreError::Io`]. Nothing is kept then, and the next call builds again.
    pub fn realise<E: From<StoreError>>(
        &self,
        derivation: &Derivation,
        build: impl FnOnce(&Utf8Path) -> Result<(), E>,
    ) -> Result<Utf8PathBuf, E> {
        let place = self.output_path(derivation);
        self.make_once(&place, &derivation.file_name(), |staging| -> Result<(), E> {
            build(staging)?;
            let json = staging.join("derivation.json");
            fs::write(&json, derivation.to_json()).map_err(StoreError::io("write", &json))?;
            tree::make_read_only_below(staging)?;
            Ok(())
        })?;
        tree::make_read_only(&place)?;
        Ok(place)
    }

    /// Returns the directory of a secret, making it first when there is none: a key pair that belongs to this
    /// store and must not be the same in any other. Only the owner may enter it.
    ///
    /// # Errors
    ///
    /// What `make` returns, or [`StoreError::Io`].
    ///
    /// # Panics
    ///
    /// When `name` is no plain file name.
    pub fn secret<E: From<StoreError>>(
        &self,
        name: &str,
        make: impl FnOnce(&Utf8Path) -> Result<(), E>,
    ) -> Result<Utf8PathBuf, E> {
        assert!(!name.is_empty() && !name.contains(['/', '.']), "bad name `{name}`");
        let place = self.root.join("secrets").join(name);
        self.make_once(&place, &format!("secret-{name}"), |staging| -> Result<(), E> {
            fs::set_permissions(staging, Permissions::from_mode(0o700))
                .map_err(StoreError::io("close to others", staging))?;
            make(staging)
        })?;
        Ok(place)
    }

    fn make_once<E: From<StoreError>>(
        &self,
        place: &Utf8Path,
        lock: &str,
        make: impl FnOnce(&Utf8Path) -> Result<(), E>,
    ) -> Result<(), E> {
        if place.is_dir() {
            return Ok(());
        }
        let _lock = self.open_lock(lock, File::lock)?;
        if place.is_dir() {
            return Ok(());
        }
        let entry = self.stage_dir(lock)?;
        make(&entry.path)?;
        tree::sync(&entry.path)?;
        fs::rename(&entry.path, place).map_err(StoreError::io("rename to", place))?;
        tree::sync_one(place.parent().unwrap_or(&self.root))?;
        Ok(())
    }

    fn output_path(&self, derivation: &Derivation) -> Utf8PathBuf {
        self.root.join("outputs").join(derivation.file_name())
    }
}
