// Charts: plotly, loaded when the first one is drawn, with colours of this page's theme.
import { h, save } from "./dom.js";

// Okabe and Ito (2008), for light and dark ground; dashes tell curves apart once more
const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#2B2B2B", "#56B4E9", "#7A6A00"];
const DARK = ["#5BB8F5", "#FF8C42", "#2FC79A", "#E79BC6", "#F0B93A", "#D5DAE0", "#9AD4FA", "#D6CB3D"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash"];
const drawn = new Set();
let loading = null;

export const isDark = () => document.documentElement.dataset.theme === "dark";
export const colour = (k) => (isDark() ? DARK : LIGHT)[k % LIGHT.length];
export const dash = (k) => DASHES[(k + 3 * Math.floor(k / DASHES.length)) % DASHES.length];
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const safe = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads tags in labels

export function faint(hex, opacity) {
  const parts = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  return `rgba(${parts.join(",")},${opacity})`;
}

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "/static/plotly.min.js" });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error("The chart library could not be loaded.")));
    document.head.append(script);
  });
  return loading;
}

export function redrawAll() {
  for (const chart of drawn) chart.refresh();
}

export function forgetAll() {
  for (const chart of drawn) if (window.Plotly) window.Plotly.purge(chart.plot);
  drawn.clear();
}

// A card with one chart. `make()` returns {traces, layout} and is called anew whenever data or theme changed.
export class Chart {
  constructor({ title, hint, className = "", log = null, file, rows }, make) {
    this.make = make;
    this.log = Boolean(log);
    this.busy = false;
    this.plot = h("div", { className: "plot", role: "img", "aria-label": `Chart: ${title}` });
    const scale = log !== null && h("button", { type: "button", "aria-pressed": String(this.log), title: "Logarithmic axis", onclick: () => this.toggle(scale) }, "log");
    const table = rows && h("button", { type: "button", title: "The numbers as a file", onclick: () => save(`${file}.csv`, csv(rows())) }, "CSV");
    const picture = h("button", { type: "button", title: "The chart as a picture", onclick: () => this.download(file) }, "PNG");
    this.heading = h("h2", {}, title);
    this.hint = h("p", { className: "hint" }, hint ?? "");
    this.node = h("section", { className: `card panel ${className}`, "aria-label": title }, h("header", {}, this.heading, h("div", { className: "tools" }, scale, table, picture)), this.hint, this.plot);
    drawn.add(this);
  }

  toggle(button) {
    this.log = !this.log;
    button.setAttribute("aria-pressed", String(this.log));
    this.refresh();
  }

  async refresh() {
    if (this.busy) return void (this.again = true);
    this.busy = true;
    try {
      const Plotly = await plotly();
      if (!drawn.has(this)) return;
      const { traces, layout = {} } = this.make();
      if (this.log) traces.forEach(positive);
      await Plotly.react(this.plot, traces, this.layout(layout, traces), { displayModeBar: false, responsive: true });
    } finally {
      this.busy = false;
    }
    if (this.again) {
      this.again = false;
      await this.refresh();
    }
  }

  layout({ xaxis, yaxis, ...rest }, traces) {
    const below = LEGEND_ROW * legendRows(traces, this.plot.clientWidth);
    this.plot.style.marginBottom = below ? "0" : "";
    this.plot.style.height = below > LEGEND_ROW ? `calc(var(--plot) + ${below - LEGEND_ROW}px)` : "";
    const axis = { gridcolor: token("--grid"), linecolor: token("--line"), zerolinecolor: token("--line"), automargin: true, ticks: "", fixedrange: window.innerWidth < 720 };
    return {
      paper_bgcolor: token("--card"),
      plot_bgcolor: token("--card"),
      font: { family: "system-ui, sans-serif", size: 12, color: token("--ink") },
      margin: { l: 44, r: 12, t: 10, b: 36 + below },
      hovermode: "x unified",
      hoverlabel: { bgcolor: token("--card"), bordercolor: token("--line"), font: { color: token("--ink") } },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 12 } },
      uirevision: this.log ? "log" : "linear",
      ...rest,
      xaxis: { ...axis, showgrid: false, ...xaxis },
      yaxis: { ...axis, exponentformat: "power", ...yaxis, ...(this.log ? logAxis(traces) : { type: yaxis?.type ?? "linear" }) },
    };
  }

  async download(file) {
    const Plotly = await plotly();
    const [width, height] = [Math.max(900, this.plot.clientWidth), Math.max(420, this.plot.clientHeight)];
    await Plotly.downloadImage(this.plot, { format: "png", scale: 2, width, height, filename: file });
  }
}

const LEGEND_ROW = 21;

function legendRows(traces, width) {
  const names = traces.filter((trace) => trace.name && trace.showlegend !== false && trace.type === undefined).map((trace) => trace.name);
  if (names.length < 2) return 0;
  const entry = 58 + 7 * Math.max(...names.map((name) => name.length));
  return Math.ceil(names.length / Math.max(1, Math.floor((width - 56) / entry)));
}

// A logarithmic axis has no place for zero: a gap in a line, the lowest value there is for a band.
function positive(trace) {
  if (!trace.y || trace.type === "bar") return;
  const least = Math.min(...trace.y.filter((value) => value > 0));
  trace.y = trace.y.map((value) => (value > 0 ? value : trace.fill ? least : null));
}

function logAxis(traces) {
  const values = traces.flatMap((trace) => (trace.fill ? [] : trace.y)).filter((value) => value > 0);
  const decades = values.length ? Math.log10(Math.max(...values) / Math.min(...values)) : 1;
  return { type: "log", dtick: decades > 2 ? Math.ceil(decades / 6) : "D2", tickformat: decades > 2 ? "" : undefined };
}

function csv(rows) {
  const cell = (value) => (typeof value === "string" && /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : (value ?? ""));
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}

export function line(x, y, name, k, more = {}) {
  const few = x.length <= 3;
  return { x, y, name: safe(name), mode: few ? "lines+markers" : "lines", line: { color: colour(k), width: 2, dash: dash(k) }, hovertemplate: "%{y:.5g}", ...more };
}

export function band(x, low, high, k, more = {}) {
  const there = x.map((_, place) => place).filter((place) => low[place] !== null && high[place] !== null);
  const xs = there.map((place) => x[place]);
  return {
    x: [...xs, ...xs.toReversed()],
    y: [...there.map((place) => high[place]), ...there.toReversed().map((place) => low[place])],
    fill: "toself", fillcolor: faint(colour(k), 0.18), line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false, ...more,
  };
}
