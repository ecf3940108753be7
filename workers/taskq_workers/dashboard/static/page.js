// Listens to the server's events and hands each part of the page what is new to it.
import { settings } from "./actions.js";
import { byId, say, show } from "./dom.js";
import { drawErrors } from "./errors.js";
import { bytes, count, percent, rate, short } from "./format.js";
import { drawQueues } from "./jobs.js";
import { drawMaps } from "./maps.js";
import { drawServices } from "./services.js";
import { addEntries, draw, forgetEntries, setServices } from "./timeline.js";

const known = { maps: [], services: [], errors: [], queues: [], cards: null };
const names = new Map();
const nameOf = (job) => names.get(job) || short(job);

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
  tell(news.trouble ? `${news.trouble}. What you see is from before; the page goes on by itself.` : "");
  if (!known.cards) return;
  const began = performance.now();
  const failed = [];
  // A part that can't be drawn costs itself.
  const part = (name, drawn) => {
    try { drawn(); } catch (error) { failed.push(`${name} (${error.message})`); }
  };
  part("names", () => { for (const map of known.maps) names.set(map.id, map.name); });
  part("timeline", () => addEntries(news.timeline, news.gap));
  part("numbers", () => drawCards(known.cards));
  part("cores", () => setServices(known.services, known.at, nameOf));
  part("maps", () => drawMaps(known.maps, known.at));
  if (news.errors) part("errors", () => drawErrors(known.errors));
  part("services", () => drawServices(known.services, known.at, nameOf));
  if (news.queues) part("queues", () => drawQueues(known.queues));
  part("drawing", draw);
  if (failed.length) tell(`Can't be shown, for something in Redis is not what it should be: ${failed.join(", ")}`);
  // For whoever measures the page: how many updates there were, and what the last one took.
  const told = document.documentElement.dataset;
  told.updates = Number(told.updates || 0) + 1;
  told.milliseconds = (performance.now() - began).toFixed(1);
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
  card("failed", count(cards.failed), `${count(cards.failed_jobs)} failed jobs`);
  byId("card-failed-box").className = cards.failed ? "bad" : "";
  const limit = cards.max_memory ? `of ${bytes(cards.max_memory)}` : "no limit set";
  card("memory", cards.memory ? bytes(cards.memory) : "unknown", !cards.memory ? "may not be asked" : cards.evicts ? `${limit}; may evict keys (${cards.policy}): set noeviction` : limit);
  byId("card-memory-box").className = cards.evicts ? "warn" : "";
  document.title = cards.active ? `${count(cards.active)} active · taskq` : "taskq";
}

function view() {
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
