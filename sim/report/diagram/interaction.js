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
    element("span", point.label), entries);
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

// ------------------------------------------------------------------ the selection

const time = (ms) => (ms / 1000).toFixed(4) + " s";
const lane = (n) => n < 0 ? "no party" : data.lanes[n].name;

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
  const made = [element("h2", point.lane < 0 || point.kind === "fault" ? point.label : `${lane(point.lane)} ${point.label}`),
    element("p", `${time(point.at)}, event ${point.n + 1} of ${points.length}`)];
  const messages = element("ul");
  for (const arrow of point.incoming)
    messages.append(element("li", `↘ ${arrow.label} from ${lane(arrow.from)}, ${(arrow.end - arrow.left).toFixed(1)} ms before`));
  for (const arrow of point.outgoing)
    messages.append(element("li", arrow.lost ? `↗ ${arrow.label}${arrow.to < 0 ? "" : ` to ${lane(arrow.to)}`}: never arrived`
      : `↗ ${arrow.label} to ${lane(arrow.to)}, ${(arrow.end - arrow.left).toFixed(1)} ms later`));
  if (messages.childNodes.length) made.push(messages);
  if (point.detail) made.push(element("pre", point.detail));
  if (point === breaking) for (const entry of concerned) {
    const last = points.findLast((one) => one !== point && one.entries.includes(entry));
    const label = last ? `last seen at ${time(last.at)}: ${lane(last.lane)} ${last.label}` : "never seen";
    made.push(element("p", `${entry} was ${label}`));
  }
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

/** Goes through all faults, past the filter. */
function fault(by) {
  const from = view.at >= 0 ? view.at : lower(points, view.from, (p) => p.at) - (by > 0 ? 1 : 0);
  for (let n = from + by; n >= 0 && n < points.length; n += by)
    if (points[n].kind === "fault" || points[n].kind === "violation") { choose(n); return; }
}

function setFilter(text) {
  view.filter = text; byId("filter").value = text;
  refilter(); redraw();
}

/** The fixed point of a zoom: the selection if it is on the screen, else the middle. */
function focus() {
  const at = view.at >= 0 ? points[view.at].at : -1;
  return at >= view.from && at <= view.from + view.span ? at : view.from + view.span / 2;
}

function zoom(by, around = focus()) {
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

// ------------------------------------------------------------------ pointer and keys

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
  if (found && "incoming" in found) choose(found.n);
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
  else if ("incoming" in found) tip.replaceChildren(element("b", `${lane(found.lane)} ${found.label}`),
    element("p", time(found.at)), element("pre", found.detail));
  else tip.replaceChildren(element("b", found.label),
    element("p", `${lane(found.from)} → ${found.to < 0 ? "no party" : lane(found.to)}, ${KINDS[found.kind][0]}`),
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
    const one = element("div"), definition = element("dd", value);
    definition.title = value;
    one.append(element("dt", name), definition);
    byId("facts").append(one);
  }
  if (broken) {
    const sentence = byId("violation");
    sentence.hidden = false;
    sentence.append(element("strong", `Violated at ${(broken.at_ms / 1000).toFixed(3)} s: ${broken.invariant}`), broken.seen);
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
  const sign = (label, draw) => {
    const one = element("span"), svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("width", 22); svg.setAttribute("height", 10);
    draw((name, values) => {
      const part = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(values)) part.setAttribute(key, value);
      svg.append(part);
    });
    one.append(svg, label); made.push(one);
  };
  for (const [kind, [label, dash]] of Object.entries(KINDS)) sign(label, (add) => {
    add("path", { d: "M0 5H16", stroke: `var(--${kind})`, "stroke-width": 1.6, "stroke-dasharray": dash.join(" "), fill: "none" });
    add("path", { d: "M22 5l-7-3v6z", fill: `var(--${kind})` });
  });
  sign("event", (add) => add("circle", { cx: 16, cy: 5, r: 3, fill: "var(--ink)" }));
  sign("told to the user", (add) => add("circle", { cx: 16, cy: 5, r: 3, fill: "var(--panel)", stroke: "var(--ink)" }));
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
new ResizeObserver(() => { listAt = -1; draw(); }).observe(stage);
heading(); legend(); readColours(); start(); fromHash(); draw(); tellDetail();
