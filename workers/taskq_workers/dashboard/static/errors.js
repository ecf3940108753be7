// Failed items in groups: which exception, where, how many, and one of them in full.
import { byId, fill, make, say, show } from "./dom.js";
import { count } from "./format.js";

export function drawErrors(groups) {
  fill(byId("errors"), groups, (one) => `${one.map} ${one.type} ${one.frame}`, create, update);
  show(byId("errors-empty"), !groups.length);
}

function create(group) {
  return make("details", { className: "error" },
    make("summary", {}, make("strong"), " ", make("span", { className: "soft" })),
    make("p"), make("p", { className: "killer" }), make("pre", { tabIndex: 0, "aria-label": "Traceback" }));
}

function update(element, group) {
  const [summary, message, killer, trace] = element.children;
  say(summary.firstChild, `${count(group.count)} × ${group.type}`);
  say(summary.lastChild, `${group.frame ? `at ${group.frame} ` : ""}· map ${group.name}`);
  say(message, `Item ${group.item}: ${group.message}`);
  show(killer, group.killed > 0);
  say(killer, `This item killed ${group.killed} processes.`);
  show(trace, group.traceback !== "");
  say(trace, group.traceback);
}
