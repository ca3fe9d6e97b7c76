// REGION, the list of regions, and REFUSED.

import { html, useEffect } from "./vendor/htm-preact-standalone.mjs";
import { duration, number, plural, size, version } from "./format.js";
import { Letters } from "./letters.js";
import { PairTable } from "./model.js";
import { AGES_MS, Bar, Earlier, useAnswer } from "./models.js";
import { Ago, Badge, Command, Said, useMore } from "./parts.js";

const HEARD_US = 15e6, CLOCK_SECONDS = 5;

export function Regions() {
  const { body, error } = useAnswer("regions", null, AGES_MS);
  const [shown, more] = useMore(50);
  useEffect(() => { document.title = "Regions · Modelcast"; });
  if (error && !body) return html`<p>${error}</p>`;
  if (!body) return html`<p>Loading…</p>`;
  if (!body.regions.length) return html`<p>No region is known yet. <${Command} text="modelcast run region NAME" /></p>`;
  return html`<${Earlier} error=${error} /><section aria-label="regions"><h2>${plural(body.regions.length, "region")}, worst first</h2>
    <table class="table"><thead><tr><th scope="col">region</th><th scope="col">status</th><th scope="col">heard</th><th scope="col">workers</th><th scope="col">models serving</th><th scope="col">behind</th><th scope="col">disk free</th></tr></thead>
    <tbody>${body.regions.slice(0, shown).map((each) => html`<tr key=${each.region}><th scope="row"><a data-row href=${`/regions/${each.region}`}>${each.region}</a></th>
      <td data-label="status"><${Badge} status=${each.status} /></td><td data-label="heard"><${Ago} us=${each.heard_at_us} /></td><td data-label="workers">${each.workers || "—"}</td>
      <td data-label="models serving"><${Bar} done=${each.serving} of=${each.counted} /> ${number(each.serving)}/${number(each.counted)}</td>
      <td data-label="behind"><${Ago} us=${each.behind_since_us} ago=${false} /></td><td data-label="disk free">${size(each.disk_free_bytes)}</td></tr>`)}</tbody></table>${more(body.regions.length)}</section>`;
}

/** What its long link is busy with. */
function Link({ body }) {
  const { link_bytes_per_second: now, link_bytes_per_second_max: most, fetching } = body;
  const limit = most === null ? "" : ` of at most ${size(most)}/s`;
  const left = (each) => (each.bytes_per_second > 0 ? `${duration((each.bytes_planned - each.bytes_moved) / each.bytes_per_second)} left` : "no bytes arrive");
  return html`<section aria-label="link"><h2>Long link</h2><p>${fetching.length ? html`${size(now)}/s${limit} for ${plural(fetching.length, "model")}` : `Nothing is being fetched${most === null ? "" : ` (at most ${size(most)}/s)`}.`}</p>
    ${fetching.length ? html`<ul class="plain">${fetching.map((each) => html`<li key=${each.model}><a href=${`/models/${each.model}#${each.region}`}>${each.model}/${version(each.aspired_version)}</a> <${Bar} done=${each.bytes_moved} of=${each.bytes_planned} /> ${size(each.bytes_moved)} of ${size(each.bytes_planned)}, ${size(each.bytes_per_second)}/s, ${left(each)}</li>`)}</ul>` : null}</section>`;
}

/** How far the region has read announcements. */
function Reading({ group }) {
  if (!group) return html`<p class="notes">How far it has read announcements is not known.</p>`;
  const lag = group.lag_records === null ? "it is not known how many announcements it has not read" : group.lag_records ? `${plural(group.lag_records, "announcement")} unread, the oldest ${duration(group.lag_seconds)} old` : "all announcements are read";
  return html`<p class="notes"><a href="/kafka">${group.group}</a>: ${group.status}, ${lag}</p>`;
}

function Takeovers({ rows }) {
  const [shown, more] = useMore(8);
  if (!rows.length) return null;
  return html`<section aria-label="takeovers"><h2>Last takeovers</h2><p class="notes">Another worker took these models over. A few after a restart are normal; one model again and again is two workers that fence each other.</p>
    <ul class="plain">${rows.slice(0, shown).map((each) => html`<li key=${`${each.model}/${each.epoch}`}><${Ago} us=${each.at_us} /> <a href=${`/models/${each.model}#${each.region}`}>${each.model}</a>, now epoch ${number(each.epoch)}${each.times > 1 ? ` (${number(each.times)} owners since)` : ""}</li>`)}</ul>${more(rows.length)}</section>`;
}

export function Region({ name }) {
  const { body, error } = useAnswer(`regions/${name}`, null, AGES_MS);
  useEffect(() => { document.title = `${body?.region.status ?? ""} ${name} · Modelcast`.trim(); });
  if (error && !body) return html`<p>${error}</p>`;
  if (!body) return html`<p>Loading ${name}…</p>`;
  const { region } = body;
  return html`<${Earlier} error=${error} /><section class=${`verdict w-${region.status}`} aria-label="verdict">
      <p class="sentence"><${Badge} status=${region.status} /> ${number(region.serving)} of ${plural(region.counted, "model")} serve the aspired version</p>
      <p class="notes">heard <${Ago} us=${region.heard_at_us} />${body.workers.length ? ` from ${plural(body.workers.filter((each) => body.fresh.as_of_us - each.heard_at_us < HEARD_US).length, "worker")} of ${number(body.workers.length)}` : ""}</p><${Reading} group=${body.group} /></section>
    <section aria-label="workers"><h2>${body.workers.length ? plural(body.workers.length, "worker") : "Workers"}</h2>${body.workers.length ? html`
      <table class="table"><thead><tr><th scope="col">worker</th><th scope="col">heard</th><th scope="col">started</th><th scope="col">models</th><th scope="col">disk free</th><th scope="col">cache</th><th scope="col">from the origin</th><th scope="col">software</th></tr></thead>
      <tbody>${body.workers.map((each) => html`<tr key=${each.worker}><th scope="row"><bdi>${each.worker}</bdi>${each.draining ? " (draining)" : ""}</th><td data-label="heard"><${Ago} us=${each.heard_at_us} /></td><td data-label="started"><${Ago} us=${each.started_at_us} />${Math.abs(each.clock_ahead_seconds) > CLOCK_SECONDS ? html` <strong>its clock is ${duration(Math.abs(each.clock_ahead_seconds))} ${each.clock_ahead_seconds > 0 ? "ahead" : "behind"}</strong>` : ""}</td>
        <td data-label="models">${number(each.models_owned)}</td><td data-label="disk free">${size(each.disk_free_bytes)}${each.disk_full_in_seconds === null ? "" : html` <strong>full in ${duration(each.disk_full_in_seconds)}</strong>`}</td><td data-label="cache">${size(each.cache_used_bytes)}</td>
        <td data-label="from the origin">${each.origin_bytes_per_second ? `${size(each.origin_bytes_per_second)}/s` : "—"}</td><td data-label="software"><${Said} text=${Object.entries(each.software).map((pair) => pair.join(" ")).join(", ")} /></td></tr>`)}</tbody></table>`
      : html`<p>${body.fresh.redis === "live" ? "No heartbeat of this region is known." : "Redis can't be read, and only it holds the workers' heartbeats."} <${Command} text=${`modelcast run region ${name}`} /></p>`}</section>
    <${Link} body=${body} />
    <section aria-label="models"><h2>${plural(body.models_total, "model")}, worst first</h2><${PairTable} rows=${body.models} name="model" /></section>
    <${Takeovers} rows=${body.takeovers} />`;
}

export function Refused() {
  const { body, error } = useAnswer("refused");
  const [shown, more] = useMore(50);
  useEffect(() => { document.title = "Refused · Modelcast"; });
  if (error && !body) return html`<p>${error}</p>`;
  if (!body) return html`<p>Loading…</p>`;
  if (!body.total) return html`<${Earlier} error=${error} /><p>No region refuses a version.</p><${Letters} />`;
  return html`<${Earlier} error=${error} /><section aria-label="refused versions"><h2>${plural(body.total, "refusal")}</h2>
    <table class="table"><thead><tr><th scope="col">version</th><th scope="col">region</th><th scope="col">since</th><th scope="col">serves</th><th scope="col">why</th><th scope="col">once it is mended</th></tr></thead>
    <tbody>${body.refused.slice(0, shown).map((each) => { const aspired = each.refused_version ?? each.aspired_version; return html`<tr key=${`${each.model}@${each.region}`}>
      <th scope="row"><a data-row href=${`/models/${each.model}#${each.region}`}>${each.model}/${version(aspired)}</a></th><td data-label="region">${each.region}</td><td data-label="since"><${Ago} us=${each.since_us} ago=${false} /></td>
      <td data-label="serves">${version(each.served_version)}</td><td data-label="why"><${Said} text=${each.error || "quarantined"} /></td>
      <td data-label="once it is mended"><${Command} text=${`modelcast release ${each.model}/${version(aspired)}`} /></td></tr>`; })}</tbody></table>${more(body.refused.length)}</section><${Letters} />`;
}
