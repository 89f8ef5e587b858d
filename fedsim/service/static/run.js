// One run, live: a snapshot first, then rounds as they come.
import { announce, ask, failure, h, linkState } from "./dom.js";
import { ago, headline, metricName, moment, number, progress, seconds, state, whole } from "./format.js";
import { heatPanel, linePanels, phasePanel } from "./panels.js";

const MOST_POINTS = 2500;

export function showRun(main, id) {
  const address = `/api/runs/${encodeURIComponent(id)}`;
  const closers = [];
  let closed = false;
  main.replaceChildren(h("p", { className: "quiet" }, "Loading ..."));
  start();
  return () => { closed = true; closers.forEach((close) => close()); linkState(""); };

  async function start() {
    try {
      const { content } = await ask(address);
      if (!closed) follow(content);
    } catch (error) {
      if (closed) return;
      const missing = error.status === 404;
      const text = missing ? new Error("There is no such run in this store.") : error;
      main.replaceChildren(failure(text, missing ? null : start), h("p", {}, h("a", { href: "#/" }, "All runs")));
    }
  }

  function follow(run) {
    document.title = `${run.name} · fedsim`;
    const series = new Map();
    const held = { blocks: { rounds: [], clients: [], share: [] }, phases: {} };
    const title = h("div", { className: "title" });
    const tiles = h("dl", { className: "tiles" });
    const heat = heatPanel(id, held);
    const phases = phasePanel(id, held);
    const panels = h("div", { className: "panels" });
    const notices = h("details", { className: "card", hidden: true });
    const draw = linePanels(id, series);
    main.replaceChildren(title, meta(run), tiles, panels, notices, ...about(run));
    heading();

    function heading() {
      title.replaceChildren(h("h1", {}, run.name), state(run.status, run.updated), h("span", { className: "bar" }));
      title.lastChild.replaceWith(h("a", { href: `#/compare?run=${id}` }, "Compare"), h("a", { href: `${address}/rounds.csv`, download: "" }, "CSV"));
      tiles.replaceChildren(...tilesOf(run, series));
    }

    let source = null;
    function listen() {
      source = new EventSource(`${address}/stream`);
      source.addEventListener("open", () => linkState("live"));
      source.addEventListener("error", () => linkState("reconnecting", true));
      source.addEventListener("snapshot", (event) => {
        const told = JSON.parse(event.data);
        series.clear();
        held.phases = told.phases;
        take(told);
        if (Object.keys(told.phases).length && !phases.node.isConnected) panels.append(phases.node);
        if (phases.node.isConnected) phases.refresh();
        people();
      });
      source.addEventListener("rounds", (event) => {
        take(JSON.parse(event.data));
        announce(`Round ${run.round}`);
        later(people, 4000);
        if (Math.max(0, ...[...series.values()].map((one) => one.round.length)) > MOST_POINTS) again();
      });
      source.addEventListener("end", (event) => {
        take(JSON.parse(event.data));
        people();
        source.close();
        linkState("");
        const resumed = setInterval(async () => {
          const found = await ask(address).catch(() => null);
          if (found?.content.status === "running") { clearInterval(resumed); listen(); }
        }, 15000);
        closers.push(() => clearInterval(resumed));
      });
    }
    function again() { source.close(); listen(); } // the service thins what has grown long
    listen();
    closers.push(() => source.close());

    function take(told) {
      Object.assign(run, { status: told.status, round: told.round, updated: told.updated });
      for (const [name, { round, value }] of Object.entries(told.series ?? {})) {
        const known = series.get(name);
        if (!known) { series.set(name, { round, value }); continue; }
        const from = known.round.at(-1) ?? -1;
        const fresh = round.findIndex((one) => one > from);
        if (fresh < 0) continue;
        known.round = [...known.round, ...round.slice(fresh)];
        known.value = [...known.value, ...value.slice(fresh)];
      }
      heading();
      if (draw(panels)) panels.append(...[heat, phases].map((chart) => chart.node).filter((node) => node.isConnected));
    }

    let waiting = null;
    function later(call, delay) { waiting ??= setTimeout(() => { waiting = null; if (!closed) call(); }, delay); }
    closers.push(() => clearTimeout(waiting));

    async function people() {
      const [blocks, told] = await Promise.all([ask(`${address}/participation?rows=100&columns=200`), ask(`${address}/notices?limit=200`)]).catch(() => [null, null]);
      if (closed || !blocks) return;
      held.blocks = blocks.content;
      if (held.blocks.share.length) {
        if (!heat.node.isConnected) panels.append(heat.node);
        const [high, wide] = [held.blocks.clients.length - 1, held.blocks.rounds.length - 1];
        heat.hint.textContent = `share of a block's clients and rounds that took part; ${whole(run.num_clients)} clients in ${high} rows, ${wide} columns`;
        heat.refresh();
      }
      if (told.content.length) notices.replaceChildren(...noticesOf(told.content));
      notices.hidden = told.content.length === 0;
    }
  }
}

function meta(run) {
  const parts = [`${run.strategy}`, `seed ${run.seed}`, `${whole(run.num_clients)} clients`, `started ${moment(run.started)}`];
  return h("p", { className: "meta" }, parts.map((part) => h("span", {}, part)), h("span", { className: "mono", title: "run id" }, run.id), run.folder && h("span", { className: "mono" }, run.folder));
}

function tilesOf(run, series) {
  const last = (name) => series.get(name)?.value.findLast((value) => value !== null);
  const recent = (series.get("round_s")?.value ?? []).slice(-10).filter((value) => value !== null);
  const speed = recent.length ? recent.length / recent.reduce((sum, value) => sum + value, 0) : null;
  const left = speed && run.status === "running" && run.rounds > run.round ? seconds((run.rounds - run.round) / speed) : null;
  const tile = (name, ...content) => h("div", { className: "card tile" }, h("dt", {}, name), h("dd", {}, ...content));
  const found = [tile("Round", h("span", { id: "round" }, whole(run.round)), h("small", {}, ` / ${whole(run.rounds)}`), progress(run.round, run.rounds))];
  for (const name of ["test_accuracy", "node_accuracy_mean", "test_loss", "distance", "consensus_distance", "update_variance"]) {
    if (series.has(name)) found.push(tile(metricName(name).replace(/^./, (first) => first.toUpperCase()), headline(name, last(name))));
  }
  if (series.has("cohort_size")) found.push(tile("Cohort", whole(last("cohort_size") ?? 0), h("small", {}, ` of ${whole(run.num_clients)}`)));
  if (speed) found.push(tile("Speed", number(speed, 3), h("small", {}, left ? ` rounds/s, ${left} left` : " rounds/s")));
  else found.push(tile("Heard of", ago(run.updated)));
  return found;
}

function noticesOf(told) {
  const rows = told.toReversed().map((one) => h("tr", {}, h("td", { className: "num" }, String(one.round)), h("td", {}, one.kind), h("td", { className: "num" }, one.client === null ? "" : String(one.client)), h("td", {}, one.text)));
  const heads = ["Round", "Kind", "Client", "What happened"].map((text) => h("th", { scope: "col" }, text));
  return [h("summary", {}, `Notices (${told.length}${told.length === 200 ? " latest" : ""})`), h("div", { className: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows)))];
}

function about(run) {
  const facts = { "scenario hash": run.scenario_hash, "schedule hash": run.summary.schedule_hash || run.schedule_hash, "parameters (sha256)": run.summary.params_sha256, store: run.summary.store, ...run.versions };
  const rows = Object.entries(facts).filter(([, value]) => value).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { className: "mono" }, String(value))));
  return [
    h("details", { className: "card" }, h("summary", {}, "Resolved scenario"), h("pre", { tabindex: "0" }, run.scenario || "The run did not say.")),
    h("details", { className: "card" }, h("summary", {}, "Versions and hashes"), h("div", { className: "wide" }, h("table", {}, h("tbody", {}, rows)))),
  ];
}
