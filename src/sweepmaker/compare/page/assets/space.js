// Search progress, the objective against each hyperparameter, and what mattered.
// A loss of which some runs have a hundred times as much as others is seen on a logarithmic axis only.
const goalLog = (() => {
  const values = runs.map((run) => run.value).filter((value) => value !== null);
  return !higher && values.length > 1 && Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 100;
})();
const goalTitle = `${goal[0]} (${goal[1]}${goalLog ? ", log" : ""})`;
const NONE_SHOWN = "No run passes the filter.";
const withValue = () => shown().filter((run) => run.value !== null);

function drawProgress() {
  const list = withValue().sort((a, b) => (a.start ?? Infinity) - (b.start ?? Infinity) || a.index - b.index);
  if (!list.length) { put("progressplot", el("p", { class: "empty", text: shown().length ? "No run has a value yet." : NONE_SHOWN })); return; }
  const values = list.map((run) => run.value);
  const plot = frame(byId("progressplot"), { height: 290, label: `${goal[0]} of ${list.length} runs in the order in which they began`,
    x: { domain: [0.3, list.length + 0.7], label: "runs, in the order in which they began", ticks: ticks([1, Math.max(2, list.length)], 8, false).filter(Number.isInteger).map((i) => [i, String(i)]) },
    y: { domain: domain(values, goalLog), log: goalLog }, title: goalTitle });
  let best = null, path = "";
  list.forEach((run, i) => {
    if (!["failed", "broken"].includes(run.state) && (best === null || (higher ? run.value > best : run.value < best))) best = run.value;
    if (best === null) return;
    const px = plot.x(i + 1), py = plot.y(best);
    path += path ? `H${px}V${py}` : `M${px},${py}`;
  });
  plot.g.append(svg("path", { d: path, fill: "none", stroke: "#b35900", "stroke-width": 2 }));
  list.forEach((run, i) => mark(plot, run, plot.x(i + 1), plot.y(run.value)));
  const pruned = list.filter((run) => run.pruned).length;
  byId("progressplot").append(el("p", { class: "muted small", text: `The line is the best so far. Hollow: stopped early (${pruned} of these ${list.length}), running, interrupted or failed.` }));
}

function choices(key, list) {
  return [...new Set(list.map((run) => run.values[key.name]).filter((text) => text !== null))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
}
// The place of a run's value on the axis of a hyperparameter: a number, or the place among its choices.
function axisOf(key, list) {
  const taken = key.numeric ? list.map((run) => numberOf(run, key)).filter((value) => value !== null) : [];
  const few = key.numeric && !key.log && new Set(taken).size <= 6;
  if (key.numeric && !few) return { domain: domain(taken, key.log), log: key.log, of: (run) => numberOf(run, key) };
  const names = choices(key, list);
  return { domain: [-0.6, Math.max(0.6, names.length - 0.4)], log: false, names, ticks: names.map((text, i) => [i, text.length > 14 ? `${text.slice(0, 13)}…` : text]),
    of: (run) => { const place = names.indexOf(run.values[key.name]); return place < 0 ? null : place; } };
}
// what varies among the runs with a value: one failed run alone makes no axis
const searched = data.keys.filter((key) => !data.repeats.includes(key.name) && new Set(runs.filter((run) => run.value !== null).map((run) => run.values[key.name])).size > 1);

function drawScatter() {
  const list = withValue();
  if (!shown().length) { put("scatter", el("p", { class: "empty", text: NONE_SHOWN })); return; }
  if (!searched.length || !list.length) { put("scatter", el("p", { class: "empty", text: "Nothing differs between these runs but their repeats." })); return; }
  const y = { domain: domain(list.map((run) => run.value), goalLog), log: goalLog };
  const holders = searched.map(() => el("div"));
  put("scatter", ...holders);
  searched.forEach((key, place) => {
    const axis = axisOf(key, list);
    const plot = frame(holders[place], { height: 230, title: goalTitle, label: `${goal[0]} against ${key.name}`, x: { domain: axis.domain, log: axis.log, ticks: axis.ticks, label: key.name }, y });
    const drawn = list.filter((run) => axis.of(run) !== null && (!axis.log || axis.of(run) > 0));
    for (const run of drawn.sort((a, b) => (colourOf(a) !== null) - (colourOf(b) !== null) || (a.index === data.best) - (b.index === data.best)))
      mark(plot, run, plot.x(axis.of(run)) + (axis.names ? ((run.index * 7919) % 17 - 8) * 1.1 : 0), plot.y(run.value), { r: list.length > 300 ? 2.4 : 3.6 });
  });
}

function drawImportance() {
  const found = data.importance;
  if (!found.shares) { put("importancebars", el("p", { class: "empty", text: found.note })); return; }
  const bars = Object.entries(found.shares).map(([name, share]) => {
    const bar = el("i");
    bar.style.width = `${Math.max(0, share * 100)}%`;
    return el("div", { class: "hbar" }, el("span", { text: name }), el("span", {}, bar), el("span", { class: "right", text: `${(share * 100).toFixed(1)} %` }));
  });
  put("importancebars", ...bars, el("p", { class: "muted small", text: `${found.method} (Optuna) over ${found.runs} of ${runs.length} runs${found.left_out ? ` (${found.left_out})` : ""}: the share of the differences in ${goal[0]} that goes with each hyperparameter. It says nothing about causes, and little with few runs.` }));
}
