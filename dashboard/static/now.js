// NOW: is everything as it should be, and if not, what, where, since when, and what to type next.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.mjs";
import { clock, duration, number, plural, size, utc, version } from "./format.js";
import { Matrix } from "./matrix.js";
import { ModelTable } from "./models.js";
import { Ago, Badge, Command, Copy, Said, Trend } from "./parts.js";
import { Rollouts } from "./rollouts.js";
import { live, nowUs, old, store } from "./store.js";
import { Strip } from "./strip.js";

const ROWS = 30, TURNED_US = 120e6;
const ELSEWHERE = { group: "/kafka", probe: "/kafka", "dead-letters": "/refused" };

/** Where a problem is looked at more closely. */
export function target(problem) {
  if (problem.cause in ELSEWHERE) return ELSEWHERE[problem.cause];
  if (problem.model) return `/models/${problem.model}${problem.region ? `#${problem.region}` : ""}`;
  return problem.region ? `/regions/${problem.region}` : "/regions";
}

function where(problem) {
  if (problem.cause === "region") return problem.pairs_of > 1 ? `${number(problem.pairs)} of ${plural(problem.pairs_of, "model")}` : problem.model;
  if (problem.cause === "tracker") return `${number(problem.pairs)} of ${plural(problem.pairs_of, "model")}`;
  if (problem.region) return `in ${problem.region}`;
  return problem.pairs_of ? `in ${number(problem.pairs)} of ${plural(problem.pairs_of, "region")}` : "";
}

function versions({ version_from: from, version_to: to, status }) {
  if (to === null || to === undefined || ["SILENT", "NONE", "EMPTY"].includes(status)) return null; // nothing is known to be served
  if (status === "REFUSED") return from === null ? null : html`<span>serves ${from}</span>`;
  if (from === to) return html`<span>version ${to}</span>`;
  return html`<span><span class="unseen">from version </span>${version(from)}<span aria-hidden="true"> → </span><span class="unseen"> to </span>${version(to)}</span>`;
}

function Progress({ problem }) {
  const { bytes_planned: planned, bytes_moved: moved, bytes_per_second: rate, stage } = problem;
  if (stage !== "fetching" || !planned) return ["announced", "staged", "loading"].includes(stage) ? html`<span class="part">${stage}</span>` : null;
  if (moved >= planned) return html`<span class="part">all bytes are there</span>`;
  const left = rate > 0 ? `${duration((planned - moved) / rate)} left` : "no bytes arrive";
  return html`<span class="part">fetch: ${size(rate)}/s, ${Math.floor((100 * moved) / planned)} % of ${size(planned)}, ${left}</span>`;
}

const turned = ({ was }) => was && nowUs() - was.us < TURNED_US;

function Row({ problem, recovered }) {
  const named = problem.regions.length && !problem.region && problem.cause !== "region" ? problem.regions : problem.cause === "tracker" || problem.pairs > 1 && problem.cause === "region" ? problem.models : [];
  const trend = store.trends.get(problem.id) ?? [], moved = new Set(trend).size > 1;
  return html`<li class=${`row w-${problem.status}${recovered ? " recovered" : ""}`}>
    <a data-row href=${target(problem)}>
      <${Badge} status=${problem.status} /> <strong>${problem.title}</strong> <span class="where">${where(problem)}${turned(problem) && !recovered ? `, was ${problem.was.status} until ${clock(problem.was.us, nowUs())}` : ""}</span>
      <span class="when">${!recovered && moved ? html`<span title=${`${trend[0] < trend.at(-1) ? "more" : "fewer"} than ${duration(10 * (trend.length - 1))} ago`}><${Trend} values=${trend} /></span> ` : null}${recovered ? `recovered ${clock(problem.recovered_us, nowUs())}, after ${duration((problem.recovered_us - problem.since_us) / 1e6)}` : html`<${Ago} us=${problem.since_us} ago=${false} />`}</span>
      <span class="versions">${versions(problem)}</span>
    </a>
    ${!recovered && html`<div class="why"><${Said} text=${problem.reason} max=${160} />${problem.reason && problem.status === "SILENT" ? ` ${clock(problem.since_us, nowUs())}` : ""} <${Progress} problem=${problem} />
      ${named.length > 1 && html`<span class="names">${named.join(", ")}${named.length < problem.pairs ? ", …" : ""}</span>`}</div>
    <${Command} text=${problem.command} />`}
  </li>`;
}

/** The rows keep their places while someone points at them or walks over them. */
function useHeldOrder(order, list) {
  const held = useRef(order);
  const busy = list.current && (list.current.matches(":hover") || list.current.contains(document.activeElement));
  if (!busy) held.current = order;
  const there = new Set(order), kept = held.current.filter((id) => there.has(id));
  const fresh = order.filter((id) => !kept.includes(id));
  held.current = [...kept, ...fresh];
  return held.current;
}

export function Problems({ ids, find, total = 0 }) {
  const list = useRef(null);
  const [shown, setShown] = useState(ROWS);
  const wanted = find.trim().toLowerCase();
  const matches = (problem) => !wanted || JSON.stringify([problem.title, problem.status, problem.models, problem.regions, problem.reason]).toLowerCase().includes(wanted);
  const order = useHeldOrder(ids, list).map((id) => store.problems.get(id)).filter((each) => each && matches(each));
  return html`<ol class="problems" ref=${list}>
      ${order.slice(0, shown).map((problem) => html`<${Row} key=${problem.id} problem=${problem} />`)}
    </ol>
    ${order.length > shown && html`<p><button type="button" onClick=${() => setShown(shown + 4 * ROWS)}>show more (${order.length - shown} left)</button></p>`}
    ${total > ids.length && html`<p>${number(total - ids.length)} more lines: <a href="/api/v1/problems?limit=1000">all of them as JSON</a></p>`}
    ${wanted && !order.length ? html`<p>No line holds “${find}”.</p>` : null}`;
}

/** Where this moment can be looked up later: the past of the worst problem's model. */
function permalink() {
  const worst = store.order.map((id) => store.problems.get(id)?.models[0]).find(Boolean);
  const at = encodeURIComponent(utc(nowUs()));
  return worst ? `${location.origin}/history?model=${worst}&at=${at}` : `${location.origin}/`;
}

function asText() {
  const lines = [`[${store.verdict.label}] ${store.verdict.sentence}`, ...store.verdict.notes];
  for (const id of store.order.slice(0, 10)) {
    const p = store.problems.get(id);
    if (p) lines.push(`[${p.status}] ${p.title} ${where(p)}, since ${utc(p.since_us)}${p.reason ? `: ${p.reason}` : ""}`);
  }
  return [...lines, `as of ${utc(nowUs())}${old() ? " (OLD)" : ""}, ${permalink()}`].join("\n");
}

function VerdictBox({ find, setFind }) {
  const { verdict, fresh } = store;
  const counts = Object.entries(verdict.pairs).map(([status, count]) => html`<button type="button" class=${`count w-${status}`} aria-pressed=${find === status} title=${`show only ${status}: ${store.statuses.get(status)?.means}`} onClick=${() => setFind(find === status ? "" : status)}><span aria-hidden="true">${store.statuses.get(status)?.shape}</span> ${number(count)} ${status === "OK" && old() ? "OK then" : status}</button>`);
  const reading = { live: "Kafka read to its end", "catching up": "Kafka is being read", starting: "Kafka is being asked", away: "Kafka is away" }[fresh.kafka];
  return html`<section class=${`verdict w-${verdict.status}`} aria-label="verdict">
    <p class="sentence"><${Badge} status=${verdict.status} label=${verdict.label} /> ${live() ? "" : `As of ${clock(nowUs(), nowUs())}: `}${verdict.sentence}</p>
    <p class="notes">${[...verdict.notes, reading].join(" · ")}${fresh.changed_us ? html` · last change <${Ago} us=${fresh.changed_us} />` : ""}</p>
    <p class="counts">${counts} ${find ? html`<button type="button" class="count all" onClick=${() => setFind("")}>all …</button>` : null} <${Copy} text=${asText()} label="copy as text" name="copy the verdict as text" /></p>
  </section>`;
}

function Empty() {
  const first = html`<p>Nothing was published yet. <${Command} text="modelcast publish MODEL FOLDER" /></p>`;
  const second = html`<p>Or no tracker runs, which would tell of it. <${Command} text="modelcast run tracker" /></p>`;
  return html`<section class="empty">${first}${second}</section>`;
}

function What({ entry }) {
  const reference = `${entry.model}${entry.version ? `/${entry.version}` : ""}`;
  return html`<li><${Ago} us=${entry.at_us} /> <b>${entry.kind.toLowerCase()}</b> <a href=${`/models/${entry.model}`}>${reference}</a>
    ${entry.regions.length ? html` <span>in ${entry.regions.join(", ")}</span>` : null}${entry.by ? html` <span>by <${Said} text=${entry.by} max=${60} /></span>` : null}
    ${entry.why ? html` <q><${Said} text=${entry.why} max=${100} /></q>` : null}${entry.trouble ? html` <strong class="doubt">not proved: <${Said} text=${entry.trouble} max=${160} /></strong>` : null}</li>`;
}

export function EntryList({ entries, max }) {
  return html`<ul class="entries">${entries.slice(0, max).map((entry) => html`<${What} key=${entry.id} entry=${entry} />`)}</ul>`;
}

export function Now() {
  const [find, setFind] = useState("");
  useEffect(() => { document.title = `${store.verdict?.label ?? ""} Modelcast`.trim(); });
  if (!store.loaded) return html`<p>${store.error ? `The dashboard does not answer: ${store.error}` : "Loading…"}</p>`;
  const quiet = !store.order.length;
  return html`<${VerdictBox} find=${find} setFind=${setFind} />
    <p class="unseen" aria-live="polite" data-told>${store.told}</p>
    ${!store.verdict.models && html`<${Empty} />`}
    ${store.verdict.models ? html`<p class="find"><label>find <input id="find" type="search" value=${find} onInput=${(event) => setFind(event.target.value)} placeholder="model, region, status" /></label></p>` : null}
    ${!quiet || store.recovered.length ? html`<section aria-label="what is wrong">
      <div class="bar"><h2>${store.verdict.status === "LAG" ? "What is rolling out" : "What is wrong, worst first"}</h2></div>
      <p class="keys"><kbd>j</kbd> <kbd>k</kbd> move · <kbd>Enter</kbd> opens · <kbd>c</kbd> copies the command · <kbd>/</kbd> finds</p>
      <${Problems} ids=${store.order} find=${find} total=${store.verdict.problems} />
      ${store.recovered.length ? html`<ol class="problems">${store.recovered.map((problem) => html`<${Row} key=${problem.id} problem=${problem} recovered=${true} />`)}</ol>` : null}
    </section>` : null}
    ${store.entries.length ? html`<section aria-label="last entries"><h2>Last entries</h2><${Strip} /><${EntryList} entries=${store.entries} max=${8} /></section>` : null}
    <${Rollouts} />
    ${store.verdict.models ? html`<${ModelTable} find=${find} />` : null}
    ${store.grid && store.grid.models.length ? html`<${Matrix} />` : null}`;
}
