// SPDX-License-Identifier: GPL-3.0-or-later
// What is wrong with the page, a line for each: read by panel_browser_test.go.
(() => {
  const faults = [];
  const name = (e) => e.outerHTML.slice(0, 80);
  const seen = (e) => e.checkVisibility() && e.getBoundingClientRect().right > 0;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    faults.push(`it is ${root.scrollWidth} pixels wide`);
  }
  for (const e of document.querySelectorAll("main *")) {
    const box = e.getBoundingClientRect();
    if (seen(e) && box.right > root.clientWidth + 1) faults.push(`beyond the edge: ${name(e)}`);
  }

  if (!root.lang) faults.push("no language");
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
    const next = Number(h.tagName[1]);
    if (next > level + 1) faults.push(`a level is left out before ${name(h)}`);
    level = next;
  }
  for (const landmark of ["header", "nav", "main"]) {
    if (!document.querySelector(landmark)) faults.push(`no ${landmark}`);
  }

  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (ids.has(e.id)) faults.push(`two elements are called ${e.id}`);
    ids.add(e.id);
  }
  for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
    for (const attribute of ["aria-describedby", "aria-labelledby"]) {
      const id = e.getAttribute(attribute);
      if (id && id.split(" ").some((one) => !document.getElementById(one))) faults.push(`${attribute}="${id}" leads nowhere`);
    }
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!e.labels.length) faults.push(`no label: ${name(e)}`);
  }
  for (const e of document.querySelectorAll("a, button, summary")) {
    if (!(e.getAttribute("aria-label") || e.textContent).trim()) faults.push(`no name: ${name(e)}`);
    const box = e.getBoundingClientRect();
    if (e.matches("button, .button") && seen(e) && box.height < 24) faults.push(`too small for a finger: ${name(e)}`);
  }

  // Contrast of text with what is behind it: 4.5 at least (WCAG 2, AA).
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (color) => {
    const [r, g, b] = [...rgb(color)].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (rgb(color)[3] === 255) return color;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "black" : "white";
  };
  for (const e of document.querySelectorAll("body *")) {
    const hasText = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!hasText || !seen(e)) continue;
    const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(1)}: ${name(e)}`);
  }
  return faults;
})();
