// All runs: state, how far, and a small curve of each.
import { announce, ask, failure, h, linkState, query, svg } from "./dom.js";
import { ago, headline, metricName, progress, state, whole } from "./format.js";

const PAGE = 50;
const STATES = ["running", "completed", "stopped", "diverged", "interrupted", "failed"];
const kept = { text: "", status: "", offset: 0 };

export const chosen = {
  get: () => JSON.parse(sessionStorage.getItem("chosen") ?? "[]"),
  set: (ids) => sessionStorage.setItem("chosen", JSON.stringify(ids)),
};

export function showList(main) {
  document.title = "Runs · fedsim";
  let seen = 0;
  let wanted = 0;
  const search = h("input", { type: "search", placeholder: "Filter by name, strategy or id", "aria-label": "Filter runs", value: kept.text, id: "filter", title: "/ jumps here" });
  const status = h("select", { "aria-label": "State" }, h("option", { value: "" }, "Any state"), STATES.map((one) => h("option", { value: one, selected: one === kept.status }, one)));
  const compare = h("button", { type: "button", className: "primary", id: "compare-chosen", onclick: () => (location.hash = `#/compare?${query({ run: chosen.get() })}`) });
  const clear = h("button", { type: "button", onclick: () => { chosen.set([]); load(); } }, "Clear");
  const place = h("div", { className: "card" }, h("p", { className: "quiet empty" }, "Loading ..."));
  const pager = h("nav", { className: "bar", "aria-label": "Pages of runs" });
  main.replaceChildren(h("h1", { className: "unseen" }, "Runs"), h("div", { className: "bar" }, search, status, h("span", { className: "spacer" }), clear, compare), place, pager);

  async function load() {
    const turn = ++wanted;
    const filter = { text: kept.text, status: kept.status };
    try {
      const { content, total } = await ask(`/api/runs?${query({ ...filter, limit: PAGE, offset: kept.offset, spark: 40 })}`);
      if (turn !== wanted) return;
      place.replaceChildren(content.length ? table(content, load) : empty(filter));
      pager.replaceChildren(...pages(total, load));
      if (seen !== 0 && total > seen) announce("A new run has begun");
      seen = total;
    } catch (error) {
      if (turn === wanted) place.replaceChildren(failure(error, load));
    }
    const count = chosen.get().length;
    compare.textContent = count ? `Compare ${count} run${count > 1 ? "s" : ""}` : "Compare";
    compare.disabled = count === 0;
    clear.hidden = count === 0;
  }

  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { Object.assign(kept, { text: search.value.trim(), offset: 0 }); load(); }, 200);
  });
  status.addEventListener("change", () => { Object.assign(kept, { status: status.value, offset: 0 }); load(); });

  let waiting = null;
  const source = new EventSource("/api/stream");
  source.addEventListener("changed", () => (waiting ??= setTimeout(() => { waiting = null; load(); }, seen ? 700 : 0)));
  source.addEventListener("open", () => linkState("live"));
  source.addEventListener("error", () => { linkState("reconnecting", true); if (!seen) load(); });
  return () => { source.close(); clearTimeout(waiting); wanted++; linkState(""); };
}

function table(runs, changed) {
  const heads = [["", "pick-cell"], ["Run", "name"], ["State", "status"], ["Strategy", "strategy"], ["Seed", "seed num"], ["Rounds", "round"], ["Progress of", "spark"], ["Heard of", "when"]];
  return h("table", { className: "runs" },
    h("thead", {}, h("tr", {}, heads.map(([text, className]) => h("th", { className, scope: "col" }, text || h("span", { className: "unseen" }, "Compare"))))),
    h("tbody", {}, runs.map((run) => row(run, changed))));
}

function row(run, changed) {
  const picked = chosen.get().includes(run.id);
  const box = h("input", { type: "checkbox", checked: picked, "aria-label": `Compare ${run.name}, seed ${run.seed}` });
  box.addEventListener("change", () => {
    chosen.set(box.checked ? [...chosen.get(), run.id] : chosen.get().filter((id) => id !== run.id));
    changed();
  });
  const { metric, values } = run.spark ?? { values: [] };
  const last = values.findLast((value) => value !== null);
  return h("tr", { "data-run": run.id, "data-chosen": picked },
    h("td", { className: "pick-cell" }, h("label", { className: "pick" }, box)),
    h("td", { className: "name" }, h("a", { href: `#/runs/${run.id}` }, run.name), h("small", { className: "mono" }, run.id)),
    h("td", { className: "status" }, state(run.status, run.updated)),
    h("td", { className: "strategy" }, run.strategy),
    h("td", { className: "seed num" }, String(run.seed)),
    h("td", { className: "round" }, `${whole(run.round)} / ${whole(run.rounds)}`, progress(run.round, run.rounds)),
    h("td", { className: "spark" }, metric ? h("div", { className: "spark-cell" }, spark(values), h("span", {}, h("b", {}, headline(metric, last)), h("small", {}, metricName(metric).replace("test ", "")))) : h("span", { className: "quiet" }, "no evaluation yet")),
    h("td", { className: "when quiet", title: new Date(run.updated * 1000).toString() }, ago(run.updated)));
}

function spark(values) {
  const [wide, high] = [96, 28];
  const there = values.filter((value) => value !== null);
  const [low, top] = [Math.min(...there), Math.max(...there)];
  const y = (value) => high - 2 - ((high - 4) * (value - low)) / (top - low || 1);
  const points = values.map((value, k) => (value === null ? null : [(wide * k) / Math.max(1, values.length - 1), y(value)])).filter(Boolean);
  const [endX, endY] = points.at(-1) ?? [0, 0];
  return svg("svg", { viewBox: `0 0 ${wide} ${high}`, width: String(wide), height: String(high), "aria-hidden": "true" },
    svg("polyline", { points: points.map((point) => point.map((one) => one.toFixed(1)).join(",")).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": "1.6", "stroke-linejoin": "round" }),
    svg("circle", { cx: endX.toFixed(1), cy: endY.toFixed(1), r: "2.6", fill: "var(--accent)" }));
}

function empty(filter) {
  if (filter.text || filter.status) return h("div", { className: "empty" }, h("h2", {}, "No run matches"), h("p", {}, "Take something out of the filter."));
  return h("div", { className: "empty" }, h("h2", {}, "No runs yet"),
    h("p", {}, "Runs appear here while they train, as soon as one writes into this store:"), h("pre", {}, "fedsim new mine\nfedsim run mine.yaml"),
    h("p", {}, "or, with nothing of your own,"), h("pre", {}, "fedsim demo"),
    h("p", {}, "A run on another machine sends its numbers here with"), h("pre", {}, `metrics: {service: ${location.origin}, token_env: FEDSIM_TOKEN}`));
}

function pages(total, load) {
  if (!(total > PAGE)) return [];
  const go = (step) => () => { kept.offset = Math.max(0, kept.offset + step * PAGE); load(); };
  const last = Math.min(total, kept.offset + PAGE);
  return [
    h("button", { type: "button", disabled: kept.offset === 0, onclick: go(-1) }, "Newer"),
    h("span", { className: "quiet" }, `${whole(kept.offset + 1)} to ${whole(last)} of ${whole(total)}`),
    h("button", { type: "button", disabled: last >= total, onclick: go(1) }, "Older"),
  ];
}
