//! Just enough SVG: shapes with a class, whose colours the page's style decides, and text that is escaped.

use std::fmt::{Display, Write};

/// The width of a character of the page's font at the size of drawings, in their units; rather more than less.
const CHARACTER: f64 = 6.6;

/// A drawing under construction. Coordinates are in CSS pixels at its full size.
#[derive(Default)]
pub(super) struct Svg {
    body: String,
}

/// Where a text lies relative to its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// A rectangle; `title` is what a pointer over it shows.
    pub fn rect(&mut self, class: &str, [x, y, w, h]: [f64; 4], title: &str) {
        let (w, title) = (w.max(1.0), title_of(title));
        self.push(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="2">{title}</rect>"#
        ));
    }

    /// A line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// A horizontal line with a head at its second end.
    pub fn arrow(&mut self, class: &str, from: f64, to: f64, y: f64, title: &str) {
        let back = if to > from { -7.0 } else { 7.0 };
        let title = title_of(title);
        self.push(format_args!(
            r#"<g class="{class}">{title}<line x1="{from:.1}" y1="{y:.1}" x2="{to:.1}" y2="{y:.1}"/><path d="M{to:.1} {y:.1} l{back:.1} -4 v8 z"/></g>"#
        ));
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64, title: &str) {
        let title = title_of(title);
        self.push(format_args!(
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}">{title}</circle>"#
        ));
    }

    /// A line of text.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// What `draw` draws, as a link to a place of the page.
    pub fn link(&mut self, to: &str, label: &str, draw: impl FnOnce(&mut Self)) {
        let (to, label) = (escape(to), escape(label));
        self.push(format_args!(r##"<a href="#{to}" aria-label="{label}">"##));
        draw(self);
        self.push(format_args!("</a>"));
    }

    /// The drawing as an element, with what it shows for those who do not see it.
    pub fn finish(self, width: f64, height: f64, label: &str) -> String {
        let (label, body) = (escape(label), self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"group\" aria-label=\"{label}\">\n{body}</svg>"
        )
    }

    fn push(&mut self, element: impl Display) {
        // Writing to a string does not fail.
        let _infallible = writeln!(self.body, "{element}");
    }
}

fn title_of(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) }
}

/// Text as it may stand in an element or an attribute. Control characters, which XML forbids, become visible.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The text, cut so that it fits into a width; empty when not even a few characters do.
pub(super) fn fit(text: &str, width: f64) -> String {
    let room = (width / CHARACTER) as usize;
    let count = text.chars().count();
    match room {
        _ if count <= room => text.to_owned(),
        0..4 => String::new(),
        _ => text.chars().take(room - 1).collect::<String>() + "…",
    }
}
