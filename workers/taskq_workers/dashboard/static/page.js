// Listens to the server's events and hands each part of the page what is new to it.
import { settings } from "./actions.js";
import { byId, say, show } from "./dom.js";
import { drawErrors } from "./errors.js";
import { bytes, count, counted, percent, rate, short } from "./format.js";
import { drawQueues } from "./jobs.js";
import { drawMaps, showOnly as showOnlyMap } from "./maps.js";
import { drawServices } from "./services.js";
import { addEntries, draw, forgetEntries, setServices, showOnly as showOnlyChunks } from "./timeline.js";

const known = { maps: [], services: [], errors: [], queues: [], cards: null };
const names = new Map();
const nameOf = (job) => names.get(job) || short(job);
const AGAIN = 2000; // milliseconds until a map that is not among the newest is asked for again
let only = null; // the map that alone is shown: { id, line, errors, asked }

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("about", (event) => {
    const about = JSON.parse(event.data);
    settings.actions = about.actions;
    show(byId("mode"), !about.actions);
    say(byId("redis"), about.redis);
    say(byId("version"), `taskq ${about.version}`);
    forgetEntries(); // the server begins anew, and sends all it has
  });
  source.addEventListener("message", (event) => {
    let news;
    try { news = JSON.parse(event.data); } catch (error) { return tell(`the server's news can't be read: ${error.message}`); }
    take(news);
  });
  source.addEventListener("error", () => {
    live(source.readyState === EventSource.CLOSED ? "off" : "", source.readyState === EventSource.CLOSED ? "not connected" : "reconnecting");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000); // the server refused; it may be starting
  });
}

function live(kind, text) {
  byId("live").className = `live ${kind}`;
  say(byId("live"), text);
}

function take(news) {
  Object.assign(known, news);
  live(news.trouble ? "off" : "on", news.trouble ? "no Redis" : "live");
  tell(news.trouble ? `${news.trouble}. What you see is from before; the page goes on by itself.` : only?.fault || "");
  if (!known.cards) return;
  const began = performance.now();
  const failed = [];
  const part = (name, drawn) => guarded(failed, name, drawn);
  part("names", () => { for (const map of known.maps) names.set(map.id, map.name); });
  part("timeline", () => addEntries(news.timeline, news.gap));
  part("numbers", () => drawCards(known.cards));
  part("cores", () => setServices(known.services, known.at, nameOf));
  look();
  part("maps", () => drawMaps(known.maps, known.at));
  if (news.errors && !only) part("errors", () => drawErrors(known.errors, ""));
  part("services", () => drawServices(known.services, known.at, nameOf));
  if (news.queues) part("queues", () => drawQueues(known.queues));
  part("drawing", draw);
  own(failed);
  // For whoever measures the page: how many updates there were, and what the last one took.
  const told = document.documentElement.dataset;
  told.updates = Number(told.updates || 0) + 1;
  told.milliseconds = (performance.now() - began).toFixed(1);
}

// A part that can't be drawn costs itself.
function guarded(failed, name, drawn) {
  try { drawn(); } catch (error) { failed.push(`${name} (${error.message})`); }
}

function own(failed) {
  if (failed.length) tell(`Can't be shown, for something in Redis is not what it should be: ${failed.join(", ")}`);
}

function tell(trouble) {
  say(byId("trouble"), trouble);
  show(byId("trouble"), trouble !== "");
}

function drawCards(cards) {
  const card = (name, text, more) => { say(byId(`card-${name}`), text); say(byId(`card-${name}-more`), more); };
  card("rate", rate(cards.rate), cards.job_rate >= 0.05 ? `${rate(cards.job_rate)} jobs/s` : "in the last 10 s");
  card("cores", `${count(cards.busy)} of ${count(cards.cores)}`, cards.cores ? percent(cards.busy, cards.cores) : "no worker");
  card("chunks", count(cards.pending + cards.claimed), `${count(cards.claimed)} claimed, ${count(cards.pending)} wait`);
  card("failed", count(cards.failed), counted(cards.failed_jobs, "failed job"));
  byId("card-failed-box").className = cards.failed ? "bad" : "";
  const limit = cards.max_memory ? `of ${bytes(cards.max_memory)}` : "no limit set";
  card("memory", cards.memory ? bytes(cards.memory) : "unknown", !cards.memory ? "may not be asked" : cards.evicts ? `${limit}; may evict keys (${cards.policy}): set noeviction` : limit);
  byId("card-memory-box").className = cards.evicts ? "warn" : "";
  document.title = cards.active ? `${count(cards.active)} active · taskq` : "taskq";
}

// Have what is known of the only map shown; its errors, and it itself if it is none of the newest, are asked for.
function look() {
  if (only) ask(only).catch((error) => tell(`The map ${only?.id} can't be asked for: ${error.message}`));
}

async function ask(asked) {
  const listed = known.maps.find((one) => one?.id === asked.id);
  if (listed) asked.line = listed;
  if (Date.now() - asked.at > AGAIN) {
    asked.at = Date.now();
    const path = `/maps/${encodeURIComponent(asked.id)}`;
    if (!listed) {
      const answer = await fetch(path);
      asked.fault = answer.ok ? "" : await answer.text();
      if (answer.ok) { asked.line = await answer.json(); asked.id = asked.line.id; }
      else if (asked === only) tell(asked.fault);
    }
    const errors = asked.line && await fetch(`/maps/${encodeURIComponent(asked.id)}/errors`);
    if (errors?.ok) asked.errors = (await errors.json()).map((one) => ({ ...one, map: asked.id, name: asked.line.name }));
  }
  if (asked !== only || !asked.line) return;
  showOnlyMap([asked.line]);
  showOnlyChunks(asked.id);
  say(byId("only").querySelector("b"), asked.line.name);
  redraw(asked.errors, asked.id);
}

function redraw(errors, of) {
  const failed = [];
  guarded(failed, "maps", () => drawMaps(known.maps, known.at || 0));
  guarded(failed, "errors", () => drawErrors(errors, of));
  own(failed);
}

function view() {
  const map = location.hash.match(/^#map\/([\w%.-]+)$/);
  only = map ? { id: decodeURIComponent(map[1]), line: null, errors: [], at: 0 } : null;
  show(byId("only"), only !== null);
  showOnlyMap(only && known.maps.filter((one) => one?.id === only.id)); // never the others, even while this one is asked for
  showOnlyChunks(only ? only.id : "");
  redraw(only ? [] : known.errors, only ? only.id : "");
  if (only) say(byId("only").querySelector("b"), nameOf(only.id));
  look();
  const name = location.hash === "#jobs" ? "jobs" : "overview";
  for (const one of ["overview", "jobs"]) show(byId(`view-${one}`), one === name);
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.getAttribute("href") === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

addEventListener("hashchange", view);
view();
listen();
