// How far behind a model was in the last six hours: its worst and its median region, on a scale of seconds to days.

import { html } from "./vendor/htm-preact-standalone.mjs";
import { clock, duration, plural } from "./format.js";
import { useAsked } from "./models.js";
import { nowUs, store } from "./store.js";

const WIDTH = 1000, HEIGHT = 120, MINUTE_US = 60e6;
const LINES = [1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400];

/** Runs of points that follow each other; where nothing is known there is a gap, not a line. */
function runs(points, of) {
  const found = [[]];
  for (const point of points) {
    if (of(point) === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((run) => run.length);
}

function words(points) {
  const known = points.filter((point) => point.worst_seconds !== null);
  if (!known.length) return "Nothing is known of the last six hours: no tracker recorded them.";
  const last = known.at(-1), top = known.reduce((a, b) => (b.worst_seconds > a.worst_seconds ? b : a));
  const then = `at ${clock(last.at_us, nowUs())}`;
  const now = last.worst_seconds ? `${then} ${last.worst_region} was ${duration(last.worst_seconds)} behind, the median region ${duration(last.median_seconds)}` : `${then} no region was behind`;
  const most = top.worst_seconds ? `; at most ${duration(top.worst_seconds)}, ${top.worst_region} at ${clock(top.at_us, nowUs())}` : "";
  return `${now}${most}${last.unknown ? `; of ${plural(last.unknown, "region")} it is not known` : ""}.`;
}

export function Lags({ model }) {
  const toUs = store.loaded ? Math.floor(nowUs() / MINUTE_US) * MINUTE_US : 0;
  const { body, error } = useAsked(toUs ? `models/${model}/lags?to=${toUs}` : "");
  const head = html`<h2>How far behind, last six hours</h2>`;
  if (!body) return html`<section aria-label="lag">${head}<p class="notes">${error ?? "Asking the archive…"}</p></section>`;
  const { points, from_us: from, to_us: to } = body;
  const top = 1.3 * Math.max(60, ...points.map((point) => point.worst_seconds ?? 0));
  const x = (us) => (WIDTH * (us - from)) / (to - from), y = (seconds) => 2 + (HEIGHT - 4) * (1 - Math.log(Math.max(1, seconds)) / Math.log(top));
  const line = (kind, of) => runs(points, of).map((run) => html`<polyline class=${kind} points=${run.map((point) => `${x(point.at_us).toFixed(1)},${y(of(point)).toFixed(1)}`).join(" ")} />`);
  const known = points.some((point) => point.worst_seconds !== null);
  return html`<section aria-label="lag">${head}<p class="notes">${words(points)}</p>${known && html`<div class="lags" aria-hidden="true">
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
        ${LINES.filter((each) => each < top).map((each) => html`<line class="grid" x1="0" x2=${WIDTH} y1=${y(each)} y2=${y(each)} />`)}
        ${body.entries.map((entry) => html`<line class="mark" x1=${x(entry.at_us)} x2=${x(entry.at_us)} y1="0" y2=${HEIGHT} />`)}
        ${line("median", (point) => point.median_seconds)}${line("worst", (point) => point.worst_seconds)}</svg>
      ${LINES.filter((each) => each < top && each > top / 20000).map((each) => html`<span class="scale" style=${{ top: `${(100 * y(each)) / HEIGHT}%` }}>${duration(each)}</span>`)}
      ${body.entries.map((entry) => html`<span class="entry" style=${{ left: `${(100 * (entry.at_us - from)) / (to - from)}%` }} title=${`${entry.kind.toLowerCase()} ${entry.version ?? ""}, ${clock(entry.at_us, nowUs())}`}>▲</span>`)}
    </div><p class="ends" aria-hidden="true"><time>${clock(from, nowUs())}</time><span class="legend"><span><i class="worst"></i> worst region</span><span><i class="median"></i> median region</span><span>▲ log entry</span></span><time>${clock(to, nowUs())}</time></p>`}</section>`;
}
