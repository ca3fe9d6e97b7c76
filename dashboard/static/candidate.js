// A version that earns its traffic: how its rollout stands, and which share of the requests it gets in each region.

import { html } from "./vendor/htm-preact-standalone.mjs";
import { MISSING, number, plural, version } from "./format.js";
import { Ago, Command, Said, useMore } from "./parts.js";

const UNDER_WAY = ["RUNNING", "HELD"];

const percent = (share) => `${Number((share / 100).toFixed(2))} %`;

function answered(each) {
  const all = each.control_requests + each.candidate_requests;
  return all ? `${number(each.candidate_requests)} of ${plural(all, "request")}` : MISSING;
}

function Region({ each }) {
  return html`<tr class=${each.cut ? "w-REFUSED" : ""}><th scope="row"><a href=${`/regions/${each.region}`}>${each.region}</a></th>
    <td data-label="wave">${each.wave < 0 ? "standby" : each.wave + 1}</td><td data-label="granted">${percent(each.ceiling)}</td>
    <td data-label="read back">${percent(each.share)}${each.read_back ? "" : " (not by every pod)"}</td>
    <td data-label="answered by it">${answered(each)}</td><td data-label="pods that have it">${number(each.candidate_ready)}/${number(each.pods_expected)}</td>
    <td data-label="heard"><${Ago} us=${each.heard_at_us} /></td>
    <td data-label="note">${each.cut ? html`<b>cut off</b>: <${Said} text=${each.cut} max=${140} />` : null}</td></tr>`;
}

export function Candidate({ model, seen }) {
  const [shown, more] = useMore(25);
  if (!seen) return null;
  const { state } = seen, under = UNDER_WAY.includes(state.phase);
  const at = state.waves ? `, wave ${state.wave + 1} of ${state.waves}, step ${state.step + 1} of ${state.steps}` : "";
  const evidence = state.verdict ? `: ${state.verdict} after ${plural(state.candidate_requests, "request")} against ${number(state.control_requests)}` : "";
  return html`<section aria-label="candidate"><h2>Candidate ${state.candidate}</h2>
    <p class="notes">its ${state.strategy} rollout against ${version(state.control)} is ${state.phase.toLowerCase()}${under ? at : ""}${under ? evidence : ""} · reported <${Ago} us=${seen.reported_at_us} /></p>
    ${state.why && html`<p class="notes">${under ? "now: " : ""}<${Said} text=${state.why} /></p>`}
    ${under && state.next ? html`<p class="notes">then: <${Said} text=${state.next} /></p>` : null}
    ${under && state.regions.length ? html`<table class="table"><thead><tr><th scope="col">region</th><th scope="col">wave</th><th scope="col">granted</th><th scope="col">read back</th><th scope="col">answered by it</th><th scope="col">pods that have it</th><th scope="col">heard</th><th scope="col">note</th></tr></thead>
      <tbody>${state.regions.slice(0, shown).map((each) => html`<${Region} key=${each.region} each=${each} />`)}</tbody></table>${more(state.regions.length)}` : null}
    <p><${Command} text=${`modelcast rollout ${under ? "get" : "explain"} ${model}`} /></p></section>`;
}
