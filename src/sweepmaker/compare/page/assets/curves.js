// Learning curves of the shown runs: grey all, coloured those selected. Nothing is smoothed until asked for.
function makeCurves() {
  const names = data.curve_metrics;
  if (!names.length) {
    byId("curves").replaceChildren(el("h2", { text: "Learning curves" }), el("p", { class: "empty", text: "No run has logged a metric more than once." }));
    return;
  }
  if (!names.includes(state.metric)) state.metric = names[0];
  const metric = el("select", { id: "metric", onchange: (event) => { state.metric = event.target.value; changed(); } }, ...names.map((name) => el("option", { value: name, text: name })));
  const x = el("select", { id: "xaxis", onchange: (event) => { state.x = event.target.value; changed(); } }, el("option", { value: "epoch", text: "epochs" }), el("option", { value: "seconds", text: "wall time" }));
  const log = el("input", { type: "checkbox", id: "logy", onchange: (event) => { state.log = event.target.checked; changed(); } });
  const smooth = el("input", { type: "range", id: "smooth", min: 0, max: 0.95, step: 0.05, oninput: (event) => { state.smooth = Number(event.target.value); changed(); } });
  metric.value = state.metric; x.value = state.x; log.checked = state.log; smooth.value = state.smooth;
  put("curvebar", el("label", {}, "Metric", metric), el("label", {}, "over", x), el("label", {}, log, "log axis"), el("label", {}, "Smoothing", smooth, el("span", { id: "smoothness" })));
}
// Exponential moving average, without the bias to its first value.
function smoothed(values, weight) {
  if (!weight) return values;
  let sum = 0, norm = 0;
  return values.map((value) => { sum = sum * weight + value; norm = norm * weight + 1; return sum / norm; });
}
function curveOf(run) {
  const found = run.curves[state.metric];
  if (!found) return null;
  const xs = series(found[state.x === "epoch" ? 0 : 1]);
  const ys = smoothed(series(found[2]), state.smooth), known = (_, i) => !Number.isNaN(xs[i]);
  return xs.some((x) => !Number.isNaN(x)) ? { run, xs: xs.filter(known), ys: ys.filter(known), thinned: found[3] } : null;
}
function line(context, plot, curve, log) {
  if (curve.xs.length === 1) { // ended in its first epoch: a point
    context.fillStyle = context.strokeStyle;
    context.fillRect(plot.x(curve.xs[0]) - 1.5, plot.y(curve.ys[0]) - 1.5, 3, 3);
    return;
  }
  context.beginPath();
  let begun = false;
  for (let i = 0; i < curve.xs.length; i += 1) {
    if (log && curve.ys[i] <= 0) continue;
    const px = plot.x(curve.xs[i]), py = plot.y(curve.ys[i]);
    if (begun) context.lineTo(px, py); else context.moveTo(px, py);
    begun = true;
  }
  context.stroke();
}
function drawCurves() {
  if (!data.curve_metrics.length) return;
  byId("smoothness").textContent = state.smooth ? state.smooth.toFixed(2) : "none";
  const list = shown().map(curveOf).filter(Boolean);
  const log = state.log, xs = [], ys = [];
  for (const curve of list) { xs.push(curve.xs[0], curve.xs[curve.xs.length - 1]); for (const value of curve.ys) ys.push(value); }
  const xdomain = list.length ? [Math.min(...xs.slice(0, 20000), 0), Math.max(...xs.slice(0, 20000), 1)] : [0, 1];
  const plot = frame(byId("curveplot"), { height: Math.min(420, Math.max(280, innerHeight * 0.5)), title: state.metric, label: `${state.metric} over ${state.x} for ${list.length} runs`,
    x: { domain: xdomain, label: state.x === "epoch" ? "epoch" : "seconds of running time" }, y: { domain: domain(ys, log), log } });
  const context = plot.context, many = list.length;
  context.lineJoin = "round";
  context.lineWidth = many > 200 ? 0.7 : 1.1;
  context.strokeStyle = many > 200 ? "rgba(87,96,106,0.22)" : "rgba(87,96,106,0.5)";
  for (const curve of list) if (colourOf(curve.run) === null) line(context, plot, curve, log);
  const special = list.filter((curve) => colourOf(curve.run) !== null || (curve.run.index === data.best && !state.chosen.length));
  for (const curve of special) {
    context.strokeStyle = colourOf(curve.run) || "#b35900";
    context.lineWidth = 2.4;
    context.setLineDash(dashOf(curve.run));
    line(context, plot, curve, log);
    context.setLineDash([]);
  }
  const legend = el("ul", { class: "legend" }, ...special.map((curve) => {
    const colour = colourOf(curve.run) || "#b35900", key = svg("svg", { width: 30, height: 8 });
    key.append(svg("line", { x1: 1, x2: 29, y1: 4, y2: 4, stroke: colour, "stroke-width": 2.6, "stroke-dasharray": dashOf(curve.run).join(" ") }));
    return el("li", {}, key, `${label(curve.run)}${curve.run.index === data.best ? " (best)" : ""}`);
  }));
  byId("curveplot").append(legend);
  hover(plot, list, log);
  const thinned = list.some((curve) => curve.thinned);
  byId("curvenote").textContent = [
    `${list.length} of ${shown().length} runs have this metric${state.x === "seconds" ? " with its times" : ""}.`,
    thinned ? "Curves of more than 400 points show the lowest and the highest of each stretch: no peak is lost." : "Every logged value is drawn.",
    data.left_out.length ? `Left out, to keep the page small: ${data.left_out.join(", ")}.` : "",
  ].filter(Boolean).join(" ");
}
function hover(plot, list, log) {
  const spot = svg("circle", { r: 4.5, fill: "none", stroke: "#1b1f24", "stroke-width": 2, visibility: "hidden" });
  plot.g.append(spot);
  const nearest = (event) => {
    const box = plot.svg.getBoundingClientRect(), mx = event.clientX - box.left, my = event.clientY - box.top;
    let best = null, far = 900;
    for (const curve of list) for (let i = 0; i < curve.xs.length; i += 1) {
      const dx = plot.x(curve.xs[i]) - mx;
      if (dx * dx > far || (log && curve.ys[i] <= 0)) continue;
      const dy = plot.y(curve.ys[i]) - my, distance = dx * dx + dy * dy;
      if (distance < far) { far = distance; best = { curve, i }; }
    }
    return best;
  };
  plot.svg.addEventListener("mousemove", (event) => {
    const found = nearest(event);
    spot.setAttribute("visibility", found ? "visible" : "hidden");
    if (!found) { tip(null, null); return; }
    const { curve, i } = found;
    spot.setAttribute("cx", plot.x(curve.xs[i])); spot.setAttribute("cy", plot.y(curve.ys[i]));
    tip(event, `${state.metric} = ${curve.ys[i]}${state.smooth ? " (smoothed)" : ""}\n${state.x === "epoch" ? "epoch" : "seconds"} ${short(curve.xs[i])}\n${about(curve.run)}`);
  });
  plot.svg.addEventListener("mouseleave", () => { spot.setAttribute("visibility", "hidden"); tip(null, null); });
  plot.svg.addEventListener("click", (event) => {
    const found = nearest(event);
    if (found) choose(found.curve.run.index, !state.chosen.includes(found.curve.run.index));
  });
}
