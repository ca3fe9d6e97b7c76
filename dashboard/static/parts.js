// Small pieces that every page uses.

import { html, useState } from "./vendor/htm-preact-standalone.mjs";
import { clock, duration, MISSING, utc } from "./format.js";
import { live, nowUs, old, pageAge, store, trackerAge, trackerUnheard } from "./store.js";

const SPACES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Text from elsewhere: without control characters, cut, and kept apart from the direction of its neighbours. */
export function Said({ text, max = 300 }) {
  const clean = String(text ?? "").replace(SPACES, "");
  if (!clean) return null;
  if (clean.length <= max) return html`<bdi>${clean}</bdi>`;
  return html`<details class="said"><summary><bdi>${clean.slice(0, max)}…</bdi></summary><bdi>${clean}</bdi></details>`;
}

/** A status with its shape. */
export function Badge({ status, label }) {
  const look = store.statuses.get(status);
  const then = status === "OK" && old() ? "OK then" : label || status;
  return html`<span class=${`badge w-${status}`} title=${look?.means}><span aria-hidden="true">${look?.shape.trim() || " "}</span> ${then}</span>`;
}

/** How long ago, counted on; the moment itself on hover. */
export function Ago({ us, ago = true }) {
  if (!us) return html`<span title="not known">${MISSING}</span>`;
  return html`<time datetime=${utc(us)} title=${`${clock(us, nowUs())} here, ${utc(us)}`}>${duration((nowUs() - us) / 1e6)}${ago ? " ago" : ""}</time>`;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // plain http from another machine has no clipboard
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** A button that copies, and says so. */
export function Copy({ text, label = "copy", name }) {
  const [done, setDone] = useState(false);
  const act = async () => { await copy(text); setDone(true); setTimeout(() => setDone(false), 1500); };
  return html`<button type="button" class="copy" aria-label=${name || `copy ${text}`} onClick=${act}>${done ? "copied" : label}</button>`;
}

/** What to type next. */
export function Command({ text }) {
  return text ? html`<span class="command"><code data-command>${text}</code><${Copy} text=${text} /></span>` : null;
}

const SPOKEN = { live: "live", wait: "waiting for news", old: "this is how things were" };

function state() {
  if (!store.loaded) return ["◌", store.error ? `can't load: ${store.error}` : "loading", "wait"];
  const age = trackerAge();
  if (!live()) return ["◌", `reconnecting, ${duration(pageAge())} old`, "wait"];
  if (age !== null && age > 90) return ["▲", `OLD: the tracker last reported ${duration(age)} ago`, "old"];
  if (trackerUnheard()) return ["◐", `no tracker was heard for ${duration(trackerUnheard())}`, "wait"];
  if (store.fresh.kafka !== "live") return ["◐", `Kafka is ${store.fresh.kafka}; shown from ${store.fresh.source}`, "wait"];
  return ["●", `live, ${duration(pageAge())} old`, "live"];
}

/** The head of every page: where one is, and how old what one sees is. */
export function Header({ title }) {
  const [shape, text, kind] = state();
  const fresh = store.fresh;
  const at = (seconds) => (seconds === null || seconds === undefined ? MISSING : duration(seconds + (fresh ? (performance.now() - store.heardAt) / 1000 : 0)));
  const link = (href, label) => html`<a href=${href} aria-current=${location.pathname === href ? "page" : undefined}>${label}</a>`;
  return html`<header>
    <nav aria-label="pages"><span class="brand">Modelcast</span>${link("/", "now")}${link("/regions", "regions")}${link("/kafka", "kafka")}${link("/history", "history")}${link("/refused", "refused")}</nav>
    <div class="fresh">
      <p class=${`state ${kind}`}><span aria-hidden="true">${shape}</span> ${text}</p><p class="unseen" role="status">${SPOKEN[kind]}</p>
      ${fresh && html`<p class="ages">page ${duration(pageAge())} · Kafka ${at(fresh.kafka_age_seconds)} · Redis ${fresh.redis === "away" ? "away" : at(fresh.redis_age_seconds)} · tracker ${duration(trackerAge())}</p>`}
    </div>
    <h1 class=${title ? "" : "unseen"}>${title || "Now"}</h1>
  </header>`;
}

/** What is not shown, and that the page is old. */
export function Banner() {
  const lines = [...(store.fresh?.missing ?? [])];
  const age = trackerAge();
  if (live() && age !== null && age > 90) lines.unshift(`OLD: the tracker last reported ${duration(age)} ago. This is how things were then. Is it running? modelcast run tracker`);
  if (store.loaded && !live()) lines.unshift(`The dashboard does not answer since ${duration(pageAge())}. This is how things were then.`);
  return lines.length ? html`<aside class="banner" aria-label="what is missing">${lines.map((line) => html`<p><${Said} text=${line} /></p>`)}</aside>` : null;
}

/** Rows that are too many are shown in parts. */
export function useMore(step) {
  const [shown, setShown] = useState(step);
  const more = (total) => (total > shown ? html`<p><button type="button" onClick=${() => setShown(shown + 4 * step)}>show more (${total - shown} left)</button></p>` : null);
  return [shown, more];
}

/** The last figures as a line; the newest one stands beside it in words. */
export function Trend({ values }) {
  const top = Math.max(...values, 1);
  if (values.length < 2) return null;
  const points = values.map((value, place) => `${(60 * place) / (values.length - 1)},${15 - (14 * value) / top}`).join(" ");
  return html`<svg class="trend" width="60" height="16" viewBox="0 0 60 16" aria-hidden="true"><polyline points=${points} /></svg>`;
}
