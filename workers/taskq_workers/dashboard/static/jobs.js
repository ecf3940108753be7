// Queues and registries, and one page of the jobs in one of them.
import { act, settings } from "./actions.js";
import { byId, fill, make, say, show } from "./dom.js";
import { clock, count, seconds, short } from "./format.js";

const PLACES = ["queued", "started", "finished", "failed", "deferred", "scheduled", "canceled"];
let where = null; // { queue, place, page }

byId("queues-head").append(...PLACES.map((place) => make("th", { scope: "col" }, place)),
  make("th", { scope: "col" }, "next waits"), make("th", { scope: "col" }, "behind"));

export function drawQueues(queues) {
  fill(byId("queues"), queues, (queue) => queue.name, createQueue, updateQueue);
  show(byId("queues-empty"), !queues.length);
  if (!where && queues.length) open(queues);
  const counts = queues.find((queue) => queue.name === where?.queue);
  if (where && counts && counts[where.place] !== where.counted) load();
}

// What somebody who comes here wants to see first: what runs, else what waits, else what has failed or ended.
function open(queues) {
  for (const place of ["started", "queued", "failed", "finished"]) {
    const queue = queues.find((one) => one[place] > 0);
    if (queue) { where = { queue: queue.name, place, page: 0 }; load(); return; }
  }
}

function createQueue(queue) {
  return make("tr", {}, make("td", { className: "name" }, queue.name), ...PLACES.map((place) =>
    make("td", { className: "n" }, make("button", { onclick: () => { where = { queue: queue.name, place, page: 0 }; load(); } }))),
  make("td", { className: "n" }), make("td"));
}

function updateQueue(row, queue) {
  PLACES.forEach((place, position) => {
    const button = row.children[position + 1].firstChild;
    say(button, count(queue[place]));
    button.setAttribute("aria-label", `${queue[place]} ${place} jobs of ${queue.name}`);
    button.setAttribute("aria-pressed", where?.queue === queue.name && where?.place === place);
  });
  say(row.children[PLACES.length + 1], queue.waited === null ? "" : seconds(queue.waited));
  say(row.children[PLACES.length + 2], queue.behind);
}

async function load() {
  const asked = where;
  const answer = await fetch(`/jobs?${new URLSearchParams({ queue: asked.queue, place: asked.place, page: asked.page })}`);
  if (!answer.ok || asked !== where) return;
  const page = await answer.json();
  where.counted = page.total;
  say(byId("h-page"), `${count(page.total)} ${page.place} on ${page.queue}`);
  fill(byId("jobs"), page.jobs, (job) => job.id, createJob, updateJob);
  show(byId("jobs-panel"), true);
  show(byId("jobs-empty"), !page.jobs.length);
  say(byId("jobs-where"), page.pages ? `Page ${page.page + 1} of ${count(page.pages)}` : "");
  byId("jobs-back").disabled = page.page === 0;
  byId("jobs-on").disabled = page.page + 1 >= page.pages;
  for (const button of document.querySelectorAll("#queues button")) {
    button.setAttribute("aria-pressed", button.getAttribute("aria-label").endsWith(` ${page.place} jobs of ${page.queue}`));
  }
}

byId("jobs-refresh").addEventListener("click", load);
byId("jobs-back").addEventListener("click", () => { where.page -= 1; load(); });
byId("jobs-on").addEventListener("click", () => { where.page += 1; load(); });

function createJob(job) {
  const button = (action, text) => make("button", { onclick: async () => { await act(job.id, job.description || job.id, action); load(); },
    "aria-label": `${text} ${job.id}` }, text);
  return make("tr", {},
    make("td", {}, make("span", { className: "name" }), make("span", { className: "sub" }, make("code", { title: job.id }, short(job.id)), " ", make("span"))),
    make("td", {}, make("span")), make("td"), make("td", { className: "n" }), make("td", { className: "n" }),
    make("td", { className: "acts" }, button("cancel", "Cancel"), button("kill", "Stop"), button("retry", "Retry")));
}

function updateJob(row, job) {
  const [name, status, created, took, retries, acts] = row.children;
  say(name.firstChild, job.description || "(no description)");
  say(name.lastChild.lastChild, [job.kind, job.worker].filter(Boolean).join(", "));
  status.firstChild.className = `status ${job.status}`;
  say(status.firstChild, job.status);
  say(created, clock(job.created));
  say(took, job.started && job.ended >= job.started ? seconds(job.ended - job.started) : "–");
  say(retries, job.retries || job.retries_left ? `${job.retries} of ${job.retries + job.retries_left}` : "–");
  const [cancel, stop, retry] = acts.children;
  const waits = ["queued", "deferred", "scheduled"].includes(job.status);
  const runs = job.status === "started";
  const acted = settings.actions && job.kind !== "helper";
  show(cancel, acted && (waits || (runs && job.kind === "map")));
  show(stop, acted && runs && job.kind === "");
  show(retry, acted && ["failed", "stopped"].includes(job.status));
}
