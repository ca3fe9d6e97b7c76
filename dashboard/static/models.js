// The table of models, worst first: what the matrix shows, in words.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.mjs";
import { number, plural, version } from "./format.js";
import { Ago, Badge } from "./parts.js";
import { ask, changed, live, store, watchModels } from "./store.js";

const STEP = 12;
const WAIT_MS = 300;

/** How often what holds ages is asked for again: where nothing changes, only these do. */
export const AGES_MS = 5000;

/** Asks again when models changed, at most a few times a second, and every `againMs`; keeps the last answer meanwhile. */
export function useAnswer(path, concerns, againMs = 0) {
  const [answer, setAnswer] = useState({ path: "" });
  useEffect(() => {
    let timer = 0, over = false;
    const read = async () => {
      timer = 0;
      try {
        const body = await ask(path);
        if (!over) setAnswer({ path, body });
      } catch (error) {
        if (!over) setAnswer((before) => ({ ...before, path, error: error.message }));
      }
      changed();
    };
    read();
    const stop = watchModels((names) => {
      if (timer || (names && concerns && !names.some(concerns))) return;
      timer = setTimeout(read, WAIT_MS);
    });
    const again = againMs && setInterval(() => { if (!timer && !document.hidden && live()) read(); }, againMs);
    return () => { over = true; clearTimeout(timer); clearInterval(again); stop(); };
  }, [path]);
  return answer.path === path ? answer : {};
}

/** That an answer could not be had again: what is shown is the one before. */
export const Earlier = ({ error }) => (error ? html`<p class="missing">This could not be read again, and is how it was: ${error}</p>` : null);

/** An answer that is asked for again when its path changes; the last one stays meanwhile. */
export function useAsked(path) {
  const [answer, setAnswer] = useState({});
  useEffect(() => {
    if (!path) return undefined;
    let over = false;
    const timer = setTimeout(async () => {
      try {
        const body = await ask(path);
        if (!over) setAnswer({ body });
      } catch (error) {
        if (!over) setAnswer((before) => ({ ...before, error: error.message }));
      }
    }, 200);
    return () => { over = true; clearTimeout(timer); };
  }, [path]);
  return answer;
}

function chosen(find) {
  const text = find.trim(), status = text.toUpperCase();
  if (!text) return "";
  return store.statuses.has(status) ? `&status=${status}` : `&q=${encodeURIComponent(text)}`;
}

/** The models; `find`: a status, or a part of a name. */
export function ModelTable({ find = "" }) {
  const [limit, setLimit] = useState(STEP);
  const [sort, setSort] = useState("worst");
  const kept = useRef(null); // the table stays while another is on its way
  const body = (kept.current = useAnswer(`models?sort=${sort}&limit=${limit}${chosen(find)}`).body ?? kept.current);
  if (!body) return null;
  const rest = body.total - body.models.length;
  return html`<section aria-label="models">
    <div class="bar"><h2>${find.trim() ? `${plural(body.total, "model")} with “${find.trim()}”` : plural(body.total, "model")}</h2>
      <span class="choice">sort ${["worst", "name"].map((each) => html`<button type="button" aria-pressed=${sort === each} onClick=${() => setSort(each)}>${each}</button>`)}</span></div>
    <table class="table"><thead><tr><th scope="col">model</th><th scope="col">status</th><th scope="col">serving</th><th scope="col">consistent</th><th scope="col">latest</th><th scope="col">behind</th><th scope="col">digests too many</th></tr></thead>
    <tbody>${body.models.map((each) => html`<tr key=${each.model}>
      <th scope="row"><a href=${`/models/${each.model}`}>${each.model}</a></th>
      <td data-label="status"><${Badge} status=${each.status} /><${Others} statuses=${each.statuses} but=${each.status} /></td>
      <td data-label="serving"><${Bar} done=${each.serving} of=${each.counted} /> ${number(each.serving)}/${number(each.counted)}</td>
      <td data-label="consistent">${version(each.consistent_version)}</td>
      <td data-label="latest">${version(each.latest_version)}</td>
      <td data-label="behind"><${Ago} us=${each.behind_since_us} ago=${false} /></td>
      <td data-label="digests too many">${each.skew || "0"}</td></tr>`)}</tbody></table>
    ${rest > 0 && html`<p><button type="button" onClick=${() => setLimit(Math.min(1000, limit * 5))}>show more (${number(rest)} left)</button></p>`}
  </section>`;
}

/** What else is so in some regions. */
function Others({ statuses, but }) {
  const others = Object.entries(statuses).filter(([status]) => status !== but && status !== "OK" && status !== "HELD");
  return html`<span class="others">${others.map(([status, count]) => html` <span class=${`count w-${status}`}>${number(count)} ${status}</span>`)}</span>`;
}

/** How many of how many, drawn; the figures stand beside it. */
export function Bar({ done, of }) {
  return html`<span class="meter" aria-hidden="true"><span style=${{ width: `${of ? (100 * done) / of : 0}%` }}></span></span>`;
}
