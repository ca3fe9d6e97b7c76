// KAFKA: how far each consumer group has read.

import { html, useEffect, useState } from "./vendor/htm-preact-standalone.mjs";
import { duration, MISSING, number, plural } from "./format.js";
import { Ago, Command, Said, Trend, useMore } from "./parts.js";
import { ask, changed } from "./store.js";

const LOOK_MS = 5000, OLD_US = 20e6;
const BADGES = { STOP: ["■", "FAILED"], STALL: ["▬", "FAILED"], REWIND: ["↺", "FAILED"], ERR: ["✕", "FAILED"], WARN: ["◢", "LAG"], NONE: ["?", "NONE"], OK: ["·", "OK"] };
const NEXT = {
  STALL: "look at its log; restart it if it hangs: nothing is lost",
  REWIND: "someone moved its offsets, or the topic was made anew: it reads again what it knows",
};

/** Asks every few seconds while the page is seen; keeps the last answer. */
function useEvery(path) {
  const [answer, setAnswer] = useState({});
  useEffect(() => {
    let over = false;
    const read = async () => {
      try {
        const body = await ask(path);
        if (!over) setAnswer({ body });
      } catch (error) {
        if (!over) setAnswer((before) => ({ ...before, error: error.message }));
      }
      changed();
    };
    read();
    const timer = setInterval(() => { if (!document.hidden) read(); }, LOOK_MS);
    return () => { over = true; clearInterval(timer); };
  }, [path]);
  return answer;
}

function GroupBadge({ status, statuses, then }) {
  const [shape, colour] = BADGES[status];
  return html`<span class=${`badge w-${colour}`} title=${statuses.find((each) => each.status === status)?.means}><span aria-hidden="true">${shape}</span> ${status}${then ? " then" : ""}</span>`;
}

const seconds = ({ lag_seconds: lag, lag_records: waiting, at_least: more }) => {
  if (lag === null) return MISSING;
  return waiting ? `${more ? "at least " : ""}${duration(lag)}` : "none";
};

/** Starts the daemon that reads in this group. */
const start = (group) => `modelcast run ${group.replace(/^modelcast-/, "").replace(/^region-/, "region ")}`;

function Slowest({ group }) {
  const [first] = group.partitions.filter((each) => each.lag_records || each.error);
  return first ? html`<bdi>${first.topic}/${first.partition}</bdi>` : MISSING;
}

function Group({ group, statuses, then }) {
  const waiting = group.partitions.filter((each) => each.lag_records || each.error);
  const [shown, more] = useMore(12);
  return html`<tr><th scope="row"><bdi>${group.group}</bdi></th><td data-label="status"><${GroupBadge} status=${group.status} statuses=${statuses} then=${then} /></td>
      <td data-label="oldest unread">${seconds(group)}</td><td data-label="unread records"><${Trend} values=${group.trend} /> ${group.lag_records === null ? MISSING : number(group.lag_records)}</td>
      <td data-label="slowest partition"><${Slowest} group=${group} /></td><td data-label="members">${group.members ?? MISSING}</td>
      <td data-label="last read"><${Ago} us=${group.moved_at_us} /></td></tr>
    ${(group.error || group.status === "STOP" || NEXT[group.status]) && html`<tr class="below"><td colspan="7">${group.error ? html`<${Said} text=${group.error} />` : group.status === "STOP" ? html`<${Command} text=${start(group.group)} />` : NEXT[group.status]}</td></tr>`}
    ${waiting.length > 1 && html`<tr class="below"><td colspan="7"><details><summary>${plural(waiting.length, "partition")} with unread records</summary><ul class="plain">${waiting.slice(0, shown).map((each) => html`<li key=${`${each.topic}/${each.partition}`}><bdi>${each.topic}/${each.partition}</bdi>: ${each.status}, ${seconds(each)}, ${plural(each.lag_records, "record")}${each.error ? html`, <${Said} text=${each.error} />` : ""}</li>`)}</ul>${more(waiting.length)}</details></td></tr>`}`;
}

/** The way of the newest probe, hop by hop, and what was lost today. */
function Probe() {
  const { body, error } = useEvery("kafka/probe");
  if (error && !body) return html`<p>${error}</p>`;
  if (!body) return null;
  const probe = body.probe;
  if (!probe) return html`<section aria-label="probe"><h2>Probe</h2><p class="notes">No probe was seen yet: no tracker runs, or its setting tracker.probe_seconds is 0.</p></section>`;
  const hops = [["store answers", took(probe.log_seconds)], ["Kafka", took(probe.kafka_seconds)],
    [`${number(probe.answered)} of ${plural(probe.asked, "region")}`, `p50 ${took(probe.region_seconds_p50)}, p95 ${took(probe.region_seconds_p95)}`],
    ["tracker", took(probe.tracker_seconds)], ["page", took(probe.page_seconds)]];
  const missing = probe.regions.filter((each) => each.lost_today || (each.asked && each.seconds === null));
  const [first, ...names] = missing.map((each) => each.region);
  return html`<section aria-label="probe"><h2>Probe</h2>
    <p class="notes">a record that goes the whole way to every region and back every ${duration(probe.every_seconds)}; the last one <${Ago} us=${probe.sent_at_us} /></p>
    <p class="probe">${hops.map(([name, time], place) => html`<span key=${name}>${place ? html` <span aria-hidden="true">→</span> ` : ""}${name} ${time}</span>`)}</p>
    <p>lost ${number(probe.lost_today)} of ${number(probe.finished_today)} today (UTC)${first ? html`; unanswered by <bdi>${[first, ...names.slice(0, 4)].join(", ")}</bdi>${names.length > 4 ? ` and ${names.length - 4} more` : ""}` : ""}</p>
    ${probe.trouble && html`<p class="missing"><${Said} text=${probe.trouble} /></p>`}</section>`;
}

const took = (seconds) => (seconds !== null && seconds < 0.0995 ? `${Math.round(seconds * 1000)} ms` : duration(seconds));

export function Kafka() {
  useEffect(() => { document.title = "Kafka · Modelcast"; });
  return html`<${Groups} /><${Probe} />`;
}

function Groups() {
  const { body, error } = useEvery("kafka/groups");
  if (error && !body) return html`<p>${error}</p>`;
  if (!body) return html`<p>Loading…</p>`;
  const problem = error || body.error;
  const wrong = problem ? html`<p class="missing"><${Said} text=${problem} /></p>` : null;
  if (!body.looked_at_us) return wrong ?? html`<p>The consumer groups are being looked at…</p>`;
  if (!body.groups.length) return html`${wrong}<p>No consumer group is seen: no tracker and no region has read yet, or this dashboard's Kafka user may not describe groups (infra/deploy/kafka/acls.sh grants it).</p>`;
  const then = body.fresh.as_of_us - body.looked_at_us > OLD_US;
  return html`${wrong}${then && html`<p class="missing">Kafka has not said since <${Ago} us=${body.looked_at_us} ago=${false} /> how far its consumer groups have read: this is how they were then.</p>`}<section aria-label="consumer groups"><h2>${plural(body.groups.length, "consumer group")}, worst first</h2>
    <p class="notes">looked at <${Ago} us=${body.looked_at_us} /></p>
    <table class="table"><thead><tr><th scope="col">group</th><th scope="col">status</th><th scope="col">oldest unread</th><th scope="col">unread records</th><th scope="col">slowest partition</th><th scope="col">members</th><th scope="col">last read</th></tr></thead>
    <tbody>${body.groups.map((each) => html`<${Group} key=${each.group} group=${each} statuses=${body.statuses} then=${then} />`)}</tbody></table></section>`;
}
