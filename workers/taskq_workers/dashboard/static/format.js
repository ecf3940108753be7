// Numbers and times as people read them.

const THIN = "\u202f";

// Whatever stands in Redis has been looked at before; should it be no number after all, the page goes on.
const sane = (number) => (typeof number === "number" && isFinite(number) ? number : 0);

export function count(number) {
  return Math.round(sane(number)).toString().replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

export function rate(number) {
  number = sane(number);
  if (number === 0) return "0";
  return number >= 10 ? count(number) : number.toFixed(number >= 1 ? 1 : 2);
}

export function seconds(number) {
  if (typeof number !== "number" || !isFinite(number)) return "–";
  if (number < 0) return "0 s";
  if (number < 1) return `${Math.max(1, Math.round(number * 1000))} ms`;
  if (number < 10) return `${number.toFixed(1)} s`;
  if (number < 60) return `${Math.round(number)} s`;
  if (number < 3600) return `${Math.floor(number / 60)} min ${String(Math.floor(number % 60)).padStart(2, "0")} s`;
  if (number < 172800) return `${Math.floor(number / 3600)} h ${String(Math.floor((number % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(number / 86400)} days`;
}

export function bytes(number) {
  number = sane(number);
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) { number /= 1024; unit += 1; }
  return `${unit && number < 10 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

export function percent(part, whole) {
  return sane(whole) ? `${Math.round((100 * sane(part)) / whole)} %` : "–";
}

// A moment; without its day if that is today's.
export function clock(moment, now) {
  if (!sane(moment)) return "–";
  const one = new Date(moment * 1000), today = sane(now) && new Date(now * 1000).toDateString() === one.toDateString();
  return today ? one.toLocaleTimeString(undefined, { timeStyle: "medium" }) : one.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}

// "1 chunk", "2 chunks".
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${sane(number) === 1 ? one : many}`;

// The colour of a map or job, wherever and whenever it is seen: made of its id. Red says what is bad, and nothing else.
export function colour(id) {
  let hash = 2166136261; // FNV-1a
  for (const sign of String(id)) hash = Math.imul(hash ^ sign.codePointAt(0), 16777619) >>> 0;
  return `hsl(${25 + (hash % 310)} ${50 + ((hash >>> 9) % 3) * 10}% ${44 + ((hash >>> 12) % 3) * 6}%)`;
}

export const short = (id) => String(id).slice(0, 8);

// Which pool process: the service's number on its host, and the place in it.
export const process = (place, lane) => `${String(place).split("-").pop()}.${lane}`;
