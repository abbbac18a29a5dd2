//! What is reached from where.

use std::collections::{BTreeMap, BTreeSet};

use feeder_store::Digest;
use proc_macro2::TokenStream;

use crate::{Parts, Source, items::Item, tokens};

pub(crate) struct Reach<'a> {
    items: &'a [Item],
    by_name: BTreeMap<&'a str, Vec<usize>>,
    /// Reached by everything.
    always: Vec<usize>,
    files: BTreeMap<&'a str, Digest>,
    /// Stands for a file whose name is not known.
    all_files: Digest,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(items: &'a [Item], sources: &[Source<'a>], others: &[Source<'a>]) -> Self {
        let mut by_name = BTreeMap::<&str, Vec<usize>>::new();
        let mut always = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match &item.keys {
                Some(keys) => {
                    keys.iter().for_each(|key| by_name.entry(key).or_default().push(at));
                }
                None => always.push(at),
            }
        }
        let files: BTreeMap<_, _> = sources
            .iter()
            .chain(others)
            .map(|source| (source.path, Digest::of(source.bytes)))
            .collect();
        let all: Vec<_> = files.iter().map(|(path, digest)| format!("{path} {digest}\n")).collect();
        Self { items, by_name, always, files, all_files: Digest::of(all.concat()) }
    }

    /// Adds all that these words reach, but for `known` items which they reach at once: those are counted otherwise.
    pub(crate) fn add(&self, words: &BTreeSet<String>, known: &BTreeSet<usize>, parts: &mut Parts) {
        let named = |words: &BTreeSet<String>| -> Vec<usize> {
            words
                .iter()
                .filter_map(|word| self.by_name.get(word.as_str()))
                .flatten()
                .copied()
                .collect()
        };
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> =
            named(words).into_iter().filter(|at| !known.contains(at)).collect();
        open.extend(&self.always);
        while let Some(at) = open.pop() {
            if found.insert(at) {
                open.extend(named(&self.items[at].words));
            }
        }
        for at in found {
            let item = &self.items[at];
            self.count(&item.label, &item.file, &item.tokens, parts);
        }
    }

    /// Counts these tokens and the files that they include.
    pub(crate) fn count(&self, label: &str, file: &str, tokens: &TokenStream, parts: &mut Parts) {
        insert(parts, label, file, tokens::digest(tokens));
        for path in tokens::includes(tokens) {
            let path = path.map(|path| beside(file, &path));
            match path.as_deref().and_then(|path| self.files.get_key_value(path)) {
                Some((path, digest)) => insert(parts, path, file, *digest),
                None => insert(parts, "every file that could be included", file, self.all_files),
            }
        }
    }
}

/// Two items may have one name.
fn insert(parts: &mut Parts, label: &str, file: &str, digest: Digest) {
    let names = [label.to_owned(), format!("{label} in {file}")].into_iter();
    for name in names.chain((2..).map(|number| format!("{label} in {file}, {number}"))) {
        match parts.get(&name) {
            Some(before) if *before != digest => {}
            _ => {
                parts.insert(name, digest);
                return;
            }
        }
    }
}

/// A path that is said in a file, from the workspace's root.
fn beside(file: &str, path: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for step in path.split('/') {
        match step {
            "." | "" => {}
            ".." => drop(parts.pop()),
            step => parts.push(step),
        }
    }
    parts.join("/")
}
