"use strict";
{
  // The filter hides console lines without the text, and rows in which nothing is left.
  const filter = document.getElementById("filter");
  const matches = document.getElementById("matches");
  const rows = Array.from(document.querySelectorAll(".consoles tbody tr"), (row) => ({
    row,
    lines: Array.from(row.querySelectorAll("p"), (line) => ({ line, text: line.textContent.toLowerCase() })),
  }));
  const apply = () => {
    const wanted = filter.value.trim().toLowerCase();
    let count = 0;
    for (const { row, lines } of rows) {
      let left = 0;
      for (const { line, text } of lines) {
        line.hidden = !text.includes(wanted);
        left += line.hidden ? 0 : 1;
      }
      row.hidden = left === 0;
      count += left;
    }
    matches.value = wanted === "" ? "" : count === 1 ? "1 line" : `${count} lines`;
  };
  filter.addEventListener("input", apply);

  const steps = Array.from(document.querySelectorAll(".steps > li"));
  const go = (by) => {
    const here = steps.indexOf(document.activeElement);
    const next = here < 0 ? 0 : Math.min(Math.max(here + by, 0), steps.length - 1);
    steps[next]?.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target === filter) {
      if (event.key === "Escape") {
        filter.value = "";
        apply();
        filter.blur();
      }
      return;
    }
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "/") filter.focus();
    else return;
    event.preventDefault();
  });
}
