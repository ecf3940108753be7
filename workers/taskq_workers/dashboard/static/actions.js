// Cancel, kill, retry: asked first where something is lost, told afterwards.
import { byId, make, say, show } from "./dom.js";

export const settings = { actions: false };

const QUESTIONS = {
  cancel: { title: "Cancel this?", text: "No further chunk is started and nothing more is stored. Results so far stay for a day.",
    buttons: [["cancel", "Cancel it", "danger"], ["kill", "Cancel, and kill what runs", "danger"]] },
  kill: { title: "Stop this job?", text: "Its process is killed.", buttons: [["kill", "Stop it", "danger"]] },
};

export async function act(id, name, action) {
  const question = QUESTIONS[action];
  const chosen = question ? await ask(question, name) : action;
  if (!chosen) return;
  let text;
  try {
    const answer = await fetch(`/jobs/${encodeURIComponent(id)}/${chosen}`, { method: "POST", headers: { "X-Requested-With": "taskq" } });
    text = answer.ok ? (await answer.json()).done : await answer.text();
  } catch (error) {
    text = `That did not arrive: ${error.message}`;
  }
  tell(text);
}

function ask(question, name) {
  const dialog = byId("ask");
  say(byId("ask-title"), question.title);
  say(byId("ask-text"), `${name}: ${question.text}`);
  byId("ask-buttons").replaceChildren(
    make("button", { value: "", autofocus: true }, "Leave it"),
    ...question.buttons.map(([value, text, className]) => make("button", { value, className }, text)),
  );
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

let hiding = 0;
export function tell(text) {
  const toast = byId("told");
  say(toast, text.trim());
  show(toast, true);
  clearTimeout(hiding);
  hiding = setTimeout(() => show(toast, false), 6000);
}
