// One line for each map.
import { act, settings } from "./actions.js";
import { byId, fill, make, say, show } from "./dom.js";
import { clock, colour, count, percent, rate, seconds, short } from "./format.js";

const ENDED = new Set(["finished", "failed", "stopped", "canceled"]);
const FEW = 12;
const LONG = 60; // characters of what a map was told that stand in its line; all of it is in the title
let all = false;
let last = [];
let clockNow = 0;
let only = null; // what alone is shown: one map, or none as long as nothing is known of it

// Show these maps only; null: all.
export function showOnly(maps) { only = maps; }

export function drawMaps(maps, now) {
  last = maps;
  clockNow = now;
  const which = document.querySelector("#filter input:checked").value;
  const active = maps.filter((one) => !ENDED.has(one.status));
  const ended = maps.filter((one) => ENDED.has(one.status));
  say(byId("n-active"), count(active.length));
  say(byId("n-ended"), count(ended.length));
  const wanted = byId("search").value.trim().toLowerCase();
  const found = (one) => !wanted || [one.id, one.name, one.queue, one.status].some((text) => String(text).toLowerCase().includes(wanted));
  const chosen = (only ?? (which === "active" ? active : which === "ended" ? ended : [...active, ...ended])).filter((one) => only || found(one));
  const shown = all ? chosen : chosen.slice(0, FEW);
  fill(byId("maps"), shown, (one) => one.id, create, update);
  say(byId("maps-empty").firstChild, maps.length ? "None of these. " : "No map yet. Push one from ");
  for (const code of byId("maps-empty").querySelectorAll("code")) show(code, !maps.length);
  byId("maps-empty").childNodes[2].textContent = maps.length ? "" : ": ";
  show(byId("maps-empty"), !shown.length);
  show(byId("maps-more"), chosen.length > FEW);
  say(byId("maps-more").firstElementChild, all ? "Show fewer" : `Show all ${count(chosen.length)}`);
}

byId("search").addEventListener("input", () => drawMaps(last, clockNow));
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = byId("search").value.trim();
  if (/^[\w-]{4,}$/.test(wanted) && !byId("maps").children.length) location.hash = `#map/${encodeURIComponent(wanted)}`; // an older one
});
byId("filter").addEventListener("change", () => drawMaps(last, clockNow));
byId("maps-more").firstElementChild.addEventListener("click", () => { all = !all; drawMaps(last, clockNow); });

const cell = (...children) => make("td", { role: "cell" }, ...children);

function create(map) {
  const id = encodeURIComponent(map.id);
  const done = make("i"), failed = make("i");
  const bar = make("div", { className: "bar", role: "progressbar", "aria-label": `Progress of ${map.name}` }, done, failed);
  const swatch = make("i", { className: "swatch", "aria-hidden": "true" });
  swatch.style.background = colour(map.id);
  const row = make("tr", { role: "row" },
    cell(swatch, make("a", { className: "name", href: `#map/${id}` }, map.name), make("span", { className: "sub" }, make("code", { title: map.id }, short(map.id)), " ", make("span"))),
    cell(make("span", { className: "status" }), make("span", { className: "sub reason" })),
    cell(bar, make("span", { className: "sub" }), make("span", { className: "sub told" })),
    make("td", { className: "n", role: "cell" }),
    make("td", { className: "n", role: "cell" }, make("span"), make("span", { className: "sub" })),
    make("td", { className: "n", role: "cell" }),
    make("td", { className: "acts", role: "cell" },
      make("button", { onclick: () => act(map.id, map.name, "cancel"), "aria-label": `Cancel ${map.name}` }, "Cancel"),
      make("button", { onclick: ({ target }) => act(map.id, map.name, target.value) }),
      make("button", { onclick: () => act(map.id, map.name, "retry"), "aria-label": `Retry the failed items of ${map.name}` }, "Retry failed"),
      make("a", { href: `/maps/${id}/results.jsonl`, download: "", "aria-label": `Download the results of ${map.name}` }, "Results"),
      make("a", { href: `/maps/${id}/report`, target: "_blank", rel: "noopener", "aria-label": `Report about ${map.name}` }, "Report")));
  return row;
}

function update(row, map) {
  const [name, status, progress, speed, time, retries, acts] = row.children;
  row.className = map.status;
  say(name.querySelector(".sub").lastChild, `on ${map.queue || "?"}`);
  status.firstChild.className = `status ${map.status}`;
  say(status.firstChild, map.refused && !ENDED.has(map.status) ? `${map.status}, refused by a worker`
    : map.paused && !ENDED.has(map.status) ? `${map.status}, paused` : map.status);
  say(status.lastChild, map.reason);
  status.firstChild.title = map.reason || (map.refused && `refused by ${map.refused}`);
  const [bar, text, told] = progress.children;
  bar.setAttribute("aria-valuenow", map.total ? Math.round((100 * (map.done + map.failed)) / map.total) : 0);
  bar.children[0].style.width = `${map.total ? (100 * map.done) / map.total : 0}%`;
  bar.children[1].style.width = `${map.total ? (100 * map.failed) / map.total : 0}%`;
  const failed = map.failed ? `, ${count(map.failed)} failed` : "";
  say(text, `${count(map.done)} of ${count(map.total)}${map.sealed ? "" : " so far"} done${failed}, ${percent(map.done + map.failed, map.total)}`);
  const terms = Object.entries(map.terms).map(([term, value]) => `${term}: ${Array.isArray(value) ? value.join(", ") : value}`);
  text.title = told.title = terms.join("\n");
  say(told, terms.map((one) => one.length > LONG ? `${one.slice(0, LONG)}…` : one).join(" · "));
  say(speed, map.started ? `${rate(map.rate)}/s` : "–");
  const ended = ENDED.has(map.status);
  say(time.lastChild, map.started ? `started ${clock(map.started, clockNow)}` : "");
  say(time.firstChild, ended ? (map.ended && map.started ? `took ${seconds(map.ended - map.started)}` : "–")
    : map.left !== null ? `${seconds(map.left)} left` : map.created ? `for ${seconds(clockNow - map.created)}` : "–");
  say(retries, map.retries || map.retries_left ? `${map.retries} of ${map.retries + map.retries_left}` : "–");
  const [cancel, pause, retry, results, report] = acts.children;
  show(cancel, settings.actions && !ended);
  show(pause, settings.actions && !ended);
  pause.value = map.paused ? "resume" : "pause";
  say(pause, map.paused ? "Resume" : "Pause");
  pause.setAttribute("aria-label", `${map.paused ? "Resume" : "Pause"} ${map.name}`);
  show(retry, settings.actions && map.status === "failed");
  show(results, map.done > 0);
  show(report, map.started > 0);
}
