// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";

// Asks for this page again and shows the parts of it that live, unless somebody is
// just using one of them.
let asking = null;
async function renew(address) {
  if (asking) asking.abort();
  const mine = asking = new AbortController();
  try {
    const answer = await fetch(address, { signal: mine.signal, headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = page.getElementById(part.id);
      const used = part.contains(document.activeElement) || part.querySelector("input:checked, .facts details[open]");
      if (next && !used && next.innerHTML !== part.innerHTML) part.replaceChildren(...next.childNodes);
    }
    addCopies();
  } catch (error) {
    if (error.name !== "AbortError" && !(error instanceof TypeError)) throw error;
  }
}

function later(wait, run) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(run, wait); };
}

// Finds while one types; the button does the same without a script.
for (const form of document.querySelectorAll("form.search")) {
  const find = () => {
    const address = "?" + new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", address);
    renew(address);
  };
  form.elements.q.addEventListener("input", later(200, find));
  for (const choice of form.querySelectorAll("select")) choice.addEventListener("change", find);
}

// What happens is shown as it happens, while the page is looked at.
if (document.querySelector("[data-live]")) {
  let stale = false;
  const show = later(300, () => {
    if (document.hidden) { stale = true; return; }
    stale = false;
    renew(location.href);
  });
  document.addEventListener("visibilitychange", () => { if (stale && !document.hidden) show(); });
  new EventSource("events?after=" + document.getElementById("content").dataset.event).addEventListener("message", show);
}

// A button to copy each connection value with.
function addCopies() {
  for (const value of document.querySelectorAll("#connection ~ dl.values dd:not(:has(.copy))")) {
    const button = document.createElement("button");
    const text = value.textContent;
    button.className = "copy";
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy " + value.previousElementSibling.textContent);
    button.addEventListener("click", async () => {
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
      } else {
        const area = document.createElement("textarea"); // without HTTPS
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.textContent = "Copied";
    });
    value.append(button);
  }
}
addCopies();

// Keys, outside of fields.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, textarea, select, dialog[open]")) return;
  const search = document.querySelector("form.search input[type=search]");
  if (event.key === "/" && search) search.focus();
  else if (event.key === "/") location.assign("instances");
  else if (event.key === "?") document.getElementById("keys").showModal();
  else return;
  event.preventDefault();
});

// The first fault of a form has the focus.
const fault = document.querySelector("main [aria-invalid], main .problem[role=alert]");
if (fault) fault.focus();

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
