// Numbers, times and states for people.
import { h, svg } from "./dom.js";

export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value === "string") return value;
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return Number(value.toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: digits });
}

export function whole(value) {
  return value.toLocaleString("en");
}

export function headline(metric, value) {
  if (value === null || value === undefined) return "–";
  return metric.includes("accuracy") ? `${(100 * value).toFixed(1)} %` : number(value, 3);
}

export function seconds(value) {
  if (value < 1e-3) return `${(1e6 * value).toPrecision(3)} µs`;
  if (value < 1) return `${(1e3 * value).toPrecision(3)} ms`;
  if (value < 120) return `${value.toPrecision(3)} s`;
  if (value < 7200) return `${(value / 60).toFixed(0)} min`;
  return `${(value / 3600).toFixed(1)} h`;
}

const LATEST = 253_370_764_800; // no calendar goes on after the year 9999

function known(time) {
  return Number.isFinite(time) && time >= 0 && time <= LATEST;
}

export function ago(time) {
  if (!known(time)) return "–";
  const gone = Date.now() / 1000 - time;
  if (gone < 5) return "now";
  if (gone < 90) return `${Math.round(gone)} s ago`;
  if (gone < 5400) return `${Math.round(gone / 60)} min ago`;
  if (gone < 129600) return `${Math.round(gone / 3600)} h ago`;
  return new Date(time * 1000).toISOString().slice(0, 10);
}

export function moment(time) {
  if (!known(time)) return "–";
  return new Date(time * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

export const metricName = (metric) => metric.replaceAll("_", " ").replace(/ s$/, " (s)");

const SILENT_S = 120;
const SHAPES = {
  completed: "M3 8.5l3.2 3.200L13 5",
  failed: "M4 4l8 8M12 4l-8 8",
  diverged: "M2.500 12.500L6 9l3 1 4.500-7.500",
  stopped: "M4.500 4.500h7v7h-7z",
  interrupted: "M6 4v8M10 4v8",
  silent: "M8 3.500v5M8 11.500v1",
};

// A word and a shape beside the colour: colour alone tells nothing to some.
export function state(status, updated) {
  const silent = status === "running" && Date.now() / 1000 - updated > SILENT_S;
  const kind = silent ? "silent" : status;
  const box = { viewBox: "0 0 16 16", width: "16", height: "16", "aria-hidden": "true" };
  const mark =
    kind === "running"
      ? svg("svg", box, svg("circle", { class: "halo", cx: "8", cy: "8", r: "7", fill: "currentColor", opacity: ".3" }), svg("circle", { cx: "8", cy: "8", r: "3.6", fill: "currentColor" }))
      : svg("svg", box, svg("path", { d: SHAPES[kind] ?? SHAPES.silent, fill: "none", stroke: "currentColor", "stroke-width": "2", "stroke-linecap": "round", "stroke-linejoin": "round" }));
  const title = silent ? `It has not been heard of since ${moment(updated)}: killed, or it cannot reach the store.` : null;
  return h("span", { className: `state ${kind}`, title }, mark, silent ? "silent" : status);
}

export function progress(round, rounds) {
  const share = rounds > 0 ? Math.min(100, (100 * round) / rounds) : 0;
  const bar = h("i");
  bar.style.width = `${share}%`;
  return h("span", { className: "progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": String(rounds), "aria-valuenow": String(round), "aria-label": "rounds done" }, bar);
}
