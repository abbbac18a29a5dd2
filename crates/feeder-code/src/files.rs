//! Source files that count as a whole.

use std::collections::BTreeSet;

use feeder_store::Digest;
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    visit::{self, Visit},
    visit_mut::{self, VisitMut},
};

use crate::{Parts, tokens};

/// A file, by its path from the workspace's root.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// `scenarios/src/netboot.rs`.
    pub path: &'a str,
    /// What it holds.
    pub bytes: &'a [u8],
}

impl Source<'_> {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn parse(&self) -> Option<syn::File> {
        let text = std::str::from_utf8(self.bytes).ok()?;
        let mut file = syn::parse_file(text).ok()?;
        WithoutTests.visit_file_mut(&mut file);
        Some(file)
    }

    /// Of its tokens without tests when it is Rust, of its bytes otherwise.
    pub(crate) fn digest(&self) -> Digest {
        let tokens: Option<TokenStream> =
            self.is_rust().then(|| self.parse()).flatten().map(ToTokens::into_token_stream);
        tokens.map_or_else(|| Digest::of(self.bytes), |tokens| tokens::digest(&tokens))
    }

    /// The directory in which its modules lie.
    fn module_dir(&self) -> String {
        let (dir, name) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        match name.strip_suffix(".rs") {
            Some("lib" | "main" | "mod") | None => dir.to_owned(),
            Some(stem) => format!("{dir}/{stem}"),
        }
    }
}

/// The digests of files that are compiled in, each by itself. Files of tests are left out.
#[must_use]
pub fn digests(sources: &[Source<'_>]) -> Parts {
    without_test_files(sources)
        .iter()
        .map(|source| (source.path.to_owned(), source.digest()))
        .collect()
}

/// Without the files of modules that are `#[cfg(test)]`, unless another module takes them by `#[path]`.
pub(crate) fn without_test_files<'a>(sources: &[Source<'a>]) -> Vec<Source<'a>> {
    let (mut tests, mut declared, mut taken) = (Vec::new(), BTreeSet::new(), Vec::new());
    for source in sources.iter().filter(|source| source.is_rust()) {
        let text = std::str::from_utf8(source.bytes).unwrap_or_default();
        let Ok(file) = syn::parse_file(text) else { continue };
        let mut paths = Paths::default();
        paths.visit_file(&file);
        for item in &file.items {
            let syn::Item::Mod(module) = item else { continue };
            let stem = match path_of(module) {
                Some(path) => {
                    paths.inner -= 1;
                    let dir = source.path.rsplit_once('/').map_or("", |(dir, _)| dir);
                    format!("{dir}/{}", path.trim_end_matches(".rs"))
                }
                None => format!("{}/{}", source.module_dir(), tokens::plain(&module.ident)),
            };
            match (module.content.is_none(), is_test(&module.attrs)) {
                (true, true) => tests.push(stem),
                (true, false) => {
                    if path_of(module).is_some() {
                        taken.push(stem.clone());
                    }
                    declared.insert(stem);
                }
                (false, _) => {}
            }
        }
        if paths.inner != 0 {
            // Within a module of the file they are relative to something else.
            return sources.to_vec();
        }
    }
    // Also a module that is one thing in tests and another one otherwise.
    tests.retain(|stem| !declared.contains(stem));
    let is_of = |stems: &[String], path: &str| {
        stems.iter().any(|stem| {
            path.strip_prefix(stem.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    };
    let compiled = |source: &&Source<'_>| !is_of(&tests, source.path) || is_of(&taken, source.path);
    sources.iter().filter(compiled).copied().collect()
}

fn path_of(module: &syn::ItemMod) -> Option<String> {
    let attr = module.attrs.iter().find(|attr| attr.path().is_ident("path"))?;
    // What is no plain text is nowhere, and takes nothing away.
    let syn::Meta::NameValue(syn::MetaNameValue {
        value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }),
        ..
    }) = &attr.meta
    else {
        return Some(String::new());
    };
    Some(path.value())
}

/// Counts modules with a `#[path]`.
#[derive(Default)]
struct Paths {
    inner: usize,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.inner += usize::from(path_of(module).is_some());
        visit::visit_item_mod(self, module);
    }
}

fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("cfg")
            && attr.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

/// Takes out items that are only compiled into tests.
struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !item_is_test(item));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !item_is_test(item));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }
}

fn item_is_test(item: &syn::Item) -> bool {
    match item {
        syn::Item::Mod(item) => is_test(&item.attrs),
        syn::Item::Fn(item) => is_test(&item.attrs),
        syn::Item::Use(item) => is_test(&item.attrs),
        syn::Item::Impl(item) => is_test(&item.attrs),
        _ => false,
    }
}
