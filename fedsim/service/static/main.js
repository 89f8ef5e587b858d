// Which page is shown, the theme, and the keys.
import { forgetAll, redrawAll } from "./charts.js";
import { showCompare } from "./compare.js";
import { h } from "./dom.js";
import { chosen, showList } from "./list.js";
import { showRun } from "./run.js";

const main = document.getElementById("main");
const button = document.getElementById("theme");
const wish = window.matchMedia("(prefers-color-scheme: dark)");
let leave = () => {};

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  button.setAttribute("aria-pressed", String(dark));
  redrawAll();
}

function flip() {
  const dark = document.documentElement.dataset.theme !== "dark";
  localStorage.setItem("theme", dark ? "dark" : "light");
  setTheme(dark);
}

const themed = () => localStorage.getItem("theme") ?? (wish.matches ? "dark" : "light");

function route() {
  const [path, search = ""] = location.hash.replace(/^#/, "").split("?");
  const given = new URLSearchParams(search);
  leave();
  forgetAll();
  const run = /^\/runs\/([A-Za-z0-9_-]{1,64})$/.exec(path);
  const page = run ? "run" : path === "/compare" ? "compare" : path === "" || path === "/" ? "list" : "none";
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page === "compare" && !given.has("run") && chosen.get().length) {
    for (const id of chosen.get()) given.append("run", id);
  }
  if (run) leave = showRun(main, run[1]);
  else if (page === "compare") leave = showCompare(main, given);
  else if (page === "list") leave = showList(main);
  else {
    leave = () => {};
    main.replaceChildren(h("div", { className: "card empty" }, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "All runs"))));
  }
}

setTheme(themed() === "dark");
button.addEventListener("click", flip);
wish.addEventListener("change", () => setTheme(themed() === "dark"));
window.addEventListener("hashchange", () => { route(); window.scrollTo(0, 0); });
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "d") flip();
  if (event.key === "/" && document.getElementById("filter")) {
    event.preventDefault();
    document.getElementById("filter").focus();
  }
});
route();
