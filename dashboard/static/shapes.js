// The statuses' shapes as they are drawn in the matrix: each differs in form, not only in colour.

const DRAW = {
  ALARM(c, w, h) { c.fillRect(0, 0, w, h); c.globalCompositeOperation = "destination-out"; cross(c, w, h, 0.28); },
  SILENT(c, w, h) { c.strokeRect(w * 0.3, h * 0.12, w * 0.4, h * 0.76); },
  REFUSED(c, w, h) { const r = Math.min(w, h) * 0.36; c.beginPath(); c.arc(w / 2, h / 2, r, 0, 7); c.moveTo(w / 2 - r * 0.7, h / 2 + r * 0.7); c.lineTo(w / 2 + r * 0.7, h / 2 - r * 0.7); c.stroke(); },
  FAILED(c, w, h) { cross(c, w, h, 0.2); },
  STALLED(c, w, h) { c.fillRect(w * 0.08, h * 0.36, w * 0.84, h * 0.28); },
  LATE(c, w, h) { c.fillRect(w * 0.25, h * 0.06, w * 0.5, h * 0.88); },
  LAG(c, w, h) { c.beginPath(); c.moveTo(w * 0.85, h * 0.15); c.lineTo(w * 0.85, h * 0.85); c.lineTo(w * 0.15, h * 0.85); c.fill(); },
  EMPTY(c, w, h) { c.beginPath(); c.arc(w / 2, h / 2, Math.min(w, h) * 0.32, 0, 7); c.stroke(); },
  HELD(c, w, h) { c.fillRect(w * 0.15, h * 0.3, w * 0.7, h * 0.12); c.fillRect(w * 0.15, h * 0.58, w * 0.7, h * 0.12); },
  OUT() {},
  NONE(c, w, h) { c.font = `bold ${Math.floor(h * 0.8)}px monospace`; c.textAlign = "center"; c.textBaseline = "middle"; c.fillText("?", w / 2, h / 2); },
  OK(c, w, h) { c.beginPath(); c.arc(w / 2, h / 2, Math.max(1, Math.min(w, h) * 0.13), 0, 7); c.fill(); },
};

function cross(c, w, h, inset) {
  c.beginPath();
  c.moveTo(w * inset, h * inset); c.lineTo(w * (1 - inset), h * (1 - inset));
  c.moveTo(w * (1 - inset), h * inset); c.lineTo(w * inset, h * (1 - inset));
  c.stroke();
}

/** One small picture a status, `w` by `h` in CSS pixels, drawn once. */
export function sprites(statuses, w, h, ratio, dark) {
  return statuses.map((status) => {
    const picture = document.createElement("canvas");
    picture.width = Math.ceil(w * ratio);
    picture.height = Math.ceil(h * ratio);
    const c = picture.getContext("2d");
    c.scale(ratio, ratio);
    c.fillStyle = c.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue(`--${status}`).trim() || (dark ? "#fff" : "#000");
    c.lineWidth = Math.max(1.2, Math.min(w, h) * 0.14);
    (DRAW[status] ?? DRAW.NONE)(c, w, h);
    return picture;
  });
}
