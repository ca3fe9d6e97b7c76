// Which page, and the keys that work on all of them.

import { html, render, useEffect, useState } from "./vendor/htm-preact-standalone.mjs";
import { Kafka } from "./kafka.js";
import { History } from "./history.js";
import { Model } from "./model.js";
import { Now } from "./now.js";
import { Banner, copy, Header } from "./parts.js";
import { Refused, Region, Regions } from "./region.js";
import { old, start, watch } from "./store.js";

function page() {
  const [, kind, name] = location.pathname.split("/").map(decodeURIComponent);
  if (kind === "models" && name) return [name, html`<${Model} key=${name} name=${name} />`];
  if (kind === "regions" && name) return [name, html`<${Region} key=${name} name=${name} />`];
  if (kind === "regions") return ["Regions", html`<${Regions} />`];
  if (kind === "kafka") return ["Kafka", html`<${Kafka} />`];
  if (kind === "history") return ["History", html`<${History} key=${new URLSearchParams(location.search).get("model")} />`];
  if (kind === "refused") return ["Refused versions", html`<${Refused} />`];
  return ["", html`<${Now} />`];
}

function go(path) {
  history.pushState(null, "", path);
  scrollTo(0, 0);
  dispatchEvent(new Event("popstate"));
}

function App() {
  const [, again] = useState(0);
  useEffect(() => {
    const draw = () => again((count) => count + 1);
    const stop = watch(draw);
    addEventListener("popstate", draw);
    return () => { stop(); removeEventListener("popstate", draw); };
  }, []);
  document.body.classList.toggle("old", old());
  const [title, content] = page();
  return html`<a class="skip" href="#main">to the content</a><${Header} title=${title} /><${Banner} /><main id="main" tabindex="-1">${content}</main>`;
}

function move(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
}

addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.origin !== location.origin || link.classList.contains("skip")) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("go", (event) => go(event.detail));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof Element && event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key === "Escape" && event.target instanceof HTMLInputElement) {
    event.target.value = "";
    event.target.dispatchEvent(new Event("input", { bubbles: true }));
    event.target.blur();
  }
  if (typing) return;
  if (event.key === "j") move(1);
  if (event.key === "k") move(-1);
  if (event.key === "c") {
    const command = document.activeElement?.closest(".row")?.querySelector("[data-command]");
    if (command) copy(command.textContent);
  }
  if (event.key === "/") {
    const find = document.querySelector("#find");
    if (find) { event.preventDefault(); find.focus(); }
  }
});

start();
render(html`<${App} />`, document.querySelector("#app"));
