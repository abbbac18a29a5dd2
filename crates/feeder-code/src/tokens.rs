//! The text of code without comments and layout, and the words in it.

use std::collections::BTreeSet;

use feeder_store::Digest;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// The digest of all tokens but doc comments. No two sequences of tokens have the same.
pub(crate) fn digest(tokens: &TokenStream) -> Digest {
    let mut text = String::new();
    write(tokens, &mut text);
    Digest::of(text)
}

fn write(tokens: &TokenStream, text: &mut String) {
    for tree in without_docs(tokens) {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => ('<', '>'),
                };
                text.push(open);
                write(&group.stream(), text);
                text.push(close);
            }
            TokenTree::Ident(ident) => text.push_str(&format!("i{ident} ")),
            TokenTree::Punct(punct) => {
                text.push(if punct.spacing() == Spacing::Joint { 'j' } else { 'p' });
                text.push(punct.as_char());
            }
            TokenTree::Literal(literal) => {
                let literal = literal.to_string();
                text.push_str(&format!("l{}:{literal}", literal.len()));
            }
        }
    }
}

/// `#[doc = "..."]` is what a doc comment becomes.
fn without_docs(tokens: &TokenStream) -> Vec<TokenTree> {
    let mut out: Vec<TokenTree> = Vec::new();
    let is =
        |tree: Option<&TokenTree>, c| matches!(tree, Some(TokenTree::Punct(p)) if p.as_char() == c);
    for tree in tokens.clone() {
        if is_doc(&tree) {
            let bang = usize::from(is(out.last(), '!'));
            if is(out.len().checked_sub(1 + bang).and_then(|at| out.get(at)), '#') {
                out.truncate(out.len() - 1 - bang);
                continue;
            }
        }
        out.push(tree);
    }
    out
}

fn is_doc(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else { return false };
    let inner: Vec<_> = group.stream().into_iter().take(4).collect();
    group.delimiter() == Delimiter::Bracket
        && matches!(
            inner.as_slice(),
            [TokenTree::Ident(name), TokenTree::Punct(is), TokenTree::Literal(_)]
                if name == "doc" && is.as_char() == '='
        )
}

/// Every identifier, also those that a format string holds: `"{NAME}"`.
pub(crate) fn words(tokens: &TokenStream) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    collect_words(tokens, &mut words);
    words
}

fn collect_words(tokens: &TokenStream, words: &mut BTreeSet<String>) {
    for tree in without_docs(tokens) {
        match tree {
            TokenTree::Group(group) => collect_words(&group.stream(), words),
            TokenTree::Ident(ident) => {
                words.insert(plain(&ident));
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                // Also widths and precisions: `{:>width$}`.
                let word = |c: char| !(c.is_alphanumeric() || c == '_');
                for placeholder in text.split('{').skip(1) {
                    let inner = placeholder.split('}').next().unwrap_or_default();
                    words.extend(inner.split(word).filter(|w| !w.is_empty()).map(str::to_owned));
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

/// An identifier without `r#`.
pub(crate) fn plain(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

/// The arguments of `include_str!` and its kin: a path, or none where it is not a plain text.
pub(crate) fn includes(tokens: &TokenStream) -> Vec<Option<String>> {
    let mut found = Vec::new();
    let trees: Vec<_> = tokens.clone().into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        if let TokenTree::Group(group) = tree {
            found.extend(includes(&group.stream()));
            let macro_name = at.checked_sub(2).and_then(|before| trees.get(before..at));
            if let Some([TokenTree::Ident(name), TokenTree::Punct(bang)]) = macro_name
                && bang.as_char() == '!'
                && ["include", "include_str", "include_bytes"].iter().any(|known| name == known)
            {
                found
                    .push(syn::parse2::<syn::LitStr>(group.stream()).ok().map(|path| path.value()));
            }
        }
    }
    found
}
