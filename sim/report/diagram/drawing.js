// ------------------------------------------------------------------ drawing

const stage = byId("stage"), canvas = byId("lanes"), map = byId("map");
const sheet = canvas.getContext("2d"), mapSheet = map.getContext("2d");
let width = 0, height = 0, laneHeight = 40, waiting = false, printing = false;
const FONT = 'system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif';

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ground", "panel", "ink", "soft", "line", "hair", "mark", "focus", "request",
    "reply", "push", "query", "answer", "bus", "fault", "band", "violation", "healed", "window"])
    colours[name] = style.getPropertyValue("--" + name).trim();
}

function size(target, context, wide, high) {
  const ratio = window.devicePixelRatio || 1;
  target.width = Math.round(wide * ratio);
  target.height = Math.round(high * ratio);
  target.style.height = high + "px";
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

const x = (ms) => GUTTER + (ms - view.from) / view.span * (width - GUTTER);
const y = (lane) => AXIS + 14 + laneHeight * (lane + .5);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function redraw() {
  if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); }
}

function draw() {
  view.span = clamp(view.span, LEAST_MS, length * 1.1);
  view.from = clamp(view.from, -view.span * .1, Math.max(length - view.span * .9, 0));
  const wide = printing ? 1030 : stage.clientWidth;
  const high = printing ? clamp(data.lanes.length * 34 + 52, 300, 520) : Math.max(stage.clientHeight, 160);
  laneHeight = Math.max(20, Math.min(88, (high - AXIS - 28) / data.lanes.length));
  const needed = Math.max(AXIS + 28 + laneHeight * data.lanes.length, high) | 0;
  if (wide !== width || needed !== height) {
    width = wide; height = needed;
    size(canvas, sheet, width, height - 1);
  }
  sheet.clearRect(0, 0, width, height);
  drawn = visible();
  sheet.save();
  sheet.beginPath(); sheet.rect(GUTTER, 0, width - GUTTER, height); sheet.clip();
  drawAxis();
  const names = drawBands();
  drawRails(); drawArrows(nameBands(names)); drawPoints(); drawLines();
  sheet.restore();
  drawNames(); drawMap(); list(); tellHash();
  document.documentElement.dataset.drawn = `${drawn.arrows.length} arrows, ${drawn.points.length} points`;
}

function lower(sorted, ms, at) {
  let low = 0, high = sorted.length;
  while (low < high) { const mid = (low + high) >> 1; if (at(sorted[mid]) < ms) low = mid + 1; else high = mid; }
  return low;
}

function visible() {
  const until = view.from + view.span, seenArrows = [], seenPoints = [];
  for (let i = lower(ordered, until, (a) => a.left) - 1; i >= 0 && latest[i] >= view.from; i--) {
    const arrow = ordered[i];
    if (arrow.end >= view.from && arrow.from + 1 + arrow.to + 1 > 0 && (!wanted || wanted.arrow(arrow)))
      seenArrows.push(arrow);
  }
  for (let i = lower(points, view.from, (p) => p.at); i < points.length && points[i].at <= until; i++)
    seenPoints.push(points[i]);
  return { arrows: seenArrows.reverse(), points: seenPoints };
}

function step() {
  const least = view.span / Math.max(1, (width - GUTTER) / 90);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
}

function drawAxis() {
  const each = step(), digits = clamp(3 - Math.floor(Math.log10(each)), 0, 4);
  sheet.font = `11px ${FONT}`; sheet.textAlign = "center"; sheet.textBaseline = "middle";
  for (let n = Math.ceil(view.from / each); n * each <= view.from + view.span; n++) {
    const at = Math.round(x(n * each)) + .5;
    sheet.strokeStyle = colours.hair; line(at, AXIS, at, height);
    sheet.fillStyle = colours.soft;
    if (at > GUTTER + 24 && at < width - 24) sheet.fillText((n * each / 1000).toFixed(digits) + " s", at, AXIS / 2 + 1);
  }
}

function line(x0, y0, x1, y1) {
  sheet.beginPath(); sheet.moveTo(x0, y0); sheet.lineTo(x1, y1); sheet.stroke();
}

function drawRails() {
  sheet.lineWidth = 1;
  data.lanes.forEach((lane, n) => {
    sheet.strokeStyle = colours.line;
    line(GUTTER, Math.round(y(n)) + .5, width, Math.round(y(n)) + .5);
  });
}

function drawBands() {
  const until = view.from + view.span, top = laneHeight * .42;
  const names = [], shown = bands.filter((band) => band.until >= view.from && band.from <= until);
  const crowded = shown.length > 120;
  for (const band of shown) {
    const left = x(band.from), right = Math.max(x(band.until), left + 3), instant = right - left <= 3;
    for (const lane of band.lanes) {
      const middle = y(lane);
      sheet.globalAlpha = wanted && view.lanes.size && !view.lanes.has(lane) ? .3 : 1;
      sheet.fillStyle = colours.band;
      sheet.fillRect(left, middle - top, right - left, top * 2);
      if (!instant) hatch(left, middle - top, right - left, top * 2);
      sheet.strokeStyle = colours.fault;
      if (!instant || !crowded) line(left, middle - top, left, middle + top);
      sheet.globalAlpha = 1;
      if (!instant || (!crowded && lane === band.lanes[0] && left >= GUTTER))
        names.push([band.kind, Math.max(left, GUTTER) + 5, middle - top + 6, instant ? Infinity : right]);
    }
  }
  return names;
}

/** Writes the names of lanes where there is room, and returns where that is. */
function nameBands(names) {
  const boxes = [];
  sheet.font = `11px ${FONT}`; sheet.textAlign = "left"; sheet.textBaseline = "middle";
  sheet.fillStyle = colours.fault;
  for (const [label, left, middle, right] of names) {
    const box = [left - 2, middle - 6, left + sheet.measureText(label).width + 2, middle + 6];
    if (box[2] > right || boxes.some((other) => meet(box, other))) continue;
    boxes.push(box);
    sheet.fillText(label, left, middle + .5);
  }
  return boxes;
}

const meet = (a, b) => a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1];

function hatch(left, top, wide, high) {
  sheet.save();
  sheet.beginPath(); sheet.rect(left, top, wide, high); sheet.clip();
  sheet.strokeStyle = colours.band; sheet.lineWidth = 1;
  const begin = Math.max(left, GUTTER - 40), end = Math.min(left + wide, width);
  sheet.beginPath();
  for (let at = begin - high - ((begin - left) % 7); at < end; at += 7) {
    sheet.moveTo(at, top + high); sheet.lineTo(at + high, top);
  }
  sheet.stroke(); sheet.restore();
}

/** Both ends of an arrow on the screen; a lost message ends at its cross. */
function ends(arrow) {
  const x0 = x(arrow.left), y0 = y(arrow.from);
  if (!arrow.lost) return [x0, y0, x(arrow.end), y(arrow.to)];
  const to = arrow.to >= 0 ? y(arrow.to) : y(arrow.from) + laneHeight;
  const part = clamp(Math.abs(to - y0) * .5, 10, laneHeight * .8) / (Math.abs(to - y0) || 1);
  return [x0, y0, x0 + 12, y0 + (to - y0) * part];
}

function drawArrows(boxes) {
  const many = drawn.arrows.length > 900, selected = view.at >= 0 ? points[view.at] : null;
  const labels = [], done = new Set();
  for (const arrow of drawn.arrows) {
    if (arrow.from < 0 || (arrow.to < 0 && !arrow.lost)) continue;
    const [x0, y0, x1, y1] = ends(arrow);
    if (many && !arrow.concerned && hidden(done, arrow.kind, arrow.from, arrow.to, x0, x1)) continue;
    const chosen = arrow === hover || (selected && (arrow.source === selected.n || arrow.target === selected.n));
    sheet.strokeStyle = sheet.fillStyle = colours[arrow.kind];
    const plain = concerned.size && !wanted ? .5 : .8;
    sheet.globalAlpha = chosen || arrow.concerned ? 1 : many ? .35 : plain;
    sheet.lineWidth = chosen || arrow.concerned ? 2.4 : many ? .8 : 1.2;
    sheet.setLineDash(many ? [] : KINDS[arrow.kind][1]);
    line(x0, y0, x1, y1);
    sheet.setLineDash([]);
    if (arrow.lost) { cross(x1, y1); if (!many) boxes.push([x1 - 4, y1 - 4, x1 + 4, y1 + 4]); }
    else if (!many || chosen || arrow.concerned) head(x0, y0, x1, y1);
    if (chosen || arrow.concerned || (!many && (drawn.arrows.length < 240 || arrow.lost || /chat$/.test(arrow.name))))
      labels.push([arrow, x0, y0, x1, y1, chosen]);
  }
  sheet.globalAlpha = 1; sheet.lineWidth = 1;
  label(labels, boxes);
}

/** Whether an arrow that looks the same was drawn already. */
function hidden(done, ...look) {
  const before = done.size;
  done.add(look.map((part) => typeof part === "number" ? Math.round(part) : part).join());
  return done.size === before;
}

function head(x0, y0, x1, y1) {
  const turn = Math.atan2(y1 - y0, x1 - x0), long = 7;
  const tx = x1 - Math.cos(turn) * 2.5, ty = y1 - Math.sin(turn) * 2.5;
  sheet.beginPath(); sheet.moveTo(tx, ty);
  sheet.lineTo(tx - long * Math.cos(turn - .38), ty - long * Math.sin(turn - .38));
  sheet.lineTo(tx - long * Math.cos(turn + .38), ty - long * Math.sin(turn + .38));
  sheet.closePath(); sheet.fill();
}

function cross(at, down) {
  sheet.lineWidth = 1.8;
  line(at - 4, down - 4, at + 4, down + 4); line(at - 4, down + 4, at + 4, down - 4);
}

/** Labels beside arrows, where there is room; first of the selection, then of texts. */
function label(candidates, boxes) {
  const worth = ([arrow, , , , , chosen]) => (chosen ? 8 : 0) + (arrow.concerned ? 4 : 0) + (arrow.entries.length ? 2 : 0) + (arrow.lost ? 1 : 0);
  candidates.sort((a, b) => worth(b) - worth(a));
  sheet.font = `11px ${FONT}`; sheet.textAlign = "left"; sheet.textBaseline = "middle";
  boxes.push(...drawn.points.map((p) => [x(p.at) - 3, y(p.lane) - 4, x(p.at) + 3, y(p.lane) + 4]));
  let written = 0;
  for (const [arrow, x0, y0, x1, y1] of candidates.slice(0, 400)) {
    if (written >= 160) break;
    const room = Math.abs(y1 - y0);
    const label = arrow.label.length > 34 ? arrow.label.slice(0, 33) + "…" : arrow.label;
    const wide = sheet.measureText(label).width;
    for (const part of room > 60 ? [.5, .3, .7, .18, .82] : [.5]) {
      const left = x0 + (x1 - x0) * part + 6, middle = y0 + (y1 - y0) * part;
      const box = [left - 2, middle - 6, left + wide + 2, middle + 6];
      if (box[0] < GUTTER || box[2] > width - 2 || boxes.length > 1500) continue;
      if (boxes.some((other) => meet(box, other))) continue;
      boxes.push(box); written++;
      sheet.globalAlpha = .82; sheet.fillStyle = colours.panel;
      sheet.fillRect(box[0], box[1] + 1, box[2] - box[0], 10.5);
      sheet.globalAlpha = 1; sheet.fillStyle = colours[arrow.kind];
      sheet.fillText(label, left, middle + .5);
      break;
    }
  }
}

function drawPoints() {
  const many = drawn.points.length > 1500, done = new Set();
  for (const point of drawn.points) {
    if (point.lane < 0) continue;
    const chosen = point.n === view.at, at = x(point.at), down = y(point.lane);
    if (many && !chosen && hidden(done, point.kind, point.lane, at)) continue;
    sheet.globalAlpha = chosen || !wanted || wanted.point(point) ? 1 : .15;
    sheet.fillStyle = colours[point.kind] || colours.ink;
    sheet.beginPath();
    if (point.kind === "fault") {
      const far = many ? 2.5 : 5;
      sheet.moveTo(at, down - far); sheet.lineTo(at + far, down); sheet.lineTo(at, down + far); sheet.lineTo(at - far, down);
    } else sheet.arc(at, down, many ? 1.2 : 2.5, 0, 7);
    if (point.kind === "notice" && !many) {
      sheet.fillStyle = colours.panel; sheet.strokeStyle = colours.ink;
      sheet.fill(); sheet.stroke();
    } else sheet.fill();
    if (chosen || point === hover) {
      sheet.strokeStyle = colours.focus; sheet.lineWidth = 2;
      sheet.beginPath(); sheet.arc(at, down, 7, 0, 7); sheet.stroke(); sheet.lineWidth = 1;
    }
  }
  sheet.globalAlpha = 1;
}

function drawLines() {
  const mark = (ms, colour, label, dash) => {
    const at = Math.round(x(ms)) + .5;
    if (at < GUTTER || at > width) return;
    sheet.strokeStyle = sheet.fillStyle = colour; sheet.lineWidth = 2;
    sheet.setLineDash(dash); line(at, AXIS, at, height); sheet.setLineDash([]); sheet.lineWidth = 1;
    sheet.font = `600 11px ${FONT}`; sheet.textBaseline = "alphabetic";
    const right = at + sheet.measureText(label).width + 8 > width;
    sheet.textAlign = right ? "right" : "left";
    sheet.fillText(label, at + (right ? -6 : 6), AXIS + 10);
  };
  if (healed) mark(healed.at, colours.healed, "everything is healed", [6, 4]);
  if (breaking) mark(breaking.at, colours.violation, "violation", []);
  if (view.at >= 0) {
    const at = Math.round(x(points[view.at].at)) + .5;
    sheet.strokeStyle = colours.focus; sheet.globalAlpha = .35; line(at, AXIS, at, height); sheet.globalAlpha = 1;
  }
}

function drawNames() {
  sheet.textAlign = "right"; sheet.textBaseline = "middle";
  data.lanes.forEach((lane, n) => {
    const chosen = view.lanes.has(n);
    sheet.globalAlpha = view.lanes.size && !chosen ? .45 : 1;
    sheet.font = `${chosen ? 600 : 500} 12px ${FONT}`;
    sheet.fillStyle = colours.ink;
    sheet.fillText(lane.name, GUTTER - 12, y(n));
    if (n && data.lanes[n - 1].kind !== lane.kind) {
      sheet.globalAlpha = 1; sheet.strokeStyle = colours.line;
      const at = Math.round(y(n) - laneHeight / 2) + .5;
      sheet.setLineDash([1, 3]); line(8, at, width, at); sheet.setLineDash([]);
    }
  });
  sheet.globalAlpha = 1;
}

// ------------------------------------------------------------------ the map of the whole run

const BINS = 400;
const bins = new Float32Array(BINS);
for (const point of points) bins[clamp(Math.floor(point.at / length * BINS), 0, BINS - 1)]++;
const most = Math.sqrt(Math.max(...bins, 1));
let mapWidth = 0;

function drawMap() {
  const wide = printing ? 1030 : map.clientWidth, high = 44;
  if (wide !== mapWidth) { mapWidth = wide; size(map, mapSheet, wide, high); }
  const at = (ms) => ms / length * wide;
  mapSheet.clearRect(0, 0, wide, high);
  mapSheet.fillStyle = colours.band;
  for (const band of bands) mapSheet.fillRect(at(band.from), 0, Math.max(1, at(band.until) - at(band.from)), 9);
  mapSheet.fillStyle = colours.soft; mapSheet.globalAlpha = .55;
  for (let n = 0; n < BINS; n++) {
    const tall = Math.sqrt(bins[n]) / most * (high - 14);
    mapSheet.fillRect(n / BINS * wide, high - 1 - tall, wide / BINS - .4, tall);
  }
  mapSheet.globalAlpha = 1;
  if (wanted) {
    mapSheet.fillStyle = colours.request; mapSheet.globalAlpha = .6;
    for (const arrow of arrows) if (wanted.arrow(arrow)) mapSheet.fillRect(at(arrow.left), 10, 1.5, high - 11);
    mapSheet.globalAlpha = 1;
  }
  mapSheet.fillStyle = colours.healed;
  if (healed) mapSheet.fillRect(at(healed.at) - 1, 0, 2, high);
  mapSheet.fillStyle = colours.violation;
  if (breaking) mapSheet.fillRect(Math.min(at(breaking.at) - 1, wide - 3), 0, 3, high);
  const left = at(view.from), broad = Math.max(4, at(view.span));
  mapSheet.fillStyle = colours.window; mapSheet.fillRect(left, 0, broad, high);
  mapSheet.strokeStyle = colours.focus; mapSheet.strokeRect(left + .5, .5, broad - 1, high - 1);
}
