//! Filling in templates.

use minijinja::{Environment, UndefinedBehavior, Value};

/// Fills in a module's template. Values are checked by [`feeder_cluster`] to need no quoting in shell.
///
/// # Panics
/// When the template is malformed or names a variable that `values` lacks: both are bugs, and tests render every template.
pub(crate) fn render(template: &str, values: &Value) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    match environment.render_str(template, values) {
        // The engine drops the last line's end, which files want.
        Ok(text) => text.trim_end().to_owned() + "\n",
        Err(error) => panic!("a template of ours is wrong: {error:#}"),
    }
}
