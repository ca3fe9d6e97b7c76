// Quantities as people read them; the same figures as schemas/quantities.py, which a test compares.

export const MISSING = "—";
const TIMES = [[1, "s"], [60, "min"], [3600, "h"], [86400, "d"]];
const BEFORE_NEXT = [99.5, 99.5 * 60, 48 * 3600];
const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function twoFigures(value, keepZero) {
  if (value >= 9.95) return value.toFixed(0);
  const text = value.toFixed(1);
  return keepZero ? text : text.replace(/\.0$/, "");
}

/** Seconds as "0.4 s", "48 s", "14 min", "3.2 h", "6 d". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  const value = Math.max(0, seconds);
  const step = BEFORE_NEXT.filter((limit) => value >= limit).length;
  const [scale, unit] = TIMES[step];
  return `${twoFigures(value / scale, unit === "s")} ${unit}`;
}

/** Bytes as "512 B", "1.5 MiB". */
export function size(count) {
  if (count === null || count === undefined) return MISSING;
  let value = Math.max(0, count), step = 0;
  while (value >= 1023.5 && step < SIZES.length - 1) { value /= 1024; step += 1; }
  return step === 0 ? `${value.toFixed(0)} B` : `${twoFigures(value, true)} ${SIZES[step]}`;
}

/** 99302 as "99,302". */
export const number = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");

/** "1 region", "200 regions". */
export const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many || `${one}s`}`;

/** A version, or that there is none. */
export const version = (value) => (value === null || value === undefined ? MISSING : String(value));

const two = (value) => String(value).padStart(2, "0");

/** A moment (UTC microseconds) in the reader's own time: with the day if it was not today. */
export function clock(us, nowUs) {
  if (!us) return MISSING;
  const then = new Date(us / 1000), now = new Date(nowUs / 1000);
  const time = `${two(then.getHours())}:${two(then.getMinutes())}:${two(then.getSeconds())}`;
  if (then.toDateString() === now.toDateString()) return time;
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${time}`;
}

/** The same moment for copies and titles. */
export const utc = (us) => (us ? new Date(us / 1000).toISOString().replace(/\.\d+Z$/, "Z") : MISSING);
