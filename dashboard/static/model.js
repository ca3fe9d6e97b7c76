// MODEL: one model everywhere: its rollout by stage, its regions worst first, its pods, its log.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.mjs";
import { Actions } from "./actions.js";
import { Candidate } from "./candidate.js";
import { clock, duration, number, plural, size, utc, version } from "./format.js";
import { Lags } from "./lags.js";
import { AGES_MS, Bar, Earlier, useAnswer } from "./models.js";
import { EntryList, Problems } from "./now.js";
import { Ago, Badge, Command, Said, useMore } from "./parts.js";
import { ask, nowUs, store } from "./store.js";

const MAIN = ["wait", "fetch", "load"];
const SHOWN_MS = 50;
const shortest = 10;

const endOf = (span, untilMs) => span.ended_ms ?? Math.max(untilMs, span.begun_ms);
const tookMs = (each, untilMs) => Math.max(0, ...each.spans.map((span) => endOf(span, untilMs(each))));

/** What took the most of a region's time, and how much of it. */
function largest(each, untilMs) {
  const whole = tookMs(each, untilMs) || 1, main = each.spans.filter((span) => MAIN.includes(span.stage));
  const [first] = main.map((span) => [span.stage, endOf(span, untilMs(each)) - span.begun_ms]).sort((a, b) => b[1] - a[1]);
  return first ? ` (${first[0]} ${Math.round((100 * first[1]) / whole)} %)` : "";
}

/** "p50 9 s (fetch 71 %), p95 31 s (fetch 88 %)" over the regions, slowest first. */
function shares(slowest, untilMs) {
  const at = (share) => slowest[Math.max(0, slowest.length - 1 - Math.min(slowest.length - 1, Math.floor(share * slowest.length)))];
  return ["p50", "p95"].map((name) => { const each = at(Number(name.slice(1)) / 100); return `${name} ${duration(tookMs(each, untilMs) / 1000)}${largest(each, untilMs)}`; }).join(", ");
}

function figures(each, untilMs) {
  const told = each.spans.filter((span) => span.ended_ms === null || span.ended_ms - span.begun_ms >= SHOWN_MS);
  return told.map((span) => {
    const name = span.stage.replaceAll("_", " "), seconds = (endOf(span, untilMs(each)) - span.begun_ms) / 1000;
    if (span.ended_ms === null) return each.status === "SILENT" ? `${name} under way for ${duration(seconds)} when last heard` : `${name} under way for ${duration(seconds)}`;
    const busy = span.busy_ms / 1000 < 0.8 * seconds && !MAIN.includes(span.stage) ? ` (${duration(span.busy_ms / 1000)} of work)` : "";
    return `${name} ${duration(seconds)}${busy}`;
  }).join(" · ");
}

/** When each stage ran, from when each region accepted the generation, by the region's own clock; the slowest first. */
export function Waterfall({ regions, generation, overUs = 0, entry = null }) {
  const [all, setAll] = useState(false);
  const timed = regions.filter((each) => each.spans.length && each.aspired_generation === generation);
  if (!timed.length) return null;
  const silent = (each) => each.status === "SILENT"; // of what it was doing then, it is not known how long that took
  const untilMs = (each) => ((overUs || (silent(each) ? each.since_us : nowUs())) - each.spans_since_us) / 1000;
  const slowest = [...timed].sort((a, b) => tookMs(b, untilMs) - tookMs(a, untilMs)), shown = slowest.slice(0, all ? 200 : shortest);
  const longest = tookMs(slowest[0], untilMs) || 1, stages = [...new Set(timed.flatMap((each) => each.spans.map((span) => span.stage)))];
  const bar = (each, span) => html`<span key=${span.stage} class=${`s s${stages.indexOf(span.stage) % 8} ${span.ended_ms === null ? "open" : ""} ${MAIN.includes(span.stage) ? "main" : "part"}`}
    style=${{ left: `${(100 * Math.max(0, span.begun_ms)) / longest}%`, width: `${(100 * (endOf(span, untilMs(each)) - Math.max(0, span.begun_ms))) / longest}%` }} title=${`${span.stage}: ${duration((endOf(span, untilMs(each)) - span.begun_ms) / 1000)}`}></span>`;
  return html`<section aria-label="stages"><div class="bar"><h2>Rollout of generation ${generation}, by stage</h2>
      <span class="choice">${[[false, `slowest ${shortest}`], [true, "all"]].map(([value, label]) => html`<button type="button" aria-pressed=${all === value} onClick=${() => setAll(value)}>${label}</button>`)}</span></div>
    <p class="notes">${entry ? html`${entry.kind.toLowerCase()} ${version(entry.version)}, <${Ago} us=${entry.at_us} />${entry.by ? html` by <${Said} text=${entry.by} max=${60} />` : ""}${entry.why ? html` <q><${Said} text=${entry.why} max=${100} /></q>` : ""} · ` : ""}${plural(timed.length, "region")}: ${shares(slowest, untilMs)}</p>
    <p class="stages-key">${stages.map((name, place) => html`<span><i class=${`s s${place % 8}`} aria-hidden="true"></i>${name.replaceAll("_", " ")}</span>`)}<span><i class="s s4 open" aria-hidden="true"></i>under way</span></p>
    <table class="table stages"><thead><tr><th scope="col">region</th><th scope="col">stages, from when the region had read the log</th><th scope="col">in all</th></tr></thead>
    <tbody>${shown.map((each) => html`<tr key=${each.region}><th scope="row">${each.region}</th>
      <td data-label="stages"><span class="waterfall" aria-hidden="true">${each.spans.map((span) => bar(each, span))}</span><span class="figures">${figures(each, untilMs)}</span></td>
      <td data-label="in all">${duration(tookMs(each, untilMs) / 1000)}</td></tr>`)}</tbody></table>
    ${timed.length > shown.length && html`<p>${number(timed.length - shown.length)} more regions were faster.</p>`}</section>`;
}

function Pods({ model, region }) {
  const [limit, setLimit] = useState(100);
  const kept = useRef(null); // the list stays while a longer one is on its way
  const { body: newer, error } = useAnswer(`models/${model}/regions/${region}/pods?limit=${limit}`, (name) => name === model, AGES_MS);
  const body = (kept.current = newer && (!newer.error || !kept.current?.total) ? newer : kept.current);
  if (error && !body) return html`<p>${error}</p>`;
  if (!body) return html`<p>Loading the pods of ${region}…</p>`;
  const problem = newer?.error || error;
  if (!body.total) return html`<p>No list of pods: ${problem ? html`<${Said} text=${problem} />` : `${region} reported none`}.</p>`;
  const then = body.status === "SILENT" ? " then" : ""; // no one knows what they do now
  return html`<section aria-label=${`pods of ${region}`}><h3>${plural(body.total, "pod")} in ${region}, as reported <${Ago} us=${body.fresh.as_of_us - 1e6 * body.pods_age_seconds} /></h3>
    ${problem && html`<p class="missing">The list can't be read again: <${Said} text=${problem} />. This is the last one.</p>`}
    <table class="table"><thead><tr><th scope="col">pod</th><th scope="col">state</th><th scope="col">version</th><th scope="col">generation</th><th scope="col">read back</th><th scope="col">where</th><th scope="col">note</th></tr></thead>
    <tbody>${body.pods.map((pod) => html`<tr key=${pod.pod}><th scope="row"><bdi>${pod.pod}</bdi></th><td data-label="state">${pod.state}${then}</td><td data-label="version">${version(pod.version)}</td>
      <td data-label="generation">${pod.generation || "—"}</td><td data-label="read back"><${Ago} us=${pod.read_at_us} /></td><td data-label="where"><bdi>${[pod.kind, pod.fleet, pod.zone].filter(Boolean).join(" · ") || "—"}</bdi></td><td data-label="note"><${Said} text=${pod.error} /></td></tr>`)}</tbody></table>
    ${body.next && (limit < 1000 ? html`<p><button type="button" onClick=${() => setLimit(1000)}>show more (${number(body.total - body.pods.length)} left)</button></p>` : html`<p>${number(body.total - body.pods.length)} more: <${Command} text=${`modelcast get pods ${model} --region ${region}`} /></p>`)}</section>`;
}

function Fetch({ each }) {
  if (each.state !== "FETCHING" || !each.bytes_planned) return each.bytes_moved ? html`${size(each.bytes_moved)} moved, ${size(each.bytes_saved)} saved` : null;
  return html`<${Bar} done=${each.bytes_moved} of=${each.bytes_planned} /> ${size(each.bytes_moved)} of ${size(each.bytes_planned)}, ${size(each.bytes_per_second)}/s`;
}

function why(each) {
  const held = [each.pinned_version === null ? "" : `pinned to ${each.pinned_version}`, each.paused ? "paused" : ""].filter(Boolean).join(", ");
  const refused = each.refused_version === null ? "" : `refuses ${each.refused_version}`;
  const out = each.left_out ? `left out: ${each.left_out}` : "";
  return [held, out, refused, each.error || each.rollover || each.way].filter(Boolean).join(" · ");
}

/** Which version how many regions serve, and which some refuse. */
function Versions({ regions }) {
  const count = (of) => Object.entries(regions.map(of).filter((each) => each !== null && each !== undefined).reduce((all, each) => ({ ...all, [each]: (all[each] ?? 0) + 1 }), {})).sort((a, b) => b[0] - a[0]);
  const counted = regions.filter((each) => each.counted), none = counted.filter((each) => each.served_version === null).length;
  const told = (rows) => rows.map(([name, many]) => `${name} in ${plural(many, "region")}`).join(", ");
  const served = told(count((each) => each.counted ? each.served_version : null)), refused = told(count((each) => each.refused_version));
  return html`<p class="notes">serving ${served || "nowhere"}${none ? `; of ${plural(none, "region")} no one version is known` : ""}${refused ? ` · refused: ${refused}` : ""}</p>`;
}

/** One line a region (or, in a region, a model). */
export function PairTable({ rows, name, chosen, choose }) {
  const [shown, more] = useMore(25);
  return html`<table class="table"><thead><tr><th scope="col">${name}</th><th scope="col">status</th><th scope="col">since</th><th scope="col">served → aspired</th><th scope="col">pods</th><th scope="col">bytes</th><th scope="col">why, how</th></tr></thead>
    <tbody>${rows.slice(0, shown).map((each) => html`<tr key=${each[name]} class=${`w-${each.status}`} id=${name === "region" ? each.region : undefined}>
      <th scope="row">${choose ? html`<button type="button" class="link" data-row aria-expanded=${chosen === each.region} onClick=${() => choose(each.region)}>${each.region}</button>` : html`<a data-row href=${`/models/${each.model}#${each.region}`}>${each.model}</a>`}</th>
      <td data-label="status"><${Badge} status=${each.status} /></td>
      <td data-label="since"><${Ago} us=${each.since_us} ago=${false} /></td>
      <td data-label="served → aspired">${each.status === "SILENT" ? html`<small>${each.reported_version === null ? "" : `${each.reported_version} when `}last ${each.since_us === each.heard_at_us ? "heard" : "read back"} ${clock(each.since_us, nowUs())}</small>` : html`${version(each.served_version)} → ${version(each.aspired_version)}`}</td>
      <td data-label="pods">${number(each.pods_serving)}/${number(each.pods_expected)}</td>
      <td data-label="bytes"><${Fetch} each=${each} /></td>
      <td data-label="why, how"><${Said} text=${why(each)} max=${140} /></td></tr>`)}</tbody></table>${more(rows.length)}`;
}

export function Model({ name }) {
  const { body, error } = useAnswer(`models/${name}`, (each) => each === name, AGES_MS);
  const [region, setRegion] = useState(decodeURIComponent(location.hash.slice(1)));
  useEffect(() => { document.title = `${body?.model.status ?? ""} ${name} · Modelcast`.trim(); });
  if (error && !body) return html`<p>${error}</p>`;
  if (!body || !store.loaded) return html`<p>Loading ${name}…</p>`;
  const { model } = body;
  const latest = version(model.latest_version);
  const newest = Math.max(0, ...body.regions.map((each) => each.aspired_generation));
  const known = body.regions.some((each) => each.counted && each.served_version !== null);
  return html`<${Earlier} error=${error} /><section class=${`verdict w-${model.status}`} aria-label="verdict">
      <p class="sentence"><${Badge} status=${model.status} /> ${number(model.serving)} of ${plural(model.counted, "region")} serve the aspired version; the latest version is ${latest}</p>
      <p class="notes">consistent version ${model.consistent_version === null ? `none${model.last_consistent_version ? `, last ${model.last_consistent_version}` : ""} ` : html`${model.consistent_version} since <${Ago} us=${model.consistent_since_us} ago=${false} /> `}
        · generation ${model.head_generation} · ${model.skew ? html`${plural(model.skew, "digest")} too many served since <${Ago} us=${model.skew_since_us} ago=${false} />` : known ? "one digest served" : "no digest is known to be served"} · the tracker spoke of it <${Ago} us=${model.reported_at_us} /></p>
      <${Versions} regions=${body.regions} />
      ${model.alarm && html`<p class="alarm"><b>ALARM</b> <${Said} text=${model.alarm} /></p>`}
    </section>
    ${body.problems.length ? html`<section aria-label="what is wrong"><h2>What is wrong</h2><${Problems} ids=${body.problems.map((each) => each.id)} find="" /></section>` : null}
    <${Candidate} model=${name} seen=${body.candidate} />
    <${Lags} key=${name} model=${name} />
    <section aria-label="regions"><h2>${plural(body.regions_total, "region")}, worst first</h2>${model.regions_omitted ? html`<p>${plural(model.regions_omitted, "more region")} did not fit into what the tracker says.</p>` : null}
      <${PairTable} rows=${body.regions} name="region" chosen=${region} choose=${(each) => setRegion(each === region ? "" : each)} /></section>
    ${region && body.regions.some((each) => each.region === region) ? html`<${Pods} model=${name} region=${region} />` : null}
    <${Waterfall} regions=${body.regions} generation=${newest} entry=${body.entries.find((each) => each.generation === newest) ?? null} />
    <section aria-label="log"><h2>Who, when, why</h2>${body.entries.length ? html`<${EntryList} entries=${body.entries} max=${20} />` : html`<p>The log can't be read from here. <${Command} text=${`modelcast history ${name}`} /></p>`}</section>
    <section aria-label="commands"><h2>What to type</h2>
      <${Actions} key=${name} model=${name} regions=${body.regions.map((each) => each.region)} generation=${model.head_generation} />
      ${[`modelcast rollback ${name} --reason "…" --dry-run`, `modelcast pause ${name} --reason "…" --dry-run`, `modelcast history ${name}`, `modelcast history ${name} --at 20m`].map((text) => html`<p><${Command} text=${text} /></p>`)}</section>`;
}
