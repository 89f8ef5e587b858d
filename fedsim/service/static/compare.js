// Runs over each other: curves, bands over seeds, and paired differences.
import { Chart, band, colour, dash, line } from "./charts.js";
import { ask, failure, h, linkState, query, svg } from "./dom.js";
import { metricName, number } from "./format.js";
import { chosen } from "./list.js";

const AXES = { round: "rounds", virtual: "simulated time (s)", bytes: "bytes exchanged", up: "bytes sent up by clients", wall: "training time (s)" };
const FIRST = ["test_accuracy", "node_accuracy_mean", "distance", "test_loss", "consensus_distance"];

export function showCompare(main, given) {
  document.title = "Compare · fedsim";
  const ids = given.getAll("run");
  chosen.set(ids);
  if (!ids.length) {
    main.replaceChildren(h("div", { className: "card empty" }, h("h1", {}, "Nothing to compare yet"), h("p", {}, "Mark two or more runs in the list. Runs that differ in nothing but the seed become one curve with a band."), h("p", {}, h("a", { href: "#/" }, "Choose runs"))));
    return () => {};
  }
  const closers = [];
  let closed = false;
  main.replaceChildren(h("p", { className: "quiet" }, "Loading ..."));
  start();
  return () => { closed = true; closers.forEach((close) => close()); linkState(""); };

  async function start() {
    const found = await Promise.allSettled(ids.map((id) => ask(`/api/runs/${encodeURIComponent(id)}`)));
    if (closed) return;
    const runs = found.filter((one) => one.status === "fulfilled").map((one) => one.value.content);
    if (!given.has("metric")) runs.sort((one, other) => one.started - other.started);
    const lost = found.find((one) => one.status === "rejected");
    if (!runs.length) return main.replaceChildren(failure(lost.reason, start), h("p", {}, h("a", { href: "#/" }, "All runs")));
    follow(runs, ids.length - runs.length);
  }

  function follow(runs, missing) {
    const metrics = [...new Set(runs.flatMap((run) => run.metrics))].sort();
    const wish = { metric: given.get("metric"), x: given.get("x") ?? "round", seeds: given.get("seeds") !== "apart" };
    wish.metric = metrics.includes(wish.metric) ? wish.metric : (FIRST.find((name) => metrics.includes(name)) ?? metrics[0] ?? "test_accuracy");
    let told = { runs: [], groups: [], table: [] };
    const select = (label, name, options) => {
      const node = h("select", { id: `choose-${name}` }, options.map(([value, text]) => h("option", { value, selected: value === wish[name] }, text)));
      node.addEventListener("change", () => { wish[name] = node.value; load(); });
      return h("label", { className: "field" }, label, node);
    };
    const apart = h("input", { type: "checkbox", checked: wish.seeds, id: "choose-seeds" });
    apart.addEventListener("change", () => { wish.seeds = apart.checked; remember(); show(); });
    const baseline = h("select", { id: "choose-baseline" });
    baseline.addEventListener("change", () => {
      const first = told.groups.find((group) => group.label === baseline.value)?.runs ?? [];
      runs.sort((one, other) => first.includes(other.id) - first.includes(one.id));
      load();
    });
    const chips = h("ul", { className: "chips", "aria-label": "Runs compared" });
    const rows = () => [["group", "run", "seed", "round", wish.x, wish.metric], ...told.runs.flatMap((run) => run.round.map((r, k) => [run.group, run.id, run.seed, r, run.x[k], run.y[k]]))];
    const chart = new Chart({ title: "Overlay", className: "tall", log: given.get("log") === "1", file: "fedsim-compare", rows }, () => draw(told, wish));
    const table = h("section", { className: "card table-card", "aria-label": "Differences" });
    const problem = h("div");
    main.replaceChildren(
      h("h1", { className: "unseen" }, "Compare runs"),
      h("div", { className: "bar" }, select("Metric", "metric", metrics.map((name) => [name, metricName(name)])), select("Against", "x", Object.entries(AXES)), h("label", { className: "field" }, "Baseline", baseline), h("label", { className: "switch" }, apart, "Seeds as a band"), h("span", { className: "spacer" }), h("a", { href: "#/" }, "Choose runs")),
      chips, ...(missing ? [h("p", { className: "notice error" }, `${missing} of the runs asked for are not in this store.`)] : []), problem, chart.node, table);

    async function load() {
      remember();
      try {
        const { content } = await ask(`/api/compare?${query({ run: runs.map((run) => run.id), metric: wish.metric, x: wish.x, points: 600 })}`);
        if (closed) return;
        told = content;
        problem.replaceChildren();
        show();
      } catch (error) {
        if (!closed) problem.replaceChildren(failure(error, load));
      }
    }
    function remember() {
      const here = query({ run: runs.map((run) => run.id), metric: wish.metric, x: wish.x, seeds: wish.seeds ? null : "apart" });
      history.replaceState(null, "", `#/compare?${here}`);
    }
    function show() {
      const several = told.groups.some((group) => group.seeds.length > 1);
      apart.parentElement.hidden = !several;
      chips.replaceChildren(...told.groups.map((group, k) => chip(group, k, remove)));
      baseline.replaceChildren(...told.groups.map((group) => h("option", {}, group.label)));
      baseline.parentElement.hidden = told.groups.length < 2;
      chart.heading.textContent = metricName(wish.metric);
      const silent = told.runs.length ? "" : "None of these runs reports this metric. ";
      const noAxis = told.runs.length && told.runs.every((run) => run.x.every((x) => x === null)) ? "None of these runs measures this axis; choose another. " : "";
      chart.hint.textContent = silent + noAxis + (several && wish.seeds ? "mean over seeds with 95 % band" : "");
      chart.refresh();
      table.replaceChildren(...differences(told, wish));
    }
    function remove(gone) {
      location.hash = `#/compare?${query({ run: runs.map((run) => run.id).filter((one) => !gone.includes(one)), metric: wish.metric, x: wish.x })}`;
    }
    load();
    if (runs.some((run) => run.status === "running")) {
      let waiting = null;
      const source = new EventSource("/api/stream");
      source.addEventListener("open", () => linkState("live"));
      source.addEventListener("error", () => linkState("reconnecting", true));
      source.addEventListener("changed", () => (waiting ??= setTimeout(() => { waiting = null; load(); }, 2000)));
      closers.push(() => { source.close(); clearTimeout(waiting); });
    }
  }
}

function draw(told, wish) {
  const place = (label) => told.groups.findIndex((group) => group.label === label);
  const several = told.groups.some((group) => group.seeds.length > 1);
  let traces;
  if (wish.seeds && several) {
    traces = told.groups.flatMap((group, k) => [
      ...(group.count.some((count) => count > 1) ? [band(group.x, group.low, group.high, k, { legendgroup: group.label })] : []),
      line(group.x, group.mean, group.label, k, { legendgroup: group.label, customdata: group.round, hovertemplate: "%{y:.5g} (round %{customdata})" }),
    ]);
  } else {
    traces = told.runs.map((run) => line(run.x, run.y, `${run.group}${several ? `, seed ${run.seed}` : ""}`, place(run.group), { customdata: run.round, hovertemplate: "%{y:.5g} (round %{customdata})" }));
  }
  const percent = wish.metric.includes("accuracy") ? { tickformat: ".0%", minallowed: 0, maxallowed: 1 } : {};
  return { traces, layout: { showlegend: true, hovermode: wish.x === "round" ? "x unified" : "closest", xaxis: { title: { text: AXES[wish.x], standoff: 6 }, rangemode: "tozero", exponentformat: "SI" }, yaxis: percent } };
}

// One chip for a group: what its curve looks like, how many seeds, and a way to leave it out.
function chip(group, k, remove) {
  const pattern = { solid: "none", dash: "6 3", dot: "2 3", dashdot: "6 3 2 3", longdash: "9 3", longdashdot: "9 3 2 3" }[dash(k)];
  const mark = svg("svg", { width: "22", height: "8", "aria-hidden": "true" }, svg("line", { x1: "0", x2: "22", y1: "4", y2: "4", stroke: colour(k), "stroke-width": "3", "stroke-dasharray": pattern }));
  const seeds = group.runs.length > 1 ? `${group.runs.length} runs` : `seed ${group.seeds[0]}`;
  const drop = h("button", { type: "button", "aria-label": `Leave out ${group.label}`, onclick: () => remove(group.runs) }, "×");
  return h("li", { className: "card" }, mark, h("a", { href: `#/runs/${group.runs[0]}` }, group.label), h("small", {}, seeds), drop);
}

function differences(told, wish) {
  if (!told.table.length) return [h("h2", {}, "Differences"), h("p", { className: "quiet" }, "Nothing to compare yet.")];
  const between = (found) => (found && found.mean !== null ? `${number(found.mean)}${found.low !== null ? ` [${number(found.low, 3)}, ${number(found.high, 3)}]` : ""}` : "–");
  const heads = ["", `Last ${metricName(wish.metric)}`, "Seeds", `Difference to ${told.table[0].label}`, "Pairs", "p", "p (Holm)", ""];
  const rows = told.table.map((row) => {
    const found = row.difference;
    const verdict = { above: "▲ above", below: "▼ below" }[found?.verdict] ?? "";
    const cells = [between(row.value), String(row.value.count), found ? between(found) : "baseline", found ? String(found.count) : "", found ? number(found.p_value, 3) : "", found ? number(found.p_holm, 3) : ""];
    return h("tr", {}, h("th", { scope: "row" }, row.label), cells.map((cell) => h("td", { className: "num" }, cell)), h("td", { className: "verdict" }, verdict));
  });
  const title = h("header", {}, h("h2", {}, "Paired differences"));
  const table = h("table", { id: "differences" }, h("thead", {}, h("tr", {}, heads.map((text, k) => h("th", { scope: "col", className: k && k < 7 ? "num" : "" }, text)))), h("tbody", {}, rows));
  const note = "Mean over seeds with 95 % interval. Runs of one seed share data and absences, so that differences are taken within seeds; p of the paired t-test, adjusted for several comparisons by Holm. Above and below: the interval leaves out zero.";
  return [title, h("div", { className: "wide" }, table), h("p", { className: "quiet" }, note)];
}

