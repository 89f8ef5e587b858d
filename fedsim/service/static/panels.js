// What a run's page draws, and out of which series.
import { Chart, band, colour, faint, line, token } from "./charts.js";
import { metricName, seconds } from "./format.js";

const PANELS = [
  { title: "Accuracy", hint: "of the global model on the held-out split", metrics: ["test_accuracy"], yaxis: { tickformat: ".0%", minallowed: 0, maxallowed: 1 } },
  { title: "Accuracy of the nodes", hint: "mean, and the band from the tenth to the ninetieth percentile", metrics: ["node_accuracy_mean", "node_accuracy_min", "node_accuracy_max"], band: ["node_accuracy_q10", "node_accuracy_q90"], yaxis: { tickformat: ".0%", minallowed: 0, maxallowed: 1 } },
  { title: "Accuracy of the clients", hint: "on their own examples: mean, worst tenth, after local epochs; the band from the tenth to the ninetieth percentile", metrics: ["client_accuracy_mean", "client_accuracy_worst_decile", "personal_accuracy_mean"], band: ["client_accuracy_q10", "client_accuracy_q90"], yaxis: { tickformat: ".0%", minallowed: 0, maxallowed: 1 } },
  { title: "Loss", hint: "held-out, and of the cohort's own steps", metrics: ["test_loss", "train_loss", "node_loss_mean"], faint: ["train_loss"], log: false },
  { title: "Distance to the optimum", metrics: ["distance"], log: true },
  { title: "Update variance", hint: "mean squared distance of the cohort's deltas to their mean", metrics: ["update_variance"], log: true },
  { title: "Probe: variance of the update", hint: "what each strategy would apply, redrawn over cohorts", family: "probe_variance", log: true },
  { title: "Probe: squared bias of the update", hint: "distance of the expected update to the full one", family: "probe_bias2", log: true },
  { title: "Cohort", hint: "clients asked, and clients whose update entered the round", metrics: ["cohort_size", "num_invited"], faint: ["num_invited"], yaxis: { rangemode: "tozero" } },
  { title: "Age of memories", hint: "rounds since clients last took part", metrics: ["memory_age_mean", "memory_age_max"], yaxis: { rangemode: "tozero" } },
  { title: "Distance from the target objective", hint: "total variation of effective and target weights", metrics: ["objective_tv"], log: false },
  { title: "Consensus distance", hint: "of the nodes' models to their mean", metrics: ["consensus_distance"], log: true },
  { title: "Variance of each tensor after merging", hint: "weights shrink where models are averaged that point apart", family: "variance_merged", log: true },
  { title: "Variance of each tensor after training", family: "variance_trained", log: true },
  { title: "Seconds of a round", metrics: ["round_s"], log: false, yaxis: { rangemode: "tozero" } },
];

export function linePanels(run, series) {
  const made = PANELS.map((panel) => ({ panel, chart: null }));
  return (place) => {
    let added = false;
    // a metric of the task has a panel of its own, before the loss
    for (const name of series.keys()) {
      if (!name.startsWith("test_") || made.some((one) => one.panel.metrics?.includes(name))) continue;
      const title = metricName(name).replace(/^./, (first) => first.toUpperCase());
      const loss = made.findIndex((one) => one.panel.metrics?.includes("test_loss"));
      made.splice(loss, 0, { panel: { title, hint: "of the global model on the held-out split", metrics: [name], log: false }, chart: null });
    }
    for (const one of made) {
      const names = there(one.panel, series);
      if (!names.length) continue;
      if (!one.chart) {
        one.chart = linePanel(run, one.panel, series);
        const after = made.slice(made.indexOf(one) + 1).find((other) => other.chart);
        place.insertBefore(one.chart.node, after ? after.chart.node : place.querySelector(".full"));
        added = true;
      }
      one.chart.refresh();
    }
    return added;
  };
}

function there(panel, series) {
  if (!panel.family) return panel.metrics.filter((name) => series.has(name));
  const found = [...series.keys()].filter((name) => name.startsWith(`${panel.family}.`));
  return found.sort((one, other) => other.endsWith(".this") - one.endsWith(".this"));
}

function linePanel(run, panel, series) {
  const label = (name) => (panel.family ? name.slice(panel.family.length + 1).replace(/^this$/, "this run") : metricName(name));
  const rows = () => [["metric", "round", "value"], ...there(panel, series).flatMap((name) => { const { round, value } = series.get(name); return round.map((r, k) => [name, r, value[k]]); })];
  return new Chart({ title: panel.title, hint: panel.hint, log: panel.log ?? null, file: `${run}-${panel.title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`, rows }, () => {
    const names = there(panel, series);
    const traces = names.map((name, k) => {
      const { round, value } = series.get(name);
      const soft = panel.faint?.includes(name);
      return line(round, value, label(name), k, { showlegend: names.length > 1, ...(soft && { line: { color: faint(colour(k), 0.75), width: 1.2 } }) });
    });
    if (panel.faint) traces.sort((one, other) => (one.line.width ?? 0) - (other.line.width ?? 0)); // the faint below the others
    const [low, high] = (panel.band ?? []).map((name) => series.get(name));
    if (low && high) traces.unshift(band(low.round, low.value, high.value, 0));
    return { traces, layout: { xaxis: { title: { text: "round", standoff: 4 } }, yaxis: panel.yaxis } };
  });
}

export function heatPanel(run, held) {
  return new Chart({ title: "Participation", hint: "", className: "full", file: `${run}-participation` }, () => {
    const { rounds, clients, share } = held.blocks;
    const scale = [[0, token("--heat-low")], [1, token("--heat-high")]];
    const trace = { type: "heatmap", x: rounds, y: clients, z: share, zmin: 0, colorscale: scale, colorbar: { thickness: 10, outlinewidth: 0, tickformat: ".0%", title: { text: "" } }, hovertemplate: "round %{x}, client %{y}: %{z:.0%}<extra></extra>", xgap: 0, ygap: 0 };
    return { traces: [trace], layout: { hovermode: "closest", xaxis: { title: { text: "round", standoff: 4 } }, yaxis: { title: { text: "client", standoff: 4 }, type: "linear", autorange: "reversed" } } };
  });
}

const PHASES = { choose_s: "choose the cohort", send_s: "send tasks", train_s: "train (slowest host)", ship_s: "ship and wait", step_s: "add up and step", record_s: "record", evaluate_s: "evaluate", save_s: "save", probe_s: "probe" };

export function phasePanel(run, held) {
  return new Chart({ title: "Where the time of a round goes", hint: "means over all rounds but the first", file: `${run}-phases`, rows: () => [["phase", "seconds"], ...Object.entries(held.phases)] }, () => {
    const names = Object.keys(PHASES).filter((name) => held.phases[name] !== undefined).toReversed();
    const values = names.map((name) => held.phases[name]);
    const trace = { type: "bar", orientation: "h", x: values, y: names.map((name) => PHASES[name]), marker: { color: colour(0) }, text: values.map(seconds), textposition: "auto", textangle: 0, cliponaxis: false, hovertemplate: "%{y}: %{text}<extra></extra>" };
    return { traces: [trace], layout: { hovermode: "closest", margin: { l: 120, r: 40, t: 10, b: 36 }, xaxis: { title: { text: "seconds", standoff: 4 }, showgrid: true, rangemode: "tozero" }, yaxis: { type: "category" } } };
  });
}
