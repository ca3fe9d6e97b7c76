// What is on its way: how many regions serve it, and how long they took.

import { html } from "./vendor/htm-preact-standalone.mjs";
import { duration, MISSING, number, plural } from "./format.js";
import { Bar, useAnswer } from "./models.js";
import { Ago, Badge, useMore } from "./parts.js";

export function Rollouts() {
  const { body } = useAnswer("rollouts");
  const [shown, more] = useMore(5);
  if (!body?.total) return null;
  return html`<section aria-label="rolling out"><h2>Rolling out: ${plural(body.total, "version")}</h2>
    <table class="table rollouts"><thead><tr><th scope="col">version</th><th scope="col">status</th><th scope="col">regions that serve it</th><th scope="col">since</th><th scope="col">median</th><th scope="col">95 %</th><th scope="col">late after</th><th scope="col">waits for</th></tr></thead>
    <tbody>${body.rollouts.slice(0, shown).map((each) => html`<tr key=${`${each.model}/${each.version}`}>
      <th scope="row"><a data-row href=${`/models/${each.model}`}>${each.model}/${each.version}</a></th><td data-label="status"><${Badge} status=${each.status} /></td>
      <td data-label="regions that serve it"><${Bar} done=${each.serving} of=${each.counted} /> ${number(each.serving)}/${number(each.counted)}</td>
      <td data-label="since"><${Ago} us=${each.since_us} ago=${false} /></td>
      <td data-label="median">${each.p50_seconds === null ? MISSING : duration(each.p50_seconds)}</td><td data-label="95 %">${each.p95_seconds === null ? MISSING : duration(each.p95_seconds)}</td>
      <td data-label="late after">${duration(each.late_seconds)}</td><td data-label="waits for"><a href=${`/regions/${each.slowest}`}>${each.slowest}</a></td></tr>`)}</tbody></table>${more(body.rollouts.length)}</section>`;
}
