// The table: sorting, filtering, selecting.
const further = data.further;
const columns = [
  { name: "run", text: true, of: (run) => label(run), full: (run) => run.name },
  ...data.keys.map((key) => ({ name: key.name, text: !key.numeric, of: (run) => (key.numeric ? numberOf(run, key) : run.values[key.name]), show: (run) => written(run, key) ?? "", full: (run) => run.values[key.name] })),
  { name: goal[0], of: (run) => run.value, best: true },
  { name: "epoch", of: (run) => run.epoch },
  { name: "last", of: (run) => run.metrics[goal[0]]?.[1] ?? null },
  ...further.map(([name, what]) => ({ name: what === "best" ? name : `${name} last`, of: (run) => run.metrics[name]?.[what === "best" ? 0 : 1] ?? null })),
  { name: "state", text: true, of: (run) => run.state },
  { name: "duration", of: (run) => run.seconds, show: (run) => duration(run.seconds) },
  { name: "images/s", of: (run) => run.speed, show: (run) => (run.speed === null ? "" : Math.round(run.speed)) },
  { name: "findings", of: (run) => run.findings },
  { name: "weights", text: true, of: (run) => run.weights },
  { name: "commit", text: true, of: (run) => run.commit, show: (run) => (run.commit ? run.commit.slice(0, 7) + (run.dirty ? "+" : "") : "") },
];
const rows = new Map();
const haystack = runs.map((run) => [run.name, run.state, run.problem, run.weights, run.commit, ...run.line].join(" ").toLowerCase());

const unknown = new Set(); // names in the filter that are no column
// A column, a metric at its best, or a key of the config that is the same in all rows.
function columnOf(name) {
  const is = (other) => other.toLowerCase() === name, metric = data.metrics.find(is);
  const key = Object.keys(data.config.base).find(is) ?? data.config.own.flatMap(Object.keys).find(is);
  return columns.find((one) => is(one.name)) || (metric && { of: (run) => run.metrics[metric]?.[0] ?? null })
    || (key && { of: (run) => (key in data.config.own[run.index] ? data.config.own[run.index][key] : data.config.base[key] ?? null) });
}
function condition(word) {
  const found = /^([^<>=!]+)(<=|>=|!=|<|>|=)(.*)$/.exec(word);
  const column = found && columnOf(found[1].toLowerCase());
  if (found && !column) unknown.add(found[1]);
  if (!column) return (run) => haystack[run.index].includes(word.toLowerCase());
  const [, , sign, right] = found, bound = toNumber(right.replace(/(?<=\d)_(?=\d)/g, ""));
  return (run) => {
    const value = column.of(run), number = typeof value === "number" ? value : toNumber(value);
    const same = bound !== null && number !== null ? number === bound : String(value ?? "").toLowerCase() === right.toLowerCase();
    if (sign === "=") return same || (column.name === "commit" && right.length >= 4 && String(value ?? "").startsWith(right.toLowerCase()));
    if (sign === "!=") return !same;
    if (number === null || bound === null) return false;
    return sign === "<" ? number < bound : sign === ">" ? number > bound : sign === "<=" ? number <= bound : number >= bound;
  };
}
let shownNow = null;
function shown() {
  if (shownNow === null) {
    unknown.clear();
    const tests = state.filter.replace(/\s*(<=|>=|!=|<|>|=)\s*/g, "$1").split(/\s+/).filter(Boolean).map(condition);
    shownNow = runs.filter((run) => tests.every((test) => test(run)) && brushed(run));
  }
  return shownNow;
}

function compare(column, down) {
  return (one, other) => {
    const [a, b] = [column.of(one), column.of(other)];
    if (a === null || a === undefined || b === null || b === undefined) return (a === null || a === undefined) - (b === null || b === undefined) || one.index - other.index;
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return (down ? -order : order) || one.index - other.index;
  };
}
function sorted(list) {
  const column = columns.find((one) => one.name === state.sort);
  return column ? [...list].sort(compare(column, state.down)) : list;
}

function makeTable() {
  const head = el("tr", {}, el("th", { class: "pick", scope: "col" }, el("span", { text: "✓", title: "selected" })));
  for (const column of columns) {
    const button = el("button", { type: "button", onclick: () => {
      state.down = state.sort === column.name ? !state.down : column.best ? higher : false;
      state.sort = column.name;
      changed();
    } });
    head.append(el("th", { scope: "col", class: column.text ? null : "num", "data-column": column.name }, button));
  }
  put("table", el("caption", { class: "skip", text: "Runs, best first until sorted otherwise" }), el("thead", {}, head), el("tbody"));
  for (const run of runs) rows.set(run.index, makeRow(run));
  byId("filter").addEventListener("input", (event) => { state.filter = event.target.value; changed(); });
  byId("clear").addEventListener("click", () => { state.chosen = []; changed(); });
}
function makeRow(run) {
  const box = el("input", { type: "checkbox", "aria-label": `select ${label(run)}`, onchange: (event) => choose(run.index, event.target.checked) });
  const row = el("tr", { class: run.index === data.best ? "best" : null }, el("td", {}, box));
  for (const column of columns) {
    const value = column.of(run), text = column.show ? column.show(run) : short(value);
    const cell = el("td", { class: column.text ? (column.name === "run" ? "run" : null) : "num", title: column.full ? column.full(run) : value });
    if (column.name === "state") cell.append(el("span", { class: "state", "data-mark": MARKS[run.state] || "○", text, title: run.problem }));
    else if (column.name === "run") cell.append(el("span", { class: "name", text: text + (run.index === data.best ? "  ★ best" : "") }));
    else cell.textContent = text;
    row.append(cell);
  }
  row.box = box;
  return row;
}
function drawTable() {
  const list = sorted(shown());
  byId("table").tBodies[0].replaceChildren(...list.map((run) => rows.get(run.index)));
  for (const run of runs) {
    const row = rows.get(run.index), colour = colourOf(run);
    row.box.checked = colour !== null;
    row.classList.toggle("chosen", colour !== null);
    row.style.setProperty("--c", colour || "");
  }
  for (const head of byId("table").querySelectorAll("th[data-column]")) {
    const on = state.sort === head.dataset.column;
    head.setAttribute("aria-sort", on ? (state.down ? "descending" : "ascending") : "none");
    head.firstChild.textContent = head.dataset.column + (on ? (state.down ? " ▼" : " ▲") : "");
  }
  if (byId("filter").value !== state.filter) byId("filter").value = state.filter;
  byId("clear").disabled = state.chosen.length === 0;
  byId("count").textContent = `${list.length} of ${runs.length} runs shown, ${state.chosen.length} selected${unknown.size ? `; no column ${[...unknown].join(", ")}` : ""}`;
}
function drawGroups() {
  if (!data.groups.length) return;
  const keys = data.keys.filter((key) => !data.repeats.includes(key.name)).map((key) => key.name);
  const head = [...keys, `${goal[0]}: mean ± std`, "n"];
  put("groups", el("h3", { text: `Over repeats (${data.repeats.join(", ")})` }), plain(head, data.groups.map((group) => [
    ...keys.map((key) => group.values[key]), `${short(group.mean)} ± ${group.std === null ? "?" : group.std.toPrecision(2)}`, group.n])));
}
function plain(head, body) {
  return el("div", { class: "scroll plain", tabindex: "0", role: "region", "aria-label": head.join(", ") }, el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...body.map((cells) => el("tr", {}, ...cells.map((cell) => (cell instanceof Node ? el("td", { class: "wrap" }, cell) : el("td", { class: String(cell ?? "").length > 40 ? "wrap" : null, text: cell ?? "" }))))))));
}
