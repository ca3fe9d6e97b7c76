// What changed just before: entries and the beginnings of troubles on one axis of time. The lists say the same.

import { html } from "./vendor/htm-preact-standalone.mjs";
import { clock, duration } from "./format.js";
import { nowUs, store } from "./store.js";

const SPANS = [600, 1800, 3600, 6 * 3600, 86400];
const MARKS_MAX = 60;

/** The shortest span, in seconds, that shows the newest few of what happened. */
function spanOf(times, now) {
  const newest = [...times].sort((a, b) => b - a).slice(0, 5);
  const oldest = (now - Math.min(now, ...newest)) / 1e6;
  return SPANS.find((span) => span >= oldest) ?? SPANS.at(-1);
}

export function Strip() {
  const now = nowUs();
  const troubles = store.order.map((id) => store.problems.get(id)).filter((each) => each?.since_us).slice(0, MARKS_MAX);
  const entries = store.entries.slice(0, MARKS_MAX);
  if (!entries.length) return null;
  const span = spanOf([...entries.map((each) => each.at_us), ...troubles.slice(0, 3).map((each) => each.since_us)], now);
  const left = (us) => `${100 - (100 * (now - us)) / 1e6 / span}%`;
  const inside = (us) => us > now - span * 1e6 && us <= now;
  const steps = [1, 0.75, 0.5, 0.25].map((share) => now - share * span * 1e6);
  return html`<div class="strip" aria-hidden="true">
    ${steps.map((us) => html`<span class="when" style=${{ left: left(us) }}>${clock(us, now).slice(-8, -3)}</span>`)}<span class="when last">now</span>
    ${troubles.filter((each) => inside(each.since_us)).map((each) => html`<span class=${`onset w-${each.status}`} style=${{ left: left(each.since_us) }} title=${`${each.status} ${each.title}, for ${duration((now - each.since_us) / 1e6)}`}>${store.statuses.get(each.status)?.shape}</span>`)}
    ${entries.filter((each) => inside(each.at_us)).map((each) => html`<span class="entry" style=${{ left: left(each.at_us) }} title=${`${each.kind.toLowerCase()} ${each.model}${each.version ? `/${each.version}` : ""}, ${duration((now - each.at_us) / 1e6)} ago`}>▲</span>`)}
  </div>`;
}
