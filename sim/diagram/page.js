"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// ------------------------------------------------------------------ the data

const points = data.points.map(([at, lane, kind, words, detail, entries], n) =>
  ({ n, at, lane, kind, words, detail, entries, come: [], gone: [] }));
const arrows = data.arrows.map(
  ([kind, name, words, from, to, left, arrived, source, target, detail, entries], n) =>
    ({ n, kind, name, words, from, to, left, arrived, source, target, detail, entries,
       lost: arrived < 0, end: arrived < 0 ? left : arrived }));
const bands = data.bands.map(([kind, lanes, from, until]) => ({ kind, lanes, from, until }));
for (const arrow of arrows) {
  if (arrow.source >= 0) points[arrow.source].gone.push(arrow);
  if (arrow.target >= 0) points[arrow.target].come.push(arrow);
}
const ordered = [...arrows].sort((a, b) => a.left - b.left || a.n - b.n);
const latest = [];
ordered.reduce((most, arrow, i) => (latest[i] = Math.max(most, arrow.end)), 0);
const healed = points.find((point) => point.kind === "healed");
const broken = data.violation;
const length = Math.max(data.length_ms, 1);
const KINDS = {
  request: ["request", []], reply: ["reply", []], push: ["push", []],
  query: ["store query", [5, 3]], answer: ["store answer", []], bus: ["bus", [2, 3]],
};

// ------------------------------------------------------------------ the state of the page

const GUTTER = 104, AXIS = 24, ROW = 22, LEAST_MS = 5;
const view = { from: 0, span: length, filter: "", lanes: new Set(), at: -1 };
let rows = points, wanted = null, colours = {}, hover = null, drawn = { points: [], arrows: [] };
const laneNumber = new Map(data.lanes.map((lane, n) => [lane.name, n]));

function start() {
  if (broken) {
    view.span = Math.min(length, 3000) * 1.06;
    view.from = broken.at_ms - Math.min(length, 3000);
    view.at = points.findIndex((point) => point.kind === "violation");
    return;
  }
  const life = arrows.filter((arrow) => /chat$/.test(arrow.name)).slice(0, 40).map(lifeOf);
  const [from, until] = life.find(([from, until]) => until > from + 8 && until < from + 250) || [0, 300];
  view.span = Math.min(length, (until - from) * 1.3);
  view.from = Math.max(0, from - (until - from) * .12);
}

/** When a text left its device, and when the last was heard of it for a while. */
function lifeOf(sent) {
  const [entry] = sent.entries;
  const ends = arrows.filter((arrow) => arrow.left >= sent.left && arrow.left < sent.left + 400 && arrow.entries.includes(entry));
  return [sent.left, Math.max(sent.left, ...ends.map((arrow) => arrow.end))];
}

function fromHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name) => given.has(name) && isFinite(given.get(name)) ? +given.get(name) : null;
  const at = number("at"), span = number("span"), event = number("event");
  if (span !== null && span > 0) view.span = Math.min(Math.max(span * 1000, LEAST_MS), length * 1.1);
  if (at !== null) view.from = at * 1000 - view.span / 2;
  view.filter = given.get("entry") || "";
  const names = (given.get("lanes") || "").split(",");
  view.lanes = new Set(names.filter((name) => laneNumber.has(name)).map((name) => laneNumber.get(name)));
  if (event !== null) view.at = points[event] ? event : -1;
  if (event !== null && view.at >= 0 && at === null) centre(points[event].at);
  if (given.has("keys")) byId("keys").showModal();
  byId("filter").value = view.filter;
  refilter();
  if (view.filter && at === null && event === null) { view.at = -1; fitMatches(); }
}

let telling = 0;
function tellHash() {
  clearTimeout(telling);
  telling = setTimeout(() => {
    const told = new URLSearchParams();
    told.set("at", ((view.from + view.span / 2) / 1000).toFixed(4));
    told.set("span", (view.span / 1000).toFixed(4));
    if (view.filter) told.set("entry", view.filter);
    if (view.lanes.size) told.set("lanes", [...view.lanes].map((n) => data.lanes[n].name).join(","));
    if (view.at >= 0) told.set("event", view.at);
    try { history.replaceState(null, "", "#" + told.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")); }
    catch { /* the page has no address of its own */ }
  }, 150);
}

// ------------------------------------------------------------------ filters

function matcher() {
  const text = view.filter.trim();
  if (!text) return null;
  const entry = Object.hasOwn(data.keys, text) ? data.keys[text] : text;
  if (/^\d+:\d+$/.test(entry) || entry !== text) return (thing) => thing.entries.includes(entry);
  const word = text.toLowerCase();
  return (thing) => thing.words.toLowerCase().includes(word) || thing.entries.includes(text);
}

function refilter() {
  const match = matcher();
  const focus = view.lanes;
  wanted = match || focus.size ? {
    arrow: (arrow) => (!match || match(arrow)) && (!focus.size || focus.has(arrow.from) || focus.has(arrow.to)),
    point: (point) => (!match || match(point)) && (!focus.size || focus.has(point.lane) ||
      point.lane < 0),
  } : null;
  rows = wanted ? points.filter(wanted.point) : points;
  byId("matches").textContent = wanted
    ? `${arrows.filter(wanted.arrow).length} arrows, ${rows.length} events` : "";
  listAt = -1;
}

function fitMatches() {
  const found = wanted ? arrows.filter(wanted.arrow) : [];
  if (!found.length) return;
  const from = Math.min(...found.map((a) => a.left)), until = Math.max(...found.map((a) => a.end));
  view.span = Math.max((until - from) * 1.2, 20);
  centre((from + until) / 2);
}

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
  laneHeight = Math.max(20, Math.min(64, (high - AXIS - 28) / data.lanes.length));
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

/** Writes the names where there is room, and tells where that is. */
function nameBands(names) {
  const boxes = [];
  sheet.font = `11px ${FONT}`; sheet.textAlign = "left"; sheet.textBaseline = "middle";
  sheet.fillStyle = colours.fault;
  for (const [words, left, middle, right] of names) {
    const box = [left - 2, middle - 6, left + sheet.measureText(words).width + 2, middle + 6];
    if (box[2] > right || boxes.some((other) => meet(box, other))) continue;
    boxes.push(box);
    sheet.fillText(words, left, middle + .5);
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

/** Both ends on the screen; of a lost message, where it is crossed out. */
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
    if (many && hidden(done, arrow.kind, arrow.from, arrow.to, x0, x1)) continue;
    const chosen = arrow === hover || (selected && (arrow.source === selected.n || arrow.target === selected.n));
    sheet.strokeStyle = sheet.fillStyle = colours[arrow.kind];
    sheet.globalAlpha = chosen ? 1 : many ? .35 : .8;
    sheet.lineWidth = chosen ? 2.4 : many ? .8 : 1.2;
    sheet.setLineDash(many ? [] : KINDS[arrow.kind][1]);
    line(x0, y0, x1, y1);
    sheet.setLineDash([]);
    if (arrow.lost) { cross(x1, y1); if (!many) boxes.push([x1 - 4, y1 - 4, x1 + 4, y1 + 4]); }
    else if (!many || chosen) head(x0, y0, x1, y1);
    if (chosen || (!many && (drawn.arrows.length < 240 || arrow.lost || /chat$/.test(arrow.name))))
      labels.push([arrow, x0, y0, x1, y1, chosen]);
  }
  sheet.globalAlpha = 1; sheet.lineWidth = 1;
  label(labels, boxes);
}

/** Whether something that looks the same was drawn before. */
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

/** Words beside arrows, as many as there is room for; what is chosen, and texts, first. */
function label(candidates, boxes) {
  const worth = ([arrow, , , , , chosen]) => (chosen ? 4 : 0) + (arrow.entries.length ? 2 : 0) + (arrow.lost ? 1 : 0);
  candidates.sort((a, b) => worth(b) - worth(a));
  sheet.font = `11px ${FONT}`; sheet.textAlign = "left"; sheet.textBaseline = "middle";
  boxes.push(...drawn.points.map((p) => [x(p.at) - 3, y(p.lane) - 4, x(p.at) + 3, y(p.lane) + 4]));
  let written = 0;
  for (const [arrow, x0, y0, x1, y1] of candidates.slice(0, 400)) {
    if (written >= 160) break;
    const room = Math.abs(y1 - y0);
    const words = arrow.words.length > 34 ? arrow.words.slice(0, 33) + "…" : arrow.words;
    const wide = sheet.measureText(words).width;
    for (const part of room > 60 ? [.5, .3, .7, .18, .82] : [.5]) {
      const left = x0 + (x1 - x0) * part + 6, middle = y0 + (y1 - y0) * part;
      const box = [left - 2, middle - 6, left + wide + 2, middle + 6];
      if (box[0] < GUTTER || box[2] > width - 2 || boxes.length > 1500) continue;
      if (boxes.some((other) => meet(box, other))) continue;
      boxes.push(box); written++;
      sheet.globalAlpha = .82; sheet.fillStyle = colours.panel;
      sheet.fillRect(box[0], box[1] + 1, box[2] - box[0], 10.5);
      sheet.globalAlpha = 1; sheet.fillStyle = colours[arrow.kind];
      sheet.fillText(words, left, middle + .5);
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
  const mark = (ms, colour, words, dash) => {
    const at = Math.round(x(ms)) + .5;
    if (at < GUTTER || at > width) return;
    sheet.strokeStyle = sheet.fillStyle = colour; sheet.lineWidth = 2;
    sheet.setLineDash(dash); line(at, AXIS, at, height); sheet.setLineDash([]); sheet.lineWidth = 1;
    sheet.font = `600 11px ${FONT}`; sheet.textBaseline = "alphabetic";
    const right = at + sheet.measureText(words).width + 8 > width;
    sheet.textAlign = right ? "right" : "left";
    sheet.fillText(words, at + (right ? -6 : 6), AXIS + 10);
  };
  if (healed) mark(healed.at, colours.healed, "everything is healed", [6, 4]);
  if (broken) mark(broken.at_ms, colours.violation, "violation", []);
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
  if (broken) mapSheet.fillRect(Math.min(at(broken.at_ms) - 1, wide - 3), 0, 3, high);
  const left = at(view.from), broad = Math.max(4, at(view.span));
  mapSheet.fillStyle = colours.window; mapSheet.fillRect(left, 0, broad, high);
  mapSheet.strokeStyle = colours.focus; mapSheet.strokeRect(left + .5, .5, broad - 1, high - 1);
}

// ------------------------------------------------------------------ the table

const holder = byId("rows"), spacer = byId("spacer");
let listAt = -1, scrolling = false;

function list() {
  spacer.style.height = rows.length * ROW + "px";
  const place = view.at >= 0 ? rowOf(view.at) : lower(rows, view.from, (p) => p.at);
  if (place !== listAt && place >= 0) {
    listAt = place;
    const top = place * ROW;
    if (view.at < 0) holder.scrollTop = top;
    else if (top < holder.scrollTop + ROW || top > holder.scrollTop + holder.clientHeight - 2 * ROW)
      holder.scrollTop = top - holder.clientHeight / 2 + ROW;
  }
  fill();
}

function rowOf(n) {
  const place = lower(rows, n, (p) => p.n);
  return rows[place] && rows[place].n === n ? place : -1;
}

function element(name, text, style) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (style) made.className = style;
  return made;
}

function row(point) {
  const made = element("div", undefined, `row ${point.kind}`);
  made.setAttribute("role", "row");
  if (point.at >= view.from && point.at <= view.from + view.span) made.classList.add("seen");
  if (point.n === view.at) made.classList.add("selected");
  const party = point.lane < 0 ? "" : data.lanes[point.lane].name;
  const entries = element("span");
  for (const entry of point.entries) {
    const link = element("a", entry, "entry");
    link.dataset.entry = entry;
    entries.append(link);
  }
  made.append(element("span", (point.at / 1000).toFixed(3)), element("span", party),
    element("span", point.words), entries);
  made.dataset.n = point.n;
  return made;
}

function fill() {
  const first = Math.max(0, Math.floor(holder.scrollTop / ROW) - 4);
  const last = Math.min(rows.length, first + Math.ceil(holder.clientHeight / ROW) + 9);
  const made = [spacer];
  for (let n = first; n < last; n++) {
    const one = row(rows[n]);
    one.style.top = n * ROW + "px";
    made.push(one);
  }
  holder.replaceChildren(...made);
}

holder.addEventListener("scroll", () => {
  if (!scrolling) { scrolling = true; requestAnimationFrame(() => { scrolling = false; fill(); }); }
});
holder.addEventListener("click", (event) => {
  const entry = event.target.dataset.entry, one = event.target.closest(".row");
  if (entry) setFilter(entry);
  else if (one) choose(+one.dataset.n);
});

// ------------------------------------------------------------------ what is chosen

const time = (ms) => (ms / 1000).toFixed(4) + " s";
const lane = (n) => n < 0 ? "nobody" : data.lanes[n].name;

function travelled(arrow) {
  if (arrow.lost) return `left ${time(arrow.left)}, never arrived`;
  const took = arrow.end - arrow.left;
  return `left ${time(arrow.left)}, arrived ${time(arrow.end)}, ${took.toFixed(1)} ms`;
}

function tellDetail() {
  const panel = byId("detail"), point = points[view.at];
  if (!point) {
    panel.replaceChildren(element("p", "Step with ← and →, or click on an event. ? tells all keys."));
    return;
  }
  const made = [element("h2", point.lane < 0 ? point.words : `${lane(point.lane)} ${point.words}`),
    element("p", `${time(point.at)}, event ${point.n + 1} of ${points.length}`)];
  const told = element("ul");
  for (const arrow of point.come)
    told.append(element("li", `↘ ${arrow.words} from ${lane(arrow.from)}, ${(arrow.end - arrow.left).toFixed(1)} ms before`));
  for (const arrow of point.gone)
    told.append(element("li", arrow.lost ? `↗ ${arrow.words}${arrow.to < 0 ? "" : ` to ${lane(arrow.to)}`}: never arrived`
      : `↗ ${arrow.words} to ${lane(arrow.to)}, ${(arrow.end - arrow.left).toFixed(1)} ms later`));
  if (told.childNodes.length) made.push(told);
  if (point.detail) made.push(element("pre", point.detail));
  panel.replaceChildren(...made);
  panel.scrollTop = 0;
}

function centre(ms) { view.from = ms - view.span / 2; }

function choose(n) {
  view.at = n;
  const point = points[n];
  if (point && (point.at < view.from + view.span * .08 || point.at > view.from + view.span * .92)) centre(point.at);
  if (point && point.lane >= 0) {
    const down = y(point.lane);
    if (down < stage.scrollTop + 30) stage.scrollTop = down - 60;
    if (down > stage.scrollTop + stage.clientHeight - 20) stage.scrollTop = down - stage.clientHeight + 60;
  }
  tellDetail(); redraw();
}

function go(by) {
  const from = view.at >= 0 ? lower(rows, view.at, (p) => p.n) : lower(rows, view.from, (p) => p.at) - (by > 0 ? 1 : 0);
  const exact = rows[from] && rows[from].n === view.at;
  const next = exact || view.at < 0 || by < 0 ? from + by : from;
  if (rows[next]) choose(rows[next].n);
}

/** Of all faults, whatever the filter. */
function fault(by) {
  const from = view.at >= 0 ? view.at : lower(points, view.from, (p) => p.at) - (by > 0 ? 1 : 0);
  for (let n = from + by; n >= 0 && n < points.length; n += by)
    if (points[n].kind === "fault" || points[n].kind === "violation") { choose(n); return; }
}

function setFilter(text) {
  view.filter = text; byId("filter").value = text;
  refilter(); redraw();
}

function zoom(by, around = view.from + view.span / 2) {
  const span = clamp(view.span * by, LEAST_MS, length * 1.1);
  view.from = around - (around - view.from) * span / view.span;
  view.span = span;
  redraw();
}

function whole() { view.from = 0; view.span = length * 1.02; redraw(); }

function violation() {
  const n = points.findIndex((point) => point.kind === "violation");
  if (n >= 0) choose(n);
}

// ------------------------------------------------------------------ hands

const ACTS = {
  ArrowRight: () => go(1), j: () => go(1), ArrowLeft: () => go(-1), k: () => go(-1),
  Home: () => rows.length && choose(rows[0].n), End: () => rows.length && choose(rows.at(-1).n),
  n: () => fault(1), N: () => fault(-1), v: violation,
  "+": () => zoom(.6), "=": () => zoom(.6), "-": () => zoom(1 / .6), 0: whole,
  "/": () => byId("filter").select(), "?": () => byId("keys").showModal(),
  Escape: () => { view.lanes.clear(); view.at = -1; setFilter(""); tellDetail(); },
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (event.target === byId("filter")) {
    if (event.key === "Escape") { setFilter(""); event.target.blur(); }
    if (event.key === "Enter") { fitMatches(); redraw(); event.target.blur(); }
    return;
  }
  const act = Object.hasOwn(ACTS, event.key) ? ACTS[event.key] : null;
  if (act) { event.preventDefault(); act(); }
});
const BUTTONS = { previous: "k", next: "j", fault: "n", out: "-", in: "+", whole: "0", help: "?" };
for (const [id, key] of Object.entries(BUTTONS)) byId(id).addEventListener("click", () => ACTS[key]());
byId("filter").addEventListener("input", (event) => setFilter(event.target.value));

canvas.addEventListener("wheel", (event) => {
  const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  if (!sideways && event.offsetX < GUTTER) return;
  event.preventDefault();
  const by = event.deltaY || event.deltaX;
  if (sideways) { view.from += (event.deltaX || by) / (width - GUTTER) * view.span; redraw(); }
  else zoom(Math.exp(clamp(by, -120, 120) / 350), view.from + (event.offsetX - GUTTER) / (width - GUTTER) * view.span);
}, { passive: false });

let held = null;
canvas.addEventListener("pointerdown", (event) => {
  held = { at: event.clientX, from: view.from, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (held && Math.abs(event.clientX - held.at) > 3) held.moved = true;
  if (held && held.moved) {
    view.from = held.from - (event.clientX - held.at) / (width - GUTTER) * view.span;
    byId("tip").hidden = true; redraw();
  } else touch(event);
});
canvas.addEventListener("pointerup", (event) => {
  const clicked = held && !held.moved;
  held = null;
  if (!clicked) return;
  if (event.offsetX < GUTTER) return toggle(Math.floor((event.offsetY - AXIS - 14) / laneHeight));
  const found = nearest(event.offsetX, event.offsetY);
  if (found && "come" in found) choose(found.n);
  else if (found) choose(found.target >= 0 && found.source === view.at ? found.target : Math.max(found.source, found.source < 0 ? found.target : -1));
});
canvas.addEventListener("pointerleave", () => { hover = null; byId("tip").hidden = true; redraw(); });

function toggle(n) {
  if (n < 0 || n >= data.lanes.length) return;
  if (!view.lanes.delete(n)) view.lanes.add(n);
  refilter(); redraw();
}

function nearest(px, py) {
  let best = null, least = 8;
  for (const point of drawn.points) {
    if (point.lane < 0 || (wanted && !wanted.point(point))) continue;
    const away = Math.hypot(x(point.at) - px, y(point.lane) - py);
    if (away < least) { least = away; best = point; }
  }
  if (best) return best;
  least = 5;
  for (const arrow of drawn.arrows) {
    if (arrow.from < 0) continue;
    const [x0, y0, x1, y1] = ends(arrow), long = (x1 - x0) ** 2 + (y1 - y0) ** 2 || 1;
    const part = clamp(((px - x0) * (x1 - x0) + (py - y0) * (y1 - y0)) / long, 0, 1);
    const away = Math.hypot(x0 + (x1 - x0) * part - px, y0 + (y1 - y0) * part - py);
    if (away < least) { least = away; best = arrow; }
  }
  return best;
}

function bandAt(px, py) {
  const n = Math.floor((py - AXIS - 14) / laneHeight), ms = view.from + (px - GUTTER) / (width - GUTTER) * view.span;
  return bands.find((band) => band.lanes.includes(n) && band.from <= ms && ms <= band.until);
}

function touch(event) {
  const tip = byId("tip"), found = event.offsetX < GUTTER ? null : nearest(event.offsetX, event.offsetY);
  const band = found || event.offsetX < GUTTER ? null : bandAt(event.offsetX, event.offsetY);
  if (found !== hover) { hover = found; redraw(); }
  if (!found && !band) { tip.hidden = true; return; }
  if (band) tip.replaceChildren(element("b", band.kind), element("p", `${time(band.from)} to ${time(band.until)}`));
  else if ("come" in found) tip.replaceChildren(element("b", `${lane(found.lane)} ${found.words}`),
    element("p", time(found.at)), element("pre", found.detail));
  else tip.replaceChildren(element("b", found.words),
    element("p", `${lane(found.from)} → ${found.to < 0 ? "nobody" : lane(found.to)}, ${KINDS[found.kind][0]}`),
    element("p", travelled(found)), element("pre", found.detail));
  tip.hidden = false;
  tip.style.left = clamp(event.clientX + 14, 4, innerWidth - tip.offsetWidth - 8) + "px";
  const below = event.clientY + 16;
  tip.style.top = (below + tip.offsetHeight > innerHeight - 6 ? event.clientY - tip.offsetHeight - 10 : below) + "px";
}

const drag = (event) => {
  if (event.buttons !== 1) return;
  centre(event.offsetX / map.clientWidth * length); redraw();
};
map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); drag(event); });
map.addEventListener("pointermove", drag);

// ------------------------------------------------------------------ beginning, and paper

function heading() {
  byId("title").textContent = data.title;
  byId("command").textContent = data.command;
  for (const [name, value] of data.facts) {
    const one = element("div"), told = element("dd", value);
    told.title = value;
    one.append(element("dt", name), told);
    byId("facts").append(one);
  }
  if (broken) {
    const sentence = byId("violation");
    sentence.hidden = false;
    sentence.append(element("strong", `Violated at ${time(broken.at_ms)}: ${broken.invariant}`), broken.seen);
    for (const entry of broken.entries) {
      const link = element("a", `all of ${entry}`, "entry");
      link.addEventListener("click", (event) => {
        event.stopPropagation(); setFilter(entry); fitMatches(); redraw();
      });
      sentence.append(" ", link);
    }
    sentence.addEventListener("click", violation);
  }
}

function legend() {
  const SVG = "http://www.w3.org/2000/svg", made = [];
  const sign = (words, draw) => {
    const one = element("span"), svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("width", 22); svg.setAttribute("height", 10);
    draw((name, values) => {
      const part = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(values)) part.setAttribute(key, value);
      svg.append(part);
    });
    one.append(svg, words); made.push(one);
  };
  for (const [kind, [words, dash]] of Object.entries(KINDS)) sign(words, (add) => {
    add("path", { d: "M0 5H16", stroke: `var(--${kind})`, "stroke-width": 1.6, "stroke-dasharray": dash.join(" "), fill: "none" });
    add("path", { d: "M22 5l-7-3v6z", fill: `var(--${kind})` });
  });
  sign("event", (add) => add("circle", { cx: 16, cy: 5, r: 3, fill: "var(--ink)" }));
  sign("told to the person", (add) => add("circle", { cx: 16, cy: 5, r: 3, fill: "var(--panel)", stroke: "var(--ink)" }));
  sign("never arrived", (add) => {
    add("path", { d: "M0 5H13M9 1l8 8M17 1l-8 8", stroke: "var(--soft)", "stroke-width": 1.6, fill: "none" });
  });
  sign("fault", (add) => {
    add("rect", { width: 22, height: 10, fill: "var(--band)" });
    add("path", { d: "M1 0V10M7 10L17 0M13 10L22 1", stroke: "var(--fault)", "stroke-width": 1, fill: "none" });
  });
  byId("legend").replaceChildren(...made);
}

function paper() {
  printing = true;
  readColours(); draw();
  const seen = rows.filter((p) => p.at >= view.from && p.at <= view.from + view.span);
  byId("paper").replaceChildren(...seen.slice(0, 120).map(row));
  if (seen.length > 120) byId("paper").append(element("p", `and ${seen.length - 120} more events in this window`));
}

addEventListener("beforeprint", paper);
addEventListener("afterprint", () => { printing = false; byId("paper").replaceChildren(); readColours(); redraw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
addEventListener("hashchange", () => { fromHash(); tellDetail(); redraw(); });
new ResizeObserver(draw).observe(stage);
heading(); legend(); readColours(); start(); fromHash(); draw(); tellDetail();
})();
