// Numbers and times as people read them.

const THIN = "\u202f";

export function count(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

export function rate(number) {
  if (number === 0) return "0";
  return number >= 10 ? count(number) : number.toFixed(number >= 1 ? 1 : 2);
}

export function seconds(number) {
  if (number === null || number === undefined || !isFinite(number)) return "–";
  if (number < 0) return "0 s";
  if (number < 1) return `${Math.max(1, Math.round(number * 1000))} ms`;
  if (number < 10) return `${number.toFixed(1)} s`;
  if (number < 60) return `${Math.round(number)} s`;
  if (number < 3600) return `${Math.floor(number / 60)} min ${String(Math.floor(number % 60)).padStart(2, "0")} s`;
  if (number < 172800) return `${Math.floor(number / 3600)} h ${String(Math.floor((number % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(number / 86400)} days`;
}

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) { number /= 1024; unit += 1; }
  return `${unit && number < 10 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

export function percent(part, whole) {
  return whole ? `${Math.round((100 * part) / whole)} %` : "–";
}

export function clock(moment) {
  return moment ? new Date(moment * 1000).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" }) : "–";
}

export const short = (id) => id.slice(0, 8);

// Which pool process: the service's number on its host, and the place in it.
export const process = (place, lane) => `${place.split("-").pop()}.${lane}`;
