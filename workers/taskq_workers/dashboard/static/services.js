// Services, and below each its pool processes.
import { byId, fill, make, say, show } from "./dom.js";
import { bytes, count, counted, process, seconds } from "./format.js";

export function drawServices(services, now, nameOf) {
  const rows = services.flatMap((service) => [
    { ...service, key: service.name, title: `Service ${service.place.split("-").pop()} on ${service.host}`,
      trouble: service.trouble,
      runs: service.trouble || `${service.queues.join(", ")}; ${counted(service.finished, "job")} done${service.failed ? `, ${count(service.failed)} failed` : ""}`,
      sub: `process ${service.pid}, Python ${service.python}`, deaths: null, group: true },
    ...[...service.processes].sort((a, b) => a.lane - b.lane).map((one) => ({ ...one, key: `${service.name} ${one.lane}`, title: `Pool process ${process(service.place, one.lane)}`,
      sub: `${one.pid ? `process ${one.pid}` : "a process"}${one.host ? ` on ${one.host}` : ""}`, runs: running(one, now, nameOf), group: false })),
  ]);
  fill(byId("services"), rows, (row) => row.key, create, (element, row) => update(element, row, now));
  show(byId("services-empty"), !rows.length);
}

export function running(one, now, nameOf) {
  if (!one.job) return "idle";
  const chunk = one.chunk === null ? "" : `, chunk ${one.chunk}`;
  return `${nameOf(one.job)}${chunk}, for ${seconds(now - one.since)}`;
}

function create(row) {
  const cell = (className, ...children) => make("td", { role: "cell", className }, ...children);
  return make("tr", { role: "row", className: row.group ? "group" : "child" },
    cell("", make("span"), make("span", { className: "sub" })), cell("n"), cell("n"), cell(""), cell("n"), cell("n"));
}

function update(element, row, now) {
  const [name, memory, cpu, runs, age, deaths] = element.children;
  say(name.firstChild, row.title);
  say(name.lastChild, row.sub);
  say(memory, row.memory ? bytes(row.memory) : "–");
  say(cpu, `${Math.round(100 * row.cpu)} %`);
  say(runs, row.runs);
  runs.className = row.trouble ? "trouble" : row.runs === "idle" ? "soft" : "";
  say(age, row.started ? seconds(now - row.started) : "–");
  say(deaths, row.deaths === null ? "" : count(row.deaths));
  deaths.className = row.deaths ? "n bad" : "n";
}
