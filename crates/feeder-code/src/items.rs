//! The items of a crate, and the names by which they are reached.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};

use crate::{Source, files::without_test_files, tokens};

/// An item, or one function of an `impl`.
pub(crate) struct Item {
    pub(crate) file: String,
    /// `fn netboots`.
    pub(crate) label: String,
    /// The names that reach it. None: everything does.
    pub(crate) keys: Option<BTreeSet<String>>,
    /// Of its own, without those of its type or trait.
    pub(crate) name: String,
    pub(crate) tokens: TokenStream,
    /// What it mentions.
    pub(crate) words: BTreeSet<String>,
    pub(crate) body: Body,
}

/// What a step can stand in.
pub(crate) enum Body {
    Function {
        header: TokenStream,
        statements: Vec<syn::Stmt>,
    },
    /// The type and the value of a constant.
    Value {
        ty: Box<syn::Type>,
        value: Box<syn::Expr>,
    },
    None,
}

pub(crate) fn collect(sources: &[Source<'_>]) -> Vec<Item> {
    let mut items = Vec::new();
    for source in without_test_files(sources).iter().filter(|source| source.is_rust()) {
        let mut into = Collector { file: source.path, items: &mut items };
        match source.parse() {
            Some(file) => file.items.iter().for_each(|item| into.item(item)),
            None => {
                let text = String::from_utf8_lossy(source.bytes);
                into.push(format!("all of {}", source.path), "", None, quote!(#text), Body::None);
            }
        }
    }
    items
}

struct Collector<'a> {
    file: &'a str,
    items: &'a mut Vec<Item>,
}

impl Collector<'_> {
    fn push(
        &mut self,
        label: String,
        name: &str,
        keys: Option<BTreeSet<String>>,
        tokens: TokenStream,
        body: Body,
    ) {
        let words = tokens::words(&tokens);
        let (file, name) = (self.file.to_owned(), name.to_owned());
        self.items.push(Item { file, label, keys, name, tokens, words, body });
    }

    fn item(&mut self, item: &syn::Item) {
        let whole = item.to_token_stream();
        // What stands in a function's body may belong to a type that others use.
        let mut keys = Names::of(|names| names.visit_item(item));
        let mut push = |kind: &str, ident: &syn::Ident, body| {
            let name = tokens::plain(ident);
            keys.insert(name.clone());
            self.push(
                format!("{kind} {name}"),
                &name,
                Some(std::mem::take(&mut keys)),
                whole.clone(),
                body,
            );
        };
        match item {
            syn::Item::Fn(item) => {
                let body = function(&item.attrs, quote!(), &item.sig, &item.block);
                push("fn", &item.sig.ident, body);
            }
            syn::Item::Const(item) => {
                push("const", &item.ident, value(&item.ty, &item.expr));
            }
            syn::Item::Static(item) => {
                push("static", &item.ident, value(&item.ty, &item.expr));
            }
            syn::Item::Struct(item) => push("struct", &item.ident, Body::None),
            syn::Item::Enum(item) => push("enum", &item.ident, Body::None),
            syn::Item::Union(item) => push("union", &item.ident, Body::None),
            syn::Item::Type(item) => push("type", &item.ident, Body::None),
            syn::Item::Trait(item) => push("trait", &item.ident, Body::None),
            syn::Item::Macro(syn::ItemMacro { ident: Some(ident), .. }) => {
                push("macro", ident, Body::None);
            }
            syn::Item::Impl(item) => self.implementation(item),
            syn::Item::Use(item) => self.import(&item.tree, &mut Vec::new()),
            syn::Item::Mod(module) => match &module.content {
                Some((_, items)) => items.iter().for_each(|item| self.item(item)),
                None if module.attrs.iter().any(|attr| attr.path().is_ident("path")) => {
                    self.push(format!("mod {}", module.ident), "", None, whole, Body::None);
                }
                None => {}
            },
            // It may define anything.
            _ => self.push(format!("a macro in {}", self.file), "", None, whole, Body::None),
        }
    }

    /// Its functions one by one, and all else of it together.
    fn implementation(&mut self, item: &syn::ItemImpl) {
        let mut rest = item.clone();
        let (functions, others) =
            item.items.iter().cloned().partition(|item| matches!(item, syn::ImplItem::Fn(_)));
        let functions: Vec<syn::ImplItem> = functions;
        rest.items = others;
        let header = syn::ItemImpl { items: Vec::new(), ..item.clone() }.to_token_stream();
        let mut shared = tokens::words(&item.self_ty.to_token_stream());
        let mut title = item.self_ty.to_token_stream().to_string();
        if let Some(of) = item.trait_.as_ref().and_then(|(path, _)| path.segments.last()) {
            let name = tokens::plain(&of.ident);
            title = format!("{name} for {title}");
            shared.insert(name);
        }
        let mut keys = Names::of(|names| names.visit_item_impl(&rest));
        keys.extend(shared.iter().cloned());
        let opaque = |item: &syn::ImplItem| {
            matches!(item, syn::ImplItem::Macro(_) | syn::ImplItem::Verbatim(_))
        };
        let rest_keys = (!rest.items.iter().any(opaque)).then_some(keys);
        self.push(format!("impl {title}"), "", rest_keys, rest.to_token_stream(), Body::None);
        for function_item in functions {
            let syn::ImplItem::Fn(item) = &function_item else { continue };
            let mut keys = Names::of(|names| names.visit_impl_item(&function_item));
            keys.extend(shared.iter().cloned());
            let body = function(&item.attrs, header.clone(), &item.sig, &item.block);
            let name = tokens::plain(&item.sig.ident);
            let whole = quote!(#header #item);
            self.push(format!("fn {name} of {title}"), &name, Some(keys), whole, body);
        }
    }

    /// One for each name that it brings, so that another name in the same line is another matter.
    fn import(&mut self, tree: &syn::UseTree, path: &mut Vec<String>) {
        let (name, original) = match tree {
            syn::UseTree::Path(step) => {
                path.push(tokens::plain(&step.ident));
                self.import(&step.tree, path);
                path.pop();
                return;
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, path));
                return;
            }
            syn::UseTree::Name(name) => (tokens::plain(&name.ident), tokens::plain(&name.ident)),
            syn::UseTree::Rename(name) => (tokens::plain(&name.rename), tokens::plain(&name.ident)),
            // What it brings is found by its own name where it is in the crate.
            syn::UseTree::Glob(_) => (String::new(), String::new()),
        };
        let (mut name, mut original) = (name, original);
        for word in [&mut name, &mut original] {
            if word == "self" {
                *word = path.last().cloned().unwrap_or_default();
            }
        }
        let from = path.join("::");
        let keys = (!name.is_empty() && name != "_").then(|| BTreeSet::from([name.clone()]));
        let label = if name.is_empty() { format!("use {from}::*") } else { format!("use {name}") };
        let text = format!("{from}::{original} as {name}");
        self.push(label, &name, keys, quote!(#text), Body::None);
        if let Some(item) = self.items.last_mut() {
            item.words = BTreeSet::from([original]);
        }
    }
}

fn function(
    attrs: &[syn::Attribute],
    around: TokenStream,
    sig: &syn::Signature,
    block: &syn::Block,
) -> Body {
    // Its name counts, but as an identifier it would reach all of the function.
    let name = tokens::plain(&sig.ident);
    let mut sig = sig.clone();
    sig.ident = syn::Ident::new("_name", sig.ident.span());
    let header = quote!(#(#attrs)* #around #sig #name);
    Body::Function { header, statements: block.stmts.clone() }
}

fn value(ty: &syn::Type, value: &syn::Expr) -> Body {
    Body::Value { ty: Box::new(ty.clone()), value: Box::new(value.clone()) }
}

/// The names that an item defines, at any depth.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn of(visit: impl FnOnce(&mut Self)) -> BTreeSet<String> {
        let mut names = Self::default();
        visit(&mut names);
        names.0
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_signature(&mut self, sig: &'ast syn::Signature) {
        self.0.insert(tokens::plain(&sig.ident));
        visit::visit_signature(self, sig);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.0.insert(tokens::plain(&item.ident));
        visit::visit_impl_item_const(self, item);
    }

    fn visit_impl_item_type(&mut self, item: &'ast syn::ImplItemType) {
        self.0.insert(tokens::plain(&item.ident));
        visit::visit_impl_item_type(self, item);
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.0.insert(tokens::plain(&item.ident));
        visit::visit_trait_item_const(self, item);
    }

    fn visit_variant(&mut self, item: &'ast syn::Variant) {
        self.0.insert(tokens::plain(&item.ident));
        visit::visit_variant(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        // One that stands in a function's body.
        self.0.extend(tokens::words(&item.self_ty.to_token_stream()));
        if let Some((path, _)) = &item.trait_ {
            self.0.extend(path.segments.last().map(|last| tokens::plain(&last.ident)));
        }
        visit::visit_item_impl(self, item);
    }
}
