// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";

// Narrows the list below a search field down while one types; the button does
// the same on the server, for those without scripts and for links.
for (const form of document.querySelectorAll("form.search")) {
  const input = form.elements.q;
  const table = form.nextElementSibling;
  if (!table || !table.matches("table[data-narrow]")) continue;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}

// Text of one line grows with what is written.
for (const area of document.querySelectorAll("textarea.line")) {
  const fit = () => { area.rows = area.value.split("\n").length; };
  area.addEventListener("input", fit);
  fit();
}

// Another form of a value shows its fields at once; the button does the same.
for (const select of document.querySelectorAll("select[data-reload]")) {
  select.addEventListener("change", () => { select.parentElement.querySelector("button").click(); });
}
