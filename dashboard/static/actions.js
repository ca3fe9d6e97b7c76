// Commands from the page: what they would change is shown first, and nothing is written that was not looked at.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.mjs";
import { plural, version } from "./format.js";
import { Said } from "./parts.js";
import { ask } from "./store.js";

let token = ""; // held in memory alone, until the page is left
let known = null;

async function post(path, command) {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(`/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(command) });
  const body = await response.json();
  if (!response.ok || response.status === 202) throw Object.assign(new Error([body.error, body.subject, body.hint].filter(Boolean).join(" · ")), { status: response.status });
  return body;
}

const send = (model, command) => post(`models/${model}/commands`, command);
/** Sends a dead letter back, or says what would be sent. */
export const sendBack = (offset, asked) => post(`dead-letters/${offset}/replay`, asked);

/** Whether this dashboard takes commands; null while that is not known. */
export function useActions() {
  const [may, setMay] = useState(known);
  useEffect(() => { if (!known) ask("actions").then((body) => { known = body; setMay(body); }).catch(() => {}); }, []);
  return may;
}

export function TokenField() {
  return html`<label>token <input type="password" autocomplete="off" onInput=${(event) => { token = event.target.value.trim(); }} /></label>`;
}

function effectText({ changes, regions, loads_again, generation, kind }) {
  if (!generation) return "It would change nothing: the log holds that already.";
  if (loads_again) return `${plural(loads_again, "region")} would load again what they serve.`;
  if (!changes.length) return `No region would serve another version now; it would hold from then on (${kind.toLowerCase()}).`;
  return `${changes.length} of ${plural(regions, "region")} would serve another version:`;
}

function Effect({ effect }) {
  return html`<p>${effectText(effect)}</p>${effect.changes.length ? html`<ul class="plain">${effect.changes.slice(0, 12).map((each) => html`<li key=${each.region}>${each.region}: ${version(each.version_from)} → ${version(each.version_to)}</li>`)}${effect.changes.length > 12 ? html`<li>… ${effect.changes.length - 12} more</li>` : null}</ul>` : null}`;
}

/** The form of a model's commands; nothing where this dashboard is only read. */
export function Actions({ model, regions, generation }) {
  const may = useActions();
  const [open, setOpen] = useState(false);
  const [asked, setAsked] = useState({ kind: "PIN", version: "", region: "", reason: "" });
  const [seen, setSeen] = useState(null); // the effect, and the command that has it
  const [typed, setTyped] = useState("");
  const [said, setSaid] = useState("");
  const opened = useRef(generation);
  if (!may?.enabled) return null;
  const verb = may.kinds.find((each) => each.kind === asked.kind);
  const change = (part) => { setAsked({ ...asked, ...part }); setSeen(null); setSaid(""); };
  const command = () => ({
    kind: asked.kind.toLowerCase(), reason: asked.reason, expected_generation: opened.current,
    regions: asked.region && verb.by_region ? [asked.region] : [],
    ...(verb.takes_version && asked.version ? { version: Number(asked.version) } : {}),
  });
  const look = async (event) => {
    event.preventDefault();
    setSaid("");
    const wanted = command();
    try { setSeen({ wanted, effect: await send(model, { ...wanted, dry_run: true }) }); setTyped(""); } catch (error) { setSeen(null); setSaid(error.message); }
  };
  const act = async () => {
    try {
      const done = await send(model, seen.wanted);
      setSaid(done.generation ? `Written as generation ${done.generation}, by ${done.requested_by}.` : "Nothing to change.");
      if (done.generation) opened.current = done.generation;
    } catch (error) { setSaid(error.message); }
    setSeen(null);
  };
  const everywhere = seen && !seen.wanted.regions.length;
  const ready = seen?.effect.generation && (!everywhere || typed === model);
  if (!open) return html`<p><button type="button" onClick=${() => { opened.current = generation; setOpen(true); }}>command from here …</button></p>`;
  return html`<form class="actions" aria-label="command" onSubmit=${look}>
    ${!may.by_proxy && html`<${TokenField} />`}
    <label>do <select value=${asked.kind} onChange=${(event) => change({ kind: event.target.value })}>${may.kinds.map(({ kind }) => html`<option key=${kind} value=${kind}>${kind.toLowerCase()}</option>`)}</select></label>
    ${verb.takes_version && html`<label>version <input type="number" min="1" required=${verb.needs_version} value=${asked.version} onInput=${(event) => change({ version: event.target.value })} /></label>`}
    ${verb.by_region && html`<label>where <select value=${asked.region} onChange=${(event) => change({ region: event.target.value })}><option value="">all regions</option>${regions.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>`}
    <label>why <input type="text" maxlength="1024" value=${asked.reason} onInput=${(event) => change({ reason: event.target.value })} /></label>
    <button type="submit">show what it would change</button>
    <div role="status">${seen && html`<${Effect} effect=${seen.effect} />`}
      ${seen && seen.effect.generation && everywhere ? html`<label>all regions: type <b>${model}</b> to confirm <input type="text" autocomplete="off" value=${typed} onInput=${(event) => setTyped(event.target.value)} /></label>` : null}
      ${seen && seen.effect.generation ? html` <button type="button" disabled=${!ready} onClick=${act}>${asked.kind.toLowerCase()} now</button>` : null}
      ${said && html`<p><${Said} text=${said} /></p>`}</div></form>`;
}
