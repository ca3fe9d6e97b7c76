// What the page knows, and how old it is.

import { listen } from "./link.js";

const RECOVERED_SECONDS = 120, SPOKEN_MS = 1000, SPOKEN_MAX = 3;
const QUIET_SECONDS = 4.5; // two missed ticks: the stream may be open and dead
const UNHEARD_SECONDS = 3; // a tracker tells each second that it lives

export const store = {
  statuses: new Map(), // status -> {shape, light, dark, means}
  rank: new Map(),
  verdict: null, fresh: null, revision: -1, boot: "",
  problems: new Map(), order: [], recovered: [], trends: new Map(), told: "",
  entries: [], grid: null,
  open: false, opened: false, heardAt: 0, offsetUs: 0, loaded: false, error: null,
};

const watchers = new Set();
let queued = false;

/** Calls `watcher()` after every change, once a frame. */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export function changed() {
  if (queued) return;
  queued = true;
  const run = () => { if (!queued) return; queued = false; for (const each of [...watchers]) each(); };
  requestAnimationFrame(run);
  setTimeout(run, 250); // a hidden tab draws no frames
}

/** The server's clock in microseconds; it stands still while nothing is heard, so that no lag is made up. */
export function nowUs() {
  const at = live() ? performance.now() : store.heardAt;
  return store.offsetUs + at * 1000;
}

/** Seconds since anything was heard from the dashboard. */
export const pageAge = () => (performance.now() - store.heardAt) / 1000;
/** Whether news arrive; a stream that was never open yet is waited for as long as a quiet one. */
export const live = () => (store.open || !store.opened) && pageAge() < QUIET_SECONDS;

/** Seconds since the tracker spoke, also while the page is cut off. */
export function trackerAge() {
  if (!store.fresh || store.fresh.age_seconds === null) return null;
  return store.fresh.age_seconds + (store.offsetUs + performance.now() * 1000 - store.fresh.as_of_us) / 1e6;
}

/** Seconds since a tracker reported that it lives, if that is too long; else 0. */
export function trackerUnheard() {
  if (!store.fresh || store.fresh.tracker_seconds === null) return 0;
  if (store.fresh.tracker_seconds <= UNHEARD_SECONDS) return 0; // as the dashboard saw it: what the page waits for is no silence
  return store.fresh.tracker_seconds + (store.offsetUs + performance.now() * 1000 - store.fresh.as_of_us) / 1e6;
}

/** Whether the page shows how things were. */
export const old = () => store.loaded && (!live() || (trackerAge() ?? 0) > 90);

function takeFresh(fresh, ageMs = 0) {
  if (!fresh) return;
  store.heardAt = performance.now() - ageMs;
  store.offsetUs = fresh.as_of_us - store.heardAt * 1000;
  store.fresh = fresh;
}

/** An answer may be one that the browser had kept: then it says less than what is known. */
function takeAnswered(fresh) {
  if (!store.fresh || fresh.as_of_us > store.fresh.as_of_us) takeFresh(fresh);
  else store.heardAt = performance.now();
}

/** One answer of the API; throws with what the dashboard says is wrong. */
export async function ask(path) {
  const response = await fetch(`/api/v1/${path}`);
  const body = await response.json();
  if (!response.ok) throw new Error([body.error, body.subject, body.hint].filter(Boolean).join(" · "));
  if (body.fresh) takeAnswered(body.fresh);
  return body;
}

async function askGrid() {
  const response = await fetch("/api/v1/grid");
  if (!response.ok) throw new Error(`the grid: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const end = bytes.indexOf(10);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  const index = (names) => new Map(names.map((name, place) => [name, place]));
  return { ...head, cells: bytes.slice(end + 1), model: index(head.models), region: index(head.regions), version: 0 };
}

const unsaid = []; // what is new since it was last read out

/** For who can't see rows come: what is new, in a sentence, a moment later, so that many are one. */
function readOut(text) {
  if (!store.loaded) return;
  unsaid.push(text);
  if (unsaid.length > 1) return;
  setTimeout(() => {
    const more = unsaid.length > SPOKEN_MAX ? `, and ${unsaid.length - SPOKEN_MAX} more` : "";
    store.told = `${unsaid.slice(0, SPOKEN_MAX).join(", ")}${more}`;
    unsaid.length = 0;
    changed();
  }, SPOKEN_MS);
}

const named = (problem) => `${problem.title}${problem.region && problem.region !== problem.title ? ` in ${problem.region}` : ""}`;

/** A line by what it is about: its status may be another one than before. */
function takeProblem(problem, before) {
  const turned = before && before.status !== problem.status;
  const was = turned ? { status: before.status, us: nowUs() } : before?.was ?? null;
  store.problems.set(problem.id, { ...problem, was });
  if (turned) readOut(`${named(problem)} is ${problem.status}, was ${before.status}`);
  else if (!before) readOut(`${named(problem)} is ${problem.status}`);
}

let loading = null;

/** Reads everything that NOW shows. */
export function load() {
  loading ??= (async () => {
    try {
      const [statuses, verdict, problems, entries, grid] = await Promise.all(
        [ask("statuses"), ask("verdict"), ask("problems?limit=200"), ask("entries"), askGrid()]);
      store.statuses = new Map(statuses.statuses.map((each) => [each.status, each]));
      store.rank = new Map(statuses.statuses.map((each, place) => [each.status, place]));
      Object.assign(store, { verdict: verdict.verdict, boot: verdict.boot, revision: verdict.revision, grid, entries: entries.entries });
      const before = store.problems;
      store.problems = new Map();
      for (const each of problems.problems) takeProblem(each, before.get(each.id));
      store.order = problems.problems.map((each) => each.id);
      store.trends = new Map(Object.entries(problems.trends));
      store.loaded = true;
      store.error = null;
    } catch (error) {
      store.error = error.message;
      setTimeout(load, 3000);
    } finally {
      loading = null;
      changed();
    }
  })();
  return loading;
}

const modelWatchers = new Set();

/** Calls `watcher(names)` when models changed; `null`: any may have. */
export function watchModels(watcher) {
  modelWatchers.add(watcher);
  return () => modelWatchers.delete(watcher);
}

const HEAR = {
  hello(data, ageMs) {
    takeFresh(data.fresh, ageMs);
    if (store.loaded && data.boot !== store.boot) HEAR.resync();
  },
  tick: takeFresh,
  resync() { load(); for (const each of modelWatchers) each(null); },
  verdict(data) { store.verdict = data; },
  problem(data) { takeProblem(data, store.problems.get(data.id)); },
  gone(id) { store.problems.delete(id); }, // not more than that: its pairs may stand in another line
  recovered(data) {
    store.recovered = [data, ...store.recovered.filter((each) => each.id !== data.id)].slice(0, 5);
    readOut(`${named(data)} has recovered from ${data.status}`);
  },
  order(ids) { store.order = ids; },
  entry(line) { // again, if it came to be known that it is not in the log
    const known = store.entries.some((each) => each.id === line.id);
    store.entries = known ? store.entries.map((each) => (each.id === line.id ? line : each)) : [line, ...store.entries].slice(0, 100);
  },
  models(names) { for (const each of modelWatchers) each(names); },
  pairs(rows) {
    const { grid } = store;
    if (!grid) return;
    for (const [model, region, status] of rows) {
      const row = grid.model.get(model), column = grid.region.get(region);
      if (row === undefined || column === undefined) { load(); return; }
      grid.cells[row * grid.regions.length + column] = store.rank.get(status);
    }
    grid.version += 1;
  },
  open() { store.open = store.opened = true; },
  lost() { store.open = false; },
  bye() { store.open = false; },
};

const figure = (problem) => (problem?.pairs === 1 && problem.bytes_planned ? problem.bytes_per_second : problem?.pairs ?? 0);

/** Loads, and follows. */
export function start() {
  load();
  listen(({ kind, data, at }) => {
    const ageMs = at ? Math.max(0, Date.now() - at) : 0; // the worker tells who comes late what it heard last
    if (kind !== "lost" && kind !== "open") store.heardAt = performance.now() - ageMs;
    HEAR[kind]?.(data, ageMs);
    changed();
  });
  setInterval(() => { // as the dashboard samples them
    if (!live()) return;
    const kept = store.trends;
    store.trends = new Map(store.order.map((id) => [id, [...(kept.get(id) ?? []), figure(store.problems.get(id))].slice(-24)]));
  }, 10000);
  setInterval(() => {
    store.recovered = store.recovered.filter((each) => nowUs() - each.recovered_us < RECOVERED_SECONDS * 1e6);
    changed();
  }, 1000);
}
