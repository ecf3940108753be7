// The core timeline: a row for each pool process, a rectangle for each chunk.
import { byId, fill, make, say, show } from "./dom.js";
import { colour, count, counted, percent, process, seconds, short } from "./format.js";
import { running } from "./services.js";

const ROW = 24, HOST = 22, AXIS = 22, BAR = 16;
const KEPT = 20000; // entries
const LANES = 256, ROWS = 1000; // of a service and in all, that are drawn

const canvas = byId("timeline");
const state = { entries: [], only: "", services: [], span: 60, paused: 0, now: 0, skew: 0, chosen: null, gap: 0, nameOf: short };

export function addEntries(timeline, gap) {
  for (const [row, job, chunk, start, length, items, failed, deaths, outcome] of timeline.entries) {
    const [host, place, lane] = timeline.rows[row] || [];
    if (place === undefined || !isFinite(start) || !isFinite(length)) continue;
    state.entries.push({ key: `${host} ${place} ${lane}`, host, place, lane, job: timeline.jobs[job], chunk, start, end: start + length, items, failed, deaths, outcome });
  }
  if (gap) state.gap = gap;
  if (state.entries.length > KEPT) state.entries.splice(0, state.entries.length - KEPT);
}

// Show the chunks of one map only; "": of all.
export function showOnly(job) { state.only = job; state.chosen = null; drawTable(); draw(); }

const seen = (entry) => !state.only || entry.job === state.only;

export function forgetEntries() { state.entries = []; state.chosen = null; }

export function setServices(services, now, nameOf) {
  Object.assign(state, { services, now, nameOf, skew: now - Date.now() / 1000 });
  drawTable();
}

function clock() { return state.paused || Date.now() / 1000 + state.skew; }

// Hosts, and below each its processes: those registered, and those seen in the window.
function layout(now) {
  const rows = new Map();
  const add = (host, place, lane, info) => {
    const key = `${host} ${place} ${lane}`;
    if (!rows.has(key)) rows.set(key, { key, host, place, lane, info: null });
    if (info) rows.get(key).info = info;
  };
  for (const service of state.services) {
    for (let lane = 0; lane < Math.min(service.cores, LANES) && rows.size < ROWS; lane += 1) {
      add(service.host, service.place, lane, service.processes.find((one) => one.lane === lane));
    }
  }
  for (const entry of state.entries) if (seen(entry) && entry.end > now - state.span && rows.size < ROWS) add(entry.host, entry.place, entry.lane, null);
  const order = (a, b) => a.host.localeCompare(b.host) || a.place.localeCompare(b.place) || a.lane - b.lane;
  let y = 0, host = null;
  const lines = [];
  for (const row of [...rows.values()].sort(order)) {
    if (row.host !== host) { lines.push({ host: row.host, key: `host ${row.host}` }); y += HOST; host = row.host; }
    row.y = y;
    lines.push(row);
    y += ROW;
  }
  return { lines, rows: lines.filter((line) => line.y !== undefined), height: y };
}

export function draw() {
  const now = clock();
  const { lines, rows, height } = layout(now);
  fill(byId("rows"), lines, (line) => line.key, () => make("li"), (element, line) => {
    element.className = line.y === undefined ? "host" : "";
    say(element, line.y === undefined ? line.host : process(line.place, line.lane));
    element.title = element.textContent;
  });
  show(byId("timeline-empty"), !rows.length);
  show(canvas, rows.length > 0);
  if (!rows.length) return;
  const width = canvas.clientWidth, scale = window.devicePixelRatio || 1;
  const wanted = [Math.round(width * scale), Math.round((height + AXIS) * scale)];
  if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) {
    [canvas.width, canvas.height] = wanted;
    canvas.style.height = `${height + AXIS}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height + AXIS);
  const style = getComputedStyle(document.documentElement);
  const tone = Object.fromEntries(["idle", "lane", "bad", "soft", "ink"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  const x = (moment) => width * (1 - (now - moment) / state.span);
  axis(pen, width, height, tone);
  for (const row of rows) {
    pen.fillStyle = tone.idle; pen.strokeStyle = tone.lane; pen.lineWidth = 1;
    pen.fillRect(0, row.y + 4, width, BAR);
    pen.strokeRect(0.5, row.y + 3.5, width - 1, BAR + 1);
  }
  const places = new Map(rows.map((row) => [row.key, row]));
  const kills = [];
  for (const entry of state.entries) {
    const row = places.get(entry.key);
    if (!row || !seen(entry) || entry.end < now - state.span || entry.start > now) continue;
    if (entry.outcome !== "ok") kills.push([entry, row]);
    else chunk(pen, entry, x(entry.start), Math.min(width, x(entry.end)), row.y + 4, tone);
  }
  for (const row of rows) if (row.info?.job && seen(row.info)) runs(pen, row.info, Math.max(0, x(row.info.since)), Math.min(width, x(Math.max(now, state.now))), row.y + 4);
  for (const [entry, row] of kills) killed(pen, entry, x, row.y + 4, tone);
  if (state.gap > now - state.span) { pen.fillStyle = tone.soft; pen.fillText("not all chunks before here are shown", Math.max(0, x(state.gap)) + 4, height + 15); }
}

function axis(pen, width, height, tone) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300].find((one) => (width * one) / state.span > 70) || 300;
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = tone.soft; pen.strokeStyle = tone.lane;
  for (let ago = 0; ago <= state.span; ago += step) {
    const at = width * (1 - ago / state.span);
    pen.textAlign = ago === 0 ? "right" : at < 24 ? "left" : "center";
    pen.fillText(ago === 0 ? "now" : ago < 120 ? `-${ago} s` : `-${ago / 60} min`, at, height + 15);
  }
  pen.textAlign = "left";
}

function chunk(pen, entry, left, right, y, tone) {
  const wide = Math.max(0.6, right - left - (right - left > 3 ? 1 : 0));
  pen.fillStyle = colour(entry.job);
  if (entry.deaths > 0) hatched(pen, left, y, Math.max(4, wide), colour(entry.job));
  else pen.fillRect(left, y, wide, BAR);
  if (entry.failed) { pen.fillStyle = tone.bad; pen.fillRect(left, y + BAR - 3, Math.max(1, wide), 3); }
  if (entry === state.chosen) { pen.strokeStyle = tone.ink; pen.lineWidth = 2; pen.strokeRect(left, y - 1, Math.max(2, wide), BAR + 2); }
}

function hatched(pen, left, y, wide, hue) {
  pen.save();
  pen.beginPath(); pen.rect(left, y, wide, BAR); pen.clip();
  pen.strokeStyle = hue; pen.lineWidth = 2;
  for (let at = left - BAR; at < left + wide + BAR; at += 5) { pen.beginPath(); pen.moveTo(at, y + BAR); pen.lineTo(at + BAR, y); pen.stroke(); }
  pen.restore();
  pen.strokeStyle = hue; pen.lineWidth = 1; pen.strokeRect(left + 0.5, y + 0.5, Math.max(1, wide - 1), BAR - 1);
}

function runs(pen, info, left, right, y) {
  if (right <= left) return;
  pen.globalAlpha = 0.35; pen.fillStyle = colour(info.job); pen.fillRect(left, y, right - left, BAR);
  pen.globalAlpha = 1; pen.fillRect(left, y, Math.min(2, right - left), BAR);
}

function killed(pen, entry, x, y, tone) {
  const left = x(entry.start), right = Math.max(left + 3, x(entry.end));
  pen.fillStyle = tone.bad;
  pen.globalAlpha = 0.45; pen.fillRect(left, y, right - left, BAR); pen.globalAlpha = 1;
  pen.fillRect(right - 3, y - 3, 3, BAR + 6);
  if (entry === state.chosen) { pen.strokeStyle = tone.ink; pen.lineWidth = 2; pen.strokeRect(left, y - 1, right - left, BAR + 2); }
}

// -- in words --------------------------------------------------------------------------------------------

function drawTable() {
  const now = clock(), from = now - state.span;
  const { rows } = layout(now);
  const told = new Map(rows.map((row) => [row.key, { ...row, busy: 0, chunks: 0, items: 0, died: 0, again: 0 }]));
  for (const entry of state.entries) {
    const row = told.get(entry.key);
    if (!row || !seen(entry) || entry.end < from) continue;
    row.busy += Math.max(0, Math.min(entry.end, now) - Math.max(entry.start, from));
    if (entry.outcome !== "ok") { row.died += 1; continue; }
    row.chunks += 1;
    row.items += entry.items;
    if (entry.deaths > 0) row.again += 1;
  }
  for (const row of told.values()) if (row.info?.job && seen(row.info)) row.busy += Math.max(0, now - Math.max(row.info.since, from));
  const all = [...told.values()];
  fill(byId("timeline-table"), all, (row) => row.key, () => make("tr", {}, ...["", "n", "n", "n", "n", "n", ""].map((className) => make("td", { className }))), (element, row) => {
    const texts = [`${row.host} ${process(row.place, row.lane)}`, percent(Math.min(row.busy, state.span), state.span), count(row.chunks), count(row.items),
      count(row.died), count(row.again), row.info ? running(row.info, now, state.nameOf) : "gone"];
    texts.forEach((text, position) => say(element.children[position], text));
  });
  const sum = (name) => all.reduce((total, row) => total + row[name], 0);
  canvas.setAttribute("aria-label", `Timeline of ${counted(all.length, "pool process", "pool processes")} over the last ${seconds(state.span)}: ${counted(sum("chunks"), "chunk")} run, `
    + `${count(sum("died"))} died, ${counted(sum("again"), "chunk")} run again. Arrow keys step through the chunks; the table below says the same.`);
}

function describe(entry) {
  const what = entry.outcome === "ok" ? `${counted(entry.items, "item")} in ${seconds(entry.end - entry.start)}${entry.failed ? `, ${count(entry.failed)} failed` : ""}`
    : `${{ timeout: "its process was killed over its time limit", service: "its service died" }[entry.outcome] || "its process died"} after ${seconds(entry.end - entry.start)}`;
  const again = entry.deaths > 0 ? `; before, ${counted(entry.deaths, "process or service", "processes or services")} had died with it` : "";
  return `${state.nameOf(entry.job)}, chunk ${entry.chunk} on ${entry.host} ${process(entry.place, entry.lane)}: ${what}${again}`;
}

function choose(entry) {
  state.chosen = entry;
  say(byId("reading"), entry ? describe(entry) : "");
  draw();
}

canvas.addEventListener("pointermove", (event) => {
  const now = clock(), box = canvas.getBoundingClientRect();
  const at = now - state.span * (1 - (event.clientX - box.left) / box.width), y = event.clientY - box.top;
  const row = layout(now).rows.find((one) => y >= one.y && y < one.y + ROW);
  const slack = (state.span / box.width) * 2;
  const found = row && state.entries.filter((one) => seen(one) && one.key === row.key && one.start - slack <= at && one.end + slack >= at);
  choose(found?.find((one) => one.outcome !== "ok") || found?.pop() || null);
});
canvas.addEventListener("pointerleave", () => choose(null));
canvas.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.key === "Escape") choose(null);
  if (!(event.key in steps)) return;
  event.preventDefault();
  const found = state.entries.filter((one) => seen(one) && one.end > clock() - state.span);
  const at = found.indexOf(state.chosen);
  choose(found[at < 0 ? found.length - 1 : Math.min(found.length - 1, Math.max(0, at + steps[event.key]))] || null);
});
byId("window").addEventListener("change", (event) => { state.span = Number(event.target.value); drawTable(); draw(); });
byId("pause").addEventListener("click", (event) => {
  state.paused = state.paused ? 0 : clock();
  event.target.setAttribute("aria-pressed", state.paused > 0);
  say(event.target, state.paused ? "Go on" : "Pause");
  draw();
});
new ResizeObserver(() => draw()).observe(canvas.parentElement);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
// Ten pictures a second: smooth enough, and no work while the page is hidden.
setInterval(() => { if (!document.hidden && !state.paused) draw(); }, 100);
