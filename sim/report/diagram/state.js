const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// ------------------------------------------------------------------ the data

const points = data.points.map(([at, lane, kind, label, detail, entries], n) =>
  ({ n, at, lane, kind, label, detail, entries, incoming: [], outgoing: [] }));
const arrows = data.arrows.map(
  ([kind, name, label, from, to, left, arrived, source, target, detail, entries], n) =>
    ({ n, kind, name, label, from, to, left, arrived, source, target, detail, entries,
       lost: arrived < 0, end: arrived < 0 ? left : arrived }));
const bands = data.bands.map(([kind, lanes, from, until]) => ({ kind, lanes, from, until }));
for (const arrow of arrows) {
  if (arrow.source >= 0) points[arrow.source].outgoing.push(arrow);
  if (arrow.target >= 0) points[arrow.target].incoming.push(arrow);
}
const ordered = [...arrows].sort((a, b) => a.left - b.left || a.n - b.n);
const latest = [];
ordered.reduce((most, arrow, i) => (latest[i] = Math.max(most, arrow.end)), 0);
const healed = points.find((point) => point.kind === "healed");
const broken = data.violation;
const breaking = points.find((point) => point.kind === "violation");
const concerned = new Set(broken ? broken.entries : []);
for (const arrow of arrows) arrow.concerned = arrow.entries.some((entry) => concerned.has(entry));
const length = Math.max(data.length_ms, 1);
const KINDS = {
  request: ["request", []], reply: ["reply", []], push: ["push", []],
  query: ["store query", [5, 3]], answer: ["store answer", []], bus: ["bus", [2, 3]],
};

// ------------------------------------------------------------------ the state of the page

const GUTTER = 104, AXIS = 24, ROW = 22, LEAST_MS = 5, LONG_MS = 12000, BRIEF_MS = 3000;
const view = { from: 0, span: length, filter: "", lanes: new Set(), at: -1 };
let rows = points, wanted = null, colours = {}, hover = null, drawn = { points: [], arrows: [] };
const laneNumber = new Map(data.lanes.map((lane, n) => [lane.name, n]));

/** Shows the way of one text first; or, after a violation, of the entries that it concerns. */
function start() {
  if (breaking) {
    const until = breaking.at;
    const starts = arrows.filter((arrow) => arrow.concerned && arrow.left > until - LONG_MS).map((arrow) => arrow.left);
    const from = starts.length ? Math.min(...starts) : Math.max(0, until - BRIEF_MS);
    view.span = Math.min(Math.max((until - from) * 1.14, 40), length * 1.1);
    view.from = until - view.span * .94;
    view.at = breaking.n;
    return;
  }
  const life = arrows.filter((arrow) => /chat$/.test(arrow.name)).slice(0, 40).map(spanOf);
  const [from, until] = life.find(([from, until]) => until > from + 8 && until < from + 250) || [0, 300];
  view.span = Math.min(length, (until - from) * 1.3);
  view.from = Math.max(0, from - (until - from) * .12);
}

/** When a text left its device, and when the last message about it arrived. */
function spanOf(sent) {
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
    const hash = new URLSearchParams();
    hash.set("at", ((view.from + view.span / 2) / 1000).toFixed(4));
    hash.set("span", (view.span / 1000).toFixed(4));
    if (view.filter) hash.set("entry", view.filter);
    if (view.lanes.size) hash.set("lanes", [...view.lanes].map((n) => data.lanes[n].name).join(","));
    if (view.at >= 0) hash.set("event", view.at);
    try { history.replaceState(null, "", "#" + hash.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")); }
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
  return (thing) => thing.label.toLowerCase().includes(word) || thing.entries.includes(text);
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
