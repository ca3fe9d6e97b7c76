// HISTORY: what each region served when, and how well that is known; a time is chosen by the slider.

import { html, useEffect, useState } from "./vendor/htm-preact-standalone.mjs";
import { clock, duration, number, plural, utc, version } from "./format.js";
import { Waterfall } from "./model.js";
import { useAsked } from "./models.js";
import { EntryList } from "./now.js";
import { Ago, Badge, Command, Said, useMore } from "./parts.js";
import { nowUs, store } from "./store.js";

const SPANS = [["1 h", 3600], ["6 h", 6 * 3600], ["1 d", 86400], ["7 d", 7 * 86400], ["30 d", 30 * 86400]];
const STEPS = 2000;
const MEANS = { CONFIRMED: "reports before and after agree", BETWEEN: "it changed between two reports", UNKNOWN: "not known" };

const text = (piece) => (piece.certainty === "BETWEEN" ? `${version(piece.version)} or ${version(piece.after)}` : piece.certainty === "UNKNOWN" ? "?" : version(piece.version));

function Timelines({ body, atUs }) {
  const [shown, more] = useMore(25);
  const span = body.to_us - body.from_us, left = (us) => `${(100 * (us - body.from_us)) / span}%`;
  const versions = [...new Set(body.timelines.flatMap((region) => region.intervals.map((piece) => piece.version)))].sort((a, b) => a - b);
  return html`<div class="lanes">
    ${body.timelines.slice(0, shown).map((region) => html`<div class="lane" key=${region.region}><a href=${`/regions/${region.region}`}>${region.region}</a>
      <span class="track" aria-hidden="true">${region.intervals.map((piece) => html`<span class=${`piece ${piece.certainty} v${versions.indexOf(piece.version) % 4}`}
        style=${{ left: left(piece.from_us), width: `${(100 * (piece.to_us - piece.from_us)) / span}%` }}
        title=${`${text(piece)}: ${MEANS[piece.certainty]}${piece.why ? `, ${piece.why}` : ""}, ${clock(piece.from_us, nowUs())} to ${clock(piece.to_us, nowUs())}`}>${(piece.to_us - piece.from_us) / span > 0.03 ? text(piece) : ""}</span>`)}
        <span class="mark" style=${{ left: left(atUs) }}></span></span></div>`)}
    ${more(body.timelines.length)}
    <p class="legend"><span><i class="piece CONFIRMED v0"></i> confirmed</span><span><i class="piece BETWEEN v0"></i> between two reports</span><span><i class="piece UNKNOWN"></i> not known: silent, no tracker, or not archived</span></p></div>`;
}

function how(served) {
  const at = (us) => clock(us, nowUs());
  if (served.certainty === "CONFIRMED") return `by reports since ${at(served.from_us)}`;
  if (served.certainty === "BETWEEN") return `it changed between ${at(served.from_us)} and ${at(served.until_us)}`;
  return `${served.why}${served.from_us ? ` from ${at(served.from_us)}` : ""}${served.until_us ? ` until ${at(served.until_us)}` : ""}`;
}

function served(found) {
  const { change, after, certainty } = found;
  if (!change) return "—";
  if (certainty === "BETWEEN" && after) return `${version(change.version)} or ${version(after.version)}`;
  if (change.version === null) return change.pods_expected ? `no one version: ${number(change.pods_serving)} of ${plural(change.pods_expected, "pod")} serve the aspired one` : "—";
  return certainty === "UNKNOWN" ? `${change.version} when last heard` : `${change.version}`;
}

function At({ model, atUs }) {
  const { body, error } = useAsked(atUs ? `at?model=${model}&time=${Math.round(atUs)}` : "");
  const [shown, more] = useMore(25);
  if (error) return html`<p>${error}</p>`;
  if (!body) return html`<p>Asking the archive…</p>`;
  if (!body.regions.length) return html`<p>Nothing is archived of that time.</p>`;
  const rank = { UNKNOWN: 0, BETWEEN: 1, CONFIRMED: 2 }, rows = [...body.regions].sort((a, b) => rank[a.served.certainty] - rank[b.served.certainty] || a.region.localeCompare(b.region));
  return html`<table class="table"><thead><tr><th scope="col">region</th><th scope="col">status</th><th scope="col">served</th><th scope="col">known</th><th scope="col">how</th><th scope="col">aspired</th><th scope="col">by, why</th></tr></thead>
    <tbody>${rows.slice(0, shown).map((each) => html`<tr key=${each.region}><th scope="row">${each.region}</th>
      <td data-label="status">${each.served.change ? html`<${Badge} status=${each.served.certainty === "UNKNOWN" ? "NONE" : each.served.change.status} label=${each.served.certainty === "UNKNOWN" ? "UNKNOWN" : each.served.change.status} />` : "—"}</td>
      <td data-label="served">${served(each.served)}</td><td data-label="known"><span title=${MEANS[each.served.certainty]}>${each.served.certainty}</span></td>
      <td data-label="how">${how(each.served)}</td><td data-label="aspired">${version(each.aspired.version)}${each.aspired.held ? ` (${each.aspired.held})` : ""}</td>
      <td data-label="by, why"><${Said} text=${[each.aspired.by, each.aspired.kind.toLowerCase(), each.aspired.why].filter(Boolean).join(" · ")} max=${120} /></td></tr>`)}</tbody></table>${more(rows.length)}`;
}

/** How a generation went, by its record. */
function Generation({ model, generation }) {
  const { body, error } = useAsked(`models/${model}/generations/${generation}`);
  if (error) return html`<p>${error}</p>`;
  if (!body) return html`<p>Loading…</p>`;
  const { record } = body;
  if (!record) return html`<p>No record of generation ${generation}: it is not over, or no tracker kept one.</p>`;
  const rows = record.regions.map((each) => ({ region: each.region, spans: each.spans, spans_since_us: each.since_us, aspired_generation: generation }));
  return html`<p>${record.how === "served" ? "Served by every counted region" : "Superseded before every region served it"}; ${record.slowest ? `slowest ${record.slowest}, ${duration(record.last_ms / 1000)}, most of it ${record.slowest_stage}` : "no region served it"}.</p>
    <${Waterfall} regions=${rows} generation=${generation} overUs=${record.over_us} />`;
}

function Generations({ model, rows }) {
  const [chosen, choose] = useState(0);
  if (!rows.length) return html`<p>Nothing was published in this span.</p>`;
  const seconds = (value) => (value === null ? "—" : duration(value));
  return html`<table class="table"><thead><tr><th scope="col">generation</th><th scope="col">version</th><th scope="col">published</th><th scope="col">regions</th><th scope="col">p50</th><th scope="col">p95</th><th scope="col">last</th><th scope="col">slowest</th><th scope="col">by, why</th></tr></thead>
    <tbody>${rows.map((each) => html`<tr key=${each.generation}><th scope="row"><button type="button" class="link" aria-expanded=${chosen === each.generation} onClick=${() => choose(chosen === each.generation ? 0 : each.generation)}>${each.generation}</button></th><td data-label="version">${each.version}</td><td data-label="published"><${Ago} us=${each.received_us} /></td>
      <td data-label="regions">${number(each.arrived)}/${number(each.regions)}</td><td data-label="p50">${seconds(each.p50_seconds)}</td><td data-label="p95">${seconds(each.p95_seconds)}</td>
      <td data-label="last">${seconds(each.last_seconds)}</td><td data-label="slowest">${each.slowest || "—"}</td><td data-label="by, why"><${Said} text=${[each.by, each.why].filter(Boolean).join(" · ")} max=${120} /></td></tr>`)}</tbody></table>${chosen ? html`<${Generation} key=${chosen} model=${model} generation=${chosen} />` : null}`;
}

function Choose({ chosen }) {
  const models = store.grid?.models ?? [];
  const go = (event) => dispatchEvent(new CustomEvent("go", { detail: `/history?model=${event.target.value}` }));
  return html`<label>model <select onChange=${go}>${chosen ? null : html`<option value="">choose</option>`}${[...new Set([...(chosen ? [chosen] : []), ...models])].map((name) => html`<option value=${name} selected=${name === chosen}>${name}</option>`)}</select></label>`;
}

/** The page, by its address: ?model=…&at=… */
export function History() {
  const query = new URLSearchParams(location.search);
  const model = query.get("model") ?? "", asked = Date.parse(query.get("at") ?? "") * 1000;
  const [spanS, setSpan] = useState(6 * 3600);
  const [end, setEnd] = useState(0); // 0: now, once it is known
  const [at, setAt] = useState(Number.isFinite(asked) ? asked : 0);
  const now = store.loaded ? Math.floor(nowUs() / 60e6) * 60e6 : 0;
  const toUs = end || (at ? Math.min(now, at + (spanS * 1e6) / 2) : now), fromUs = toUs - spanS * 1e6;
  const { body, error } = useAsked(model && now ? `models/${model}/history?from=${Math.round(fromUs)}&to=${Math.round(toUs)}` : "");
  useEffect(() => { document.title = `${model ? `${model} · ` : ""}History · Modelcast`; });
  if (!model) return html`<section aria-label="history"><p>What did a region serve at a time? <${Choose} /></p><p><${Command} text="modelcast history MODEL --at 03:41" /></p></section>`;
  if (!body) return html`<p>${error || `Loading the history of ${model}…`}</p>`;
  const atUs = Math.min(Math.max(at || body.to_us, body.from_us), body.to_us);
  const choose = (us) => {
    setEnd(body.to_us);
    setAt(us);
    history.replaceState(null, "", `/history?model=${model}&at=${utc(us)}`);
  };
  const span = (seconds) => { setEnd(0); setSpan(seconds); };
  const step = (by) => { setEnd(Math.min(now, toUs + by * spanS * 5e5)); setAt(0); };
  return html`<section aria-label="what was served"><div class="bar"><h2><a href=${`/models/${model}`}>${model}</a></h2><${Choose} chosen=${model} />
      <span class="choice">${SPANS.map(([label, seconds]) => html`<button type="button" aria-pressed=${seconds === spanS} onClick=${() => span(seconds)}>${label}</button>`)}
      <button type="button" aria-label="earlier" onClick=${() => step(-1)}>←</button><button type="button" aria-label="later" disabled=${toUs >= now} onClick=${() => step(1)}>→</button></span></div>
    ${error && html`<p>${error}</p>`}
    ${body.timelines.length ? html`<${Timelines} body=${body} atUs=${atUs} />` : html`<p>Nothing is archived of this span. Trackers archive what regions serve while they run (<code>tracker.history</code>).</p>`}
    <div class="lane"><label for="slide">time</label><input id="slide" type="range" min="0" max=${STEPS} value=${Math.round((STEPS * (atUs - body.from_us)) / (body.to_us - body.from_us))}
      aria-valuetext=${clock(atUs, nowUs())} onInput=${(event) => choose(body.from_us + (event.target.value / STEPS) * (body.to_us - body.from_us))} /></div>
    <p class="lane"><span></span><span class="ends"><time>${clock(body.from_us, nowUs())}</time><time>${clock(body.to_us, nowUs())}</time></span></p>
    ${body.through_us < body.to_us && html`<p class="notes">All changes up to ${clock(body.through_us, nowUs())} are archived; what came later is not in it yet.</p>`}</section>
    <section aria-label="at that time"><h2>At ${clock(atUs, nowUs())} <small>(${utc(atUs)})</small></h2><${At} model=${model} atUs=${atUs} />
      <p><${Command} text=${`modelcast history ${model} --at ${utc(atUs)}`} /></p></section>
    <section aria-label="publications"><h2>Publications in this span</h2><${Generations} model=${model} rows=${body.generations} /></section>
    <section aria-label="log"><h2>Who, when, why</h2>${body.entries.length ? html`<${EntryList} entries=${[...body.entries].reverse()} max=${20} />` : html`<p>Nothing was written into the log in this span.</p>`}</section>`;
}
