// Parallel coordinates: a line a run, coloured by its objective; dragging along an axis filters everything.
// Cividis (Nuñez, Anderton and Renslow, 2018): even in lightness, the same with red-green blindness.
const CIVIDIS = [[0, 34, 78], [49, 68, 107], [102, 105, 112], [148, 143, 120], [201, 184, 102], [225, 204, 85]];
function shade(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (CIVIDIS.length - 1), i = Math.floor(at), rest = at - i;
  return `rgb(${CIVIDIS[i].map((value, k) => Math.round(value + (CIVIDIS[i + 1][k] - value) * rest)).join(",")})`;
}
function axesOf(list) {
  const last = { name: goal[0], domain: domain(list.map((run) => run.value), goalLog), log: goalLog, of: (run) => run.value };
  return [...searched.map((key) => ({ name: key.name, ...axisOf(key, list) })), last];
}
const everyAxis = axesOf(runs.filter((run) => run.value !== null));
function brushed(run) {
  return everyAxis.every((axis) => {
    const range = state.brushes[axis.name];
    if (!range) return true;
    const value = axis.of(run);
    return value !== null && value >= range[0] && value <= range[1];
  });
}

function drawParallel() {
  const all = runs.filter((run) => run.value !== null), list = withValue(), holder = byId("parallelplot");
  if (!searched.length || !all.length) { holder.replaceChildren(el("p", { class: "empty", text: "Nothing differs between these runs but their repeats." })); return; }
  const width = Math.max(everyAxis.length * 108, holder.clientWidth || 600), height = 330, top = 44, bottom = height - 18;
  const box = el("div", { class: "plot" }), image = svg("svg", { width, height, role: "img", "aria-label": `Parallel coordinates of ${list.length} runs` });
  const canvas = el("canvas", { "aria-hidden": "true" }), ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio;
  canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  box.append(canvas, image);
  const scroller = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" }, box);
  scroller.style.border = "0";
  holder.replaceChildren(scroller);
  const places = everyAxis.map((_, i) => 60 + (i * (width - 130)) / Math.max(1, everyAxis.length - 1));
  const down = everyAxis.map((axis) => scale(axis.domain, [bottom, top], axis.log));
  const rise = scale(everyAxis[everyAxis.length - 1].domain, [0, 1], goalLog);
  const quality = (run) => (higher ? rise(run.value) : 1 - rise(run.value));
  const paint = (run, style, wide, dash) => {
    context.strokeStyle = style; context.lineWidth = wide; context.setLineDash(dash);
    context.beginPath();
    let begun = false;
    everyAxis.forEach((axis, i) => {
      const value = axis.of(run);
      if (value === null || (axis.log && value <= 0)) { begun = false; return; }
      if (begun) context.lineTo(places[i], down[i](value)); else context.moveTo(places[i], down[i](value));
      begun = true;
    });
    context.stroke();
    context.setLineDash([]);
  };
  const inside = new Set(list.map((run) => run.index));
  for (const run of all) if (!inside.has(run.index)) paint(run, "rgba(140,149,159,0.18)", 0.8, []);
  for (const run of [...list].sort((a, b) => quality(a) - quality(b))) paint(run, shade(1 - quality(run)), list.length > 200 ? 0.9 : 1.6, []);
  for (const run of list) if (colourOf(run) !== null) paint(run, colourOf(run), 3, dashOf(run));
  everyAxis.forEach((axis, i) => axisLine(image, axis, places[i], down[i], top, bottom));
  holder.append(el("p", { class: "muted small", text: `Darker is better. ${list.length} runs; grey ones are filtered out.` }));
}
function axisLine(image, axis, x, y, top, bottom) {
  const name = axis.name.length > 16 ? `…${axis.name.slice(-15)}` : axis.name;
  image.append(svg("line", { class: "frame", x1: x, x2: x, y1: top, y2: bottom }));
  image.append(svg("text", { class: "title", x, y: 16, "text-anchor": "middle" }, name));
  if (axis.log) image.append(svg("text", { x, y: 31, "text-anchor": "middle" }, "log"));
  for (const [value, text] of axis.ticks || ticks(axis.domain, 5, axis.log).map((value) => [value, tickText(value)]))
    image.append(svg("text", { x: x + 5, y: y(value) + 4, stroke: "#fff", "stroke-width": 3, "paint-order": "stroke" }, text));
  const range = state.brushes[axis.name];
  const brush = svg("rect", { x: x - 8, width: 16, fill: "#0072b2", "fill-opacity": 0.25, stroke: "#0072b2", visibility: range ? "visible" : "hidden" });
  const span = (a, b) => { brush.setAttribute("y", Math.min(a, b)); brush.setAttribute("height", Math.abs(a - b)); };
  if (range) span(y(range[0]), y(range[1]));
  const grip = svg("rect", { x: x - 14, width: 28, y: top - 6, height: bottom - top + 12, fill: "transparent" });
  grip.style.cursor = "ns-resize";
  grip.style.touchAction = "none";
  const value = unscale(axis.domain, [bottom, top], axis.log);
  grip.addEventListener("pointerdown", (event) => {
    const at = (one) => Math.min(bottom, Math.max(top, one.clientY - image.getBoundingClientRect().top));
    const from = at(event);
    grip.setPointerCapture(event.pointerId);
    const move = (one) => { brush.setAttribute("visibility", "visible"); span(from, at(one)); };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("pointerup", (one) => {
      grip.removeEventListener("pointermove", move);
      const ends = [value(from), value(at(one))].sort((a, b) => a - b);
      if (Math.abs(at(one) - from) < 4) delete state.brushes[axis.name]; else state.brushes[axis.name] = ends;
      changed();
    }, { once: true });
  });
  image.append(brush, grip);
}
