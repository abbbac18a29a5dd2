//! Calls of `step`, and what decides about each.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    visit::{self, Visit},
    visit_mut::{self, VisitMut},
};

use crate::{
    Parts, Scenarios, Step,
    items::{Body, Item},
    reach::Reach,
    tokens,
};

pub(crate) fn scenarios(items: &[Item], reach: &Reach<'_>) -> Scenarios {
    // Where somebody has a `step` of his own, nobody knows which is which, and bodies are counted in place.
    let blank = !items.iter().any(|item| item.keys.iter().flatten().any(|key| key == "step"));
    let homes: Vec<_> = items.iter().map(|item| Home::new(item, blank)).collect();
    let mut found = Scenarios::default();
    for (at, home) in homes.iter().enumerate() {
        for (number, call) in home.calls.iter().enumerate() {
            found.steps.push(step(&homes, at, number + 1, call, reach));
        }
        for (name, run) in &home.scenarios {
            let mut parts = Parts::new();
            reach.count("the scenario", &home.item.file, run, &mut parts);
            reach.add(&tokens::words(run), &BTreeSet::new(), &mut parts);
            found.scenarios.insert(name.clone(), parts);
        }
    }
    found
}

/// An item, as something in which steps or calls of them stand.
struct Home<'a> {
    item: &'a Item,
    /// What always counts, then the statements in order, with the bodies of steps taken out.
    header: TokenStream,
    statements: Vec<TokenStream>,
    /// Of each statement.
    words: Vec<BTreeSet<String>>,
    calls: Vec<Call>,
    /// Whether a name in it may lead on to whatever mentions it.
    leads_on: bool,
    /// Scenarios that it defines: name, and the function.
    scenarios: Vec<(String, TokenStream)>,
}

struct Call {
    at: Span,
    statement: usize,
    literal: Option<String>,
    arguments: TokenStream,
}

impl<'a> Home<'a> {
    fn new(item: &'a Item, blank: bool) -> Self {
        let mut calls = Calls::default();
        let mut scenarios = ScenarioValues::default();
        let mut leads_on = true;
        let (header, statements) = match &item.body {
            Body::Function { header, statements } => {
                for (at, statement) in statements.iter().enumerate() {
                    calls.statement = at;
                    calls.visit_stmt(statement);
                }
                let mut statements = statements.clone();
                if blank {
                    statements.iter_mut().for_each(|statement| Blank.visit_stmt_mut(statement));
                }
                let statements = statements.iter().map(ToTokens::to_token_stream).collect();
                (header.clone(), statements)
            }
            Body::Value { ty, value } => {
                calls.visit_expr(value);
                scenarios.visit_expr(value);
                let mut value = value.clone();
                if blank {
                    Blank.visit_expr_mut(&mut value);
                }
                if tokens::words(&ty.to_token_stream()).contains("Scenario") && !scenarios.computes
                {
                    // The engine calls what `run` says, and nothing else of a scenario leads to its steps.
                    leads_on = false;
                    let runs = scenarios.found.iter().map(|(_, run)| run.clone());
                    (quote!(), runs.collect())
                } else {
                    (quote!(), vec![quote!(#ty = #value)])
                }
            }
            Body::None => (quote!(), vec![item.tokens.clone()]),
        };
        let words = match &item.body {
            // An import mentions what it renames.
            Body::None => vec![item.words.clone()],
            _ => statements.iter().map(tokens::words).collect(),
        };
        let (calls, scenarios) = (calls.found, scenarios.found);
        Self { item, header, statements, words, calls, leads_on, scenarios }
    }

    /// Everything up to a statement and with it.
    fn up_to(&self, statement: usize) -> TokenStream {
        let (header, before) = (&self.header, self.statements.iter().take(statement + 1));
        quote!(#header #(#before)*)
    }
}

fn step(homes: &[Home<'_>], at: usize, number: usize, call: &Call, reach: &Reach<'_>) -> Step {
    let home = &homes[at];
    let file = &home.item.file;
    let mut parts = Parts::new();
    reach.count("the step's own code", file, &call.arguments, &mut parts);
    reach.add(&tokens::words(&call.arguments), &BTreeSet::new(), &mut parts);

    let around = around(homes, at, call.statement);
    let known = around.keys().copied().collect();
    for (&index, &statement) in &around {
        let home = &homes[index];
        let text = home.up_to(statement);
        let label = format!("{} up to the step", home.item.label);
        reach.count(&label, &home.item.file, &text, &mut parts);
        reach.add(&tokens::words(&text), &known, &mut parts);
    }
    let start = call.at.start();
    Step {
        file: file.clone(),
        line: u32::try_from(start.line).unwrap_or_default(),
        column: u32::try_from(start.column + 1).unwrap_or_default(),
        site: format!("{file} {} {number}", home.item.label),
        literal: call.literal.clone(),
        parts,
    }
}

/// The function of a step and everything that may have called it: up to which statement each has come at the latest.
fn around(homes: &[Home<'_>], at: usize, statement: usize) -> BTreeMap<usize, usize> {
    let mut around = BTreeMap::from([(at, statement)]);
    let mut open = vec![at];
    while let Some(callee) = open.pop() {
        if !homes[callee].leads_on {
            continue;
        }
        let names = names(homes[callee].item);
        for (caller, home) in homes.iter().enumerate() {
            let mentions =
                |words: &BTreeSet<String>| names.iter().any(|name| words.contains(*name));
            let Some(last) = home.words.iter().rposition(mentions) else { continue };
            // What mentions only itself adds nothing, unless it does so further down.
            let before = around.insert(caller, last.max(around.get(&caller).copied().unwrap_or(0)));
            if before.is_none() {
                open.push(caller);
            }
        }
    }
    around
}

/// The names by which others call it.
fn names(item: &Item) -> Vec<&str> {
    match (&item.body, item.name.as_str()) {
        (Body::None, "") => item.keys.iter().flatten().map(String::as_str).collect(),
        (_, name) => vec![name],
    }
}

/// Finds the calls in an item.
#[derive(Default)]
struct Calls {
    statement: usize,
    found: Vec<Call>,
}

impl Calls {
    fn add<'e>(&mut self, at: Span, arguments: impl Iterator<Item = &'e syn::Expr> + Clone) {
        let literal = arguments.clone().next().and_then(|name| match name {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        });
        let arguments = quote!(#(#arguments),*);
        self.found.push(Call { at, statement: self.statement, literal, arguments });
    }
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "step" && call.args.len() == 2 {
            self.add(call.method.span(), call.args.iter());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if is_path_to_step(call) {
            self.add(syn::spanned::Spanned::span(call), call.args.iter().skip(1));
        }
        visit::visit_expr_call(self, call);
    }
}

/// `Steps::step(lab, "name", body)`.
fn is_path_to_step(call: &syn::ExprCall) -> bool {
    let syn::Expr::Path(path) = &*call.func else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "step") && call.args.len() == 3
}

/// Takes the bodies out of steps: they are in the chain by themselves.
struct Blank;

impl VisitMut for Blank {
    fn visit_expr_method_call_mut(&mut self, call: &mut syn::ExprMethodCall) {
        if call.method == "step" && call.args.len() == 2 {
            blank(call.args.last_mut());
        }
        visit_mut::visit_expr_method_call_mut(self, call);
    }

    fn visit_expr_call_mut(&mut self, call: &mut syn::ExprCall) {
        if is_path_to_step(call) {
            blank(call.args.last_mut());
        }
        visit_mut::visit_expr_call_mut(self, call);
    }
}

fn blank(body: Option<&mut syn::Expr>) {
    if let Some(syn::Expr::Closure(closure)) = body {
        *closure.body = syn::parse_quote!({});
    }
}

/// Finds `Scenario { name: "...", run: ... }`, and whether a constant does anything else.
#[derive(Default)]
struct ScenarioValues {
    found: Vec<(String, TokenStream)>,
    computes: bool,
}

impl<'ast> Visit<'ast> for ScenarioValues {
    fn visit_expr_struct(&mut self, value: &'ast syn::ExprStruct) {
        if value.path.segments.last().is_none_or(|last| last.ident != "Scenario") {
            return visit::visit_expr_struct(self, value);
        }
        let field = |wanted: &str| {
            let is =
                |member: &syn::Member| matches!(member, syn::Member::Named(name) if name == wanted);
            value.fields.iter().find(|field| is(&field.member)).map(|field| &field.expr)
        };
        match (field("name"), field("run")) {
            (Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. })), Some(run)) => {
                self.found.push((name.value(), run.to_token_stream()));
            }
            _ => self.computes = true,
        }
    }

    fn visit_expr_call(&mut self, _: &'ast syn::ExprCall) {
        self.computes = true;
    }

    fn visit_expr_method_call(&mut self, _: &'ast syn::ExprMethodCall) {
        self.computes = true;
    }

    fn visit_expr_block(&mut self, _: &'ast syn::ExprBlock) {
        self.computes = true;
    }

    fn visit_macro(&mut self, _: &'ast syn::Macro) {
        self.computes = true;
    }
}
