// Failed items in groups: which exception, where, how many, and one of them in full.
import { byId, fill, make, say, show } from "./dom.js";
import { count, counted } from "./format.js";

const MAPS = 3; // names of maps in one line

// ``only``: the id of the only map whose errors are wanted; "": those of all, and what failed alike in several is one group.
export function drawErrors(groups, only) {
  const shown = only ? groups.filter((one) => one.map === only) : together(groups);
  fill(byId("errors"), shown, (one) => `${one.type} ${one.frame} ${one.frame ? "" : one.message}`, create, update);
  show(byId("errors-empty"), !shown.length);
}

function together(groups) {
  const found = new Map();
  for (const group of groups) {
    const key = `${group.type} ${group.frame} ${group.frame ? "" : group.message}`;
    const known = found.get(key);
    if (known) { known.count += group.count; known.killed += group.killed; known.names.push(group.name); }
    else found.set(key, { ...group, names: [group.name] });
  }
  return [...found.values()].sort((a, b) => b.count - a.count);
}

function named(group) {
  const names = [...new Set(group.names || [group.name])];
  const more = names.length > MAPS ? ` and ${count(names.length - MAPS)} more` : "";
  return `${names.length > 1 ? "maps" : "map"} ${names.slice(0, MAPS).join(", ")}${more}`;
}

function create(group) {
  return make("details", { className: "error" },
    make("summary", {}, make("strong"), " ", make("span", { className: "soft" })),
    make("p"), make("p", { className: "killer" }), make("pre", { tabIndex: 0, "aria-label": "Traceback" }));
}

function update(element, group) {
  const [summary, message, killer, trace] = element.children;
  say(summary.firstChild, `${count(group.count)} × ${group.type}`);
  say(summary.lastChild, `${group.message.split("\n")[0].slice(0, 120)} · ${group.frame ? `at ${group.frame} · ` : ""}${named(group)}`);
  say(message, `Item ${group.item}: ${group.message}`);
  show(killer, group.killed > 0);
  say(killer, `This item killed ${counted(group.killed, "process", "processes")}.`);
  show(trace, group.traceback !== "");
  say(trace, group.traceback);
}
