// Dead letters: what could not be read or obeyed, by topic and reason, and sending one back.

import { html, useState } from "./vendor/htm-preact-standalone.mjs";
import { number, plural, size } from "./format.js";
import { sendBack, TokenField, useActions } from "./actions.js";
import { Ago, Command, Said } from "./parts.js";
import { useAnswer } from "./models.js";

function Replay({ letter, topic, may, again }) {
  const [said, setSaid] = useState("");
  const [asked, setAsked] = useState(false);
  const act = async () => {
    try {
      const done = await sendBack(letter.offset, { reason: "", expected_replays: letter.replays.length, dry_run: !asked });
      setSaid(done.sent ? `Sent back to ${done.topic}, by ${done.requested_by}.` : `${size(done.size_bytes)} would go to ${done.topic} again.`);
      setAsked(!done.sent);
      if (done.sent) again();
    } catch (error) { setSaid(error.message); setAsked(false); }
  };
  if (!may?.enabled) return html`<${Command} text=${`modelcast dead-letters replay ${letter.offset} --dry-run`} />`;
  return html`<button type="button" aria-label=${`${asked ? "send back" : "look at sending back"} letter ${letter.offset} to ${topic}`} onClick=${act}>${asked ? "send it back now" : "send back …"}</button> <span role="status"><${Said} text=${said} /></span>`;
}

export function Letters() {
  const [round, setRound] = useState(0);
  const { body, error } = useAnswer(`dead-letters?round=${round}`);
  const may = useActions();
  if (error && !body) return html`<section aria-label="dead letters"><h2>Dead letters</h2><p><${Said} text=${error} /></p></section>`;
  if (!body) return html`<p>Reading the dead letters…</p>`;
  if (!body.total) return html`<section aria-label="dead letters"><h2>Dead letters</h2><p>None: every record could be read and obeyed.</p></section>`;
  return html`<section aria-label="dead letters"><h2>Dead letters: the newest ${number(body.total)}</h2>${may?.enabled && !may.by_proxy ? html`<p><${TokenField} /></p>` : null}
    <table class="table"><thead><tr><th scope="col">topic</th><th scope="col">reason</th><th scope="col">count</th><th scope="col">first</th><th scope="col">last</th><th scope="col">reported by</th></tr></thead>
    <tbody>${body.groups.map((group) => html`<tr key=${`${group.topic}/${group.reason}`}><th scope="row"><bdi>${group.topic}</bdi></th><td data-label="reason"><${Said} text=${group.reason} /></td><td data-label="count">${number(group.count)}</td>
      <td data-label="first"><${Ago} us=${group.first_us} /></td><td data-label="last"><${Ago} us=${group.last_us} /></td><td data-label="reported by"><${Said} text=${group.letters[0].reported_by} max=${60} /></td></tr>
      <tr class="below"><td colspan="6"><details><summary>the newest ${plural(group.letters.length, "letter")}</summary><ul class="plain">${group.letters.map((letter) => html`<li key=${letter.offset}>
        <${Ago} us=${letter.received_at_us} />, ${size(letter.size_bytes)} of <bdi>${group.topic}[${letter.partition}]@${letter.source_offset}</bdi>: <${Said} text=${letter.detail} max=${160} />
        ${letter.replays.map((each) => html` · sent back <${Ago} us=${each.at_us} /> by <${Said} text=${each.by} max=${60} />`)} <${Replay} letter=${letter} topic=${group.topic} may=${may} again=${() => setRound(round + 1)} /></li>`)}</ul></details></td></tr>`)}</tbody></table></section>`;
}
