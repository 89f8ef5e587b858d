// Elements without a framework. Text only ever becomes text nodes: nothing a run is called can become markup.

export function h(tag, attributes = {}, ...children) {
  const node = fill(document.createElement(tag), attributes);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
  node.append(...children);
  return node;
}

function fill(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string" && !(node instanceof SVGElement)) node[name] = value;
    else node.setAttribute(name === "className" ? "class" : name, value === true ? "" : value);
  }
  return node;
}

export function announce(text) {
  document.getElementById("announce").textContent = text;
}

export function linkState(text, lost = false) {
  const node = document.getElementById("link-state");
  node.textContent = text;
  node.classList.toggle("lost", lost);
}

// A JSON answer, or an Error whose message can be shown.
export async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { headers: { accept: "application/json" } });
  } catch {
    throw new Error("The service does not answer. Is `fedsim serve` still running?");
  }
  if (answer.status === 401) throw new Error("The service asks for its token. Load this page again to give it.");
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const detail = Array.isArray(content.detail) ? content.detail.map((one) => `${one.at}: ${one.problem}`).join("; ") : content.detail;
    throw Object.assign(new Error(detail || `The service answered ${answer.status}.`), { status: answer.status });
  }
  return { content, total: Number(answer.headers.get("x-total-count") ?? NaN) };
}

export function query(values) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined) found.append(name, one);
    }
  }
  return found.toString();
}

export function failure(error, again) {
  const retry = again && h("button", { type: "button", onclick: again }, "Try again");
  return h("div", { className: "notice error", role: "alert" }, h("p", {}, error.message), retry);
}

export function save(name, text, type = "text/csv") {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
