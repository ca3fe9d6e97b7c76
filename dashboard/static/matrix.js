// All models by all regions on a canvas that draws only what is seen. The table of models says the same in words.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.mjs";
import { number, plural } from "./format.js";
import { sprites } from "./shapes.js";
import { old, store, watch } from "./store.js";

const ROW = 18, HEAD = 22, ABSENT = 255, HEIGHT_MAX = 420;
const FEW_REGIONS = 16;

let grouped = false; // a column a group of regions: those whose names begin alike
const kept = { of: null, version: -1, grid: null };
const groupOf = (region) => region.split("-", 1)[0];

/** The grid as it is drawn: a column a region, or a column a group with the worst status in it. */
function shown() {
  const { grid } = store;
  if (!grouped || !grid) return grid;
  if (kept.of === grid && kept.version === grid.version) return kept.grid;
  const groups = [...new Set(grid.regions.map(groupOf))], columns = groups.length;
  const at = grid.regions.map((region) => groups.indexOf(groupOf(region)));
  const cells = new Uint8Array(grid.models.length * columns).fill(ABSENT);
  const out = grid.statuses.indexOf("OUT"), rank = (code) => (code === out ? ABSENT - 1 : code);
  for (let row = 0; row < grid.models.length; row += 1) for (let column = 0; column < at.length; column += 1) {
    const code = grid.cells[row * at.length + column], cell = row * columns + at[column];
    if (rank(code) < rank(cells[cell])) cells[cell] = code;
  }
  return Object.assign(kept, { of: grid, version: grid.version, grid: { ...grid, regions: groups, cells } }).grid;
}

const measure = document.createElement("canvas").getContext("2d");

function layout(width) {
  const grid = shown();
  measure.font = "12px ui-monospace, monospace";
  const longest = grid.models.reduce((most, name) => (name.length > most.length ? name : most), "");
  const label = Math.min(measure.measureText(longest).width + 14, Math.max(90, width * 0.3), 320);
  const free = width - label - 18;
  const most = grid.regions.length <= FEW_REGIONS ? 110 : 22;
  const cell = Math.max(9, Math.min(most, Math.floor(free / Math.max(1, grid.regions.length))));
  return { label, cell, named: cell >= 34, total: label + cell * grid.regions.length };
}

/** Rows of the grid in the order asked for. */
function ordered(sort) {
  const grid = shown(), columns = grid.regions.length;
  const rows = grid.models.map((name, place) => place);
  if (sort === "name") return rows;
  const score = rows.map((row) => { // how many pairs have each status, the worst status first
    const found = new Int32Array(grid.statuses.length);
    for (let at = row * columns; at < (row + 1) * columns; at += 1) if (grid.cells[at] !== ABSENT) found[grid.cells[at]] += 1;
    return found;
  });
  const compare = (a, b) => {
    for (let code = 0; code < grid.statuses.length; code += 1) if (score[a][code] !== score[b][code]) return score[b][code] - score[a][code];
    return a - b;
  };
  return rows.sort(compare);
}

function draw(canvas, box, rows, cursor, cache) {
  const grid = shown();
  const place = layout(box.clientWidth), ratio = devicePixelRatio || 1;
  const width = box.clientWidth, height = box.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const style = getComputedStyle(box), ink = style.color, paper = style.backgroundColor;
  const key = `${place.cell}/${ratio}/${ink}`;
  if (cache.key !== key) Object.assign(cache, { key, sprites: sprites(grid.statuses, Math.min(place.cell, 18), ROW - 3, ratio) });
  const c = canvas.getContext("2d"), { scrollLeft: left, scrollTop: top } = box;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  c.font = "12px ui-monospace, monospace";
  c.textBaseline = "middle";
  const columns = grid.regions.length, sprite = Math.min(place.cell, 18);
  const firstRow = Math.floor(top / ROW), lastRow = Math.min(rows.length, Math.ceil((top + height) / ROW));
  const firstColumn = Math.max(0, Math.floor(left / place.cell)), lastColumn = Math.min(columns, Math.ceil((left + width - place.label) / place.cell));
  for (let at = firstRow; at < lastRow; at += 1) {
    const y = HEAD + at * ROW - top;
    for (let column = firstColumn; column < lastColumn; column += 1) {
      const code = grid.cells[rows[at] * columns + column];
      if (code === ABSENT) continue;
      const x = place.label + column * place.cell - left;
      c.drawImage(cache.sprites[code], x + (place.cell - sprite) / 2, y + 1, sprite, ROW - 3);
    }
  }
  c.fillStyle = paper;
  c.fillRect(0, HEAD, place.label, height);
  c.fillStyle = ink;
  for (let at = firstRow; at < lastRow; at += 1) {
    c.fillText(cut(c, grid.models[rows[at]], place.label - 10), 2, HEAD + at * ROW - top + ROW / 2);
  }
  c.fillStyle = paper;
  c.fillRect(0, 0, width, HEAD);
  c.fillStyle = ink;
  c.textAlign = "center";
  if (place.named) for (let column = firstColumn; column < lastColumn; column += 1) {
    c.fillText(cut(c, grid.regions[column], place.cell - 4), place.label + (column + 0.5) * place.cell - left, HEAD / 2);
  }
  c.textAlign = "left";
  if (!place.named) groupHeads(c, grid, place, left);
  if (cursor) {
    c.strokeStyle = ink;
    c.lineWidth = 2;
    c.strokeRect(place.label + cursor.column * place.cell - left, HEAD + cursor.row * ROW - top, place.cell, ROW - 1);
  }
}

/** Too narrow for names: the groups' names stand above, and a line between them. */
function groupHeads(c, grid, place, left) {
  const heads = grid.regions.map(groupOf);
  const starts = heads.map((group, column) => column).filter((column) => !column || heads[column] !== heads[column - 1]);
  if (starts.length > heads.length / 2) { c.fillText(plural(heads.length, "region"), place.label, HEAD / 2); return; }
  starts.forEach((column, number) => {
    const x = place.label + column * place.cell - left, width = ((starts[number + 1] ?? heads.length) - column) * place.cell;
    if (x < place.label - 1) return;
    c.fillRect(x, 2, 1, HEAD - 4);
    c.fillText(cut(c, heads[column], width - 8), x + 4, HEAD / 2);
  });
}

function cut(c, text, width) {
  if (c.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && c.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}

function cellText(rows, cursor) {
  const grid = shown();
  if (!cursor || !grid.models.length || !grid.regions.length) return "";
  const row = rows[cursor.row], code = grid.cells[row * grid.regions.length + cursor.column];
  const status = code === ABSENT ? "not there" : grid.statuses[code];
  return `${grid.models[row]} in ${grid.regions[cursor.column]}: ${status === "OK" && old() ? "OK then" : status}`;
}

function summary() {
  const grid = shown(), found = new Map();
  for (const code of grid.cells) if (code !== ABSENT) found.set(code, (found.get(code) ?? 0) + 1);
  const counts = [...found].sort((a, b) => a[0] - b[0]).map(([code, count]) => `${number(count)} ${grid.statuses[code]}`);
  return `${plural(grid.models.length, "model")} by ${plural(grid.regions.length, grouped ? "group" : "region")}: ${counts.join(", ")}. The table of models says the same.`;
}

/** The matrix. Arrow keys move over cells and say what they are; Enter and a click open the model. */
export function Matrix() {
  const box = useRef(null), canvas = useRef(null), cache = useRef({}), rows = useRef([]), drawn = useRef("");
  const [sort, setSort] = useState("worst");
  const [cursor, setCursor] = useState(null);
  const [hover, setHover] = useState(null);
  const [group, setGroup] = useState(grouped);
  const paint = (force) => {
    if (!box.current || !store.grid) return;
    const key = `${store.grid.as_of_us}/${store.grid.version}/${sort}/${grouped}`;
    if (key !== drawn.current) { rows.current = ordered(sort); drawn.current = key; } else if (!force) return;
    draw(canvas.current, box.current, rows.current, cursor, cache.current);
  };
  useEffect(() => {
    paint(true);
    const stop = watch(() => paint(false));
    const again = () => paint(true);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const sized = new ResizeObserver(again);
    sized.observe(box.current);
    dark.addEventListener("change", again);
    return () => { stop(); sized.disconnect(); dark.removeEventListener("change", again); };
  });
  const grid = shown();
  const place = box.current ? layout(box.current.clientWidth) : { label: 90, cell: 9, total: 300 };
  const cellAt = (event) => {
    const { left, top } = canvas.current.getBoundingClientRect();
    const column = Math.floor((event.clientX - left - place.label + box.current.scrollLeft) / place.cell);
    const row = Math.floor((event.clientY - top - HEAD + box.current.scrollTop) / ROW);
    return row >= 0 && row < grid.models.length && column >= 0 && column < grid.regions.length && event.clientX - left >= place.label ? { row, column } : null;
  };
  const open = (at) => { if (at) dispatchEvent(new CustomEvent("go", { detail: `/models/${grid.models[rows.current[at.row]]}` })); };
  const key = (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === "Enter") { open(cursor); return; }
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [down, right] = steps[event.key], from = cursor ?? { row: -down, column: -right };
    const clamp = (value, end) => Math.max(0, Math.min(end - 1, value));
    const next = { row: clamp(from.row + down, grid.models.length), column: clamp(from.column + right, grid.regions.length) };
    box.current.scrollTop = Math.min(Math.max(box.current.scrollTop, HEAD + (next.row + 2) * ROW - box.current.clientHeight), next.row * ROW);
    box.current.scrollLeft = Math.min(Math.max(box.current.scrollLeft, place.label + (next.column + 1) * place.cell - box.current.clientWidth), next.column * place.cell);
    setCursor(next);
  };
  if (!grid.models.length) return null;
  const height = Math.min(HEIGHT_MAX, HEAD + grid.models.length * ROW + (place.total > (box.current?.clientWidth ?? 1e9) ? 16 : 2));
  return html`<section aria-label="matrix of models and regions">
    <div class="bar"><h2>${plural(grid.models.length, "model")} × ${plural(grid.regions.length, grouped ? "group" : "region")}</h2>
      <span class="choice">columns ${[["regions", false], ["groups", true]].map(([label, each]) => html`<button type="button" aria-pressed=${group === each} onClick=${() => { grouped = each; setGroup(each); setCursor(null); }}>${label}</button>`)}</span>
      <span class="choice">sort ${["worst", "name"].map((each) => html`<button type="button" aria-pressed=${sort === each} onClick=${() => setSort(each)}>${each}</button>`)}</span></div>
    <div class="matrix" ref=${box} style=${{ height: `${height}px` }} onScroll=${() => paint(true)}>
      <canvas ref=${canvas} role="img" tabindex="0" aria-label=${summary()} style=${{ height: `${height}px` }}
        onKeyDown=${key} onClick=${(event) => open(cellAt(event))} onBlur=${() => setCursor(null)}
        onMouseMove=${(event) => setHover(cellAt(event))} onMouseLeave=${() => setHover(null)}></canvas>
      <div class="extent" style=${{ width: `${place.total}px`, height: `${HEAD + grid.models.length * ROW}px` }}></div>
    </div>
    <p class="cell" aria-live="polite">${cellText(rows.current, cursor)}${!cursor && hover ? html`<span aria-hidden="true">${cellText(rows.current, hover)}</span>` : null}${!cursor && !hover ? html`<${Legend} />` : null}</p>
  </section>`;
}

function Legend() {
  return html`<span class="legend">${[...store.statuses.values()].filter((each) => each.status !== "OUT").map((each) => html`<span class=${`w-${each.status}`} title=${each.means}><b aria-hidden="true">${each.shape}</b> ${each.status}</span>`)}</span>`;
}
