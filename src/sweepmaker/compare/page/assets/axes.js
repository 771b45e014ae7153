// Scales, ticks and the frame of a plot: canvas below for many lines, SVG above for text and marks.
const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function domain(values, log) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value) || (log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  // what differs by a rounding error only is one value to an axis: no tick fits in between
  const equal = high / 2 - low / 2 < 1e-12 * Math.max(Math.abs(low), Math.abs(high));
  const within = (value) => Math.min(Number.MAX_VALUE / 4, Math.max(-Number.MAX_VALUE / 4, value));
  if (log) {
    const [a, b] = [Math.log10(low), Math.log10(high)], room = equal ? 0.3 : (b - a) * 0.04;
    return [10 ** Math.max(-307, a - room), 10 ** Math.min(307, b + room)];
  }
  const room = equal ? Math.abs(low) * 0.1 || 1 : high * 0.04 - low * 0.04;
  return [within(low - room), within(high + room)];
}
function scale([low, high], [from, to], log) {
  const f = log ? Math.log10 : (value) => value;
  const a = f(low), span = f(high) - a || 1;
  return (value) => from + ((f(value) - a) / span) * (to - from);
}
function unscale([low, high], [from, to], log) {
  const f = log ? Math.log10 : (value) => value, g = log ? (value) => 10 ** value : (value) => value;
  return (place) => g(f(low) + ((place - from) / (to - from)) * (f(high) - f(low)));
}
const MOST_TICKS = 100; // whatever the figures are, a plot is drawn in the end
function ticks([low, high], count, log) {
  if (!(high > low) || !Number.isFinite(high - low)) return [low];
  if (log) {
    const from = Math.ceil(Math.log10(low) - 1e-9), to = Math.floor(Math.log10(high) + 1e-9);
    const decades = [];
    const every = Math.max(1, Math.ceil((to - from + 1) / count));
    for (let e = from; e <= to; e += every) decades.push(Number(`1e${e}`));
    if (decades.length >= 2) return decades;
    const fine = [];
    for (let e = from - 1; e <= to + 1; e += 1) for (const m of [1, 2, 5]) {
      const value = Number(`${m}e${e}`);
      if (value >= low && value <= high) fine.push(value);
    }
    return fine.length >= 2 ? fine : ticks([low, high], count, false);
  }
  const rough = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((one) => one >= rough) || rough;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9 && found.length < MOST_TICKS; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}
function tickText(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential().replace("e+", "e").replace(/(\.\d\d)\d+e/, "$1e");
  return String(value);
}

// {svg, g, canvas, x, y, left, right, top, bottom}: x and y turn values into places.
function frame(holder, options) {
  const width = Math.max(220, holder.clientWidth || 600), height = options.height;
  const left = options.left ?? 58, right = width - (options.room ?? 14), top = options.title ? 26 : 12, bottom = height - 40;
  const box = el("div", { class: "plot" });
  const image = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label });
  const canvas = el("canvas", { "aria-hidden": "true" });
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio;
  canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  box.append(canvas, image);
  holder.replaceChildren(box);
  const x = scale(options.x.domain, [left, right], options.x.log), y = scale(options.y.domain, [bottom, top], options.y.log);
  for (const value of ticks(options.y.domain, Math.max(3, height / 60), options.y.log)) {
    image.append(svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    image.append(svg("text", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, tickText(value)));
  }
  const named = options.x.ticks || ticks(options.x.domain, Math.max(2, width / 95), options.x.log).map((value) => [value, tickText(value)]);
  for (const [value, text] of named) {
    image.append(svg("line", { class: "frame", x1: x(value), x2: x(value), y1: bottom, y2: bottom + 5 }));
    image.append(svg("text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, text));
  }
  image.append(svg("line", { class: "frame", x1: left, x2: right, y1: bottom, y2: bottom }));
  if (options.title) image.append(svg("text", { class: "title", x: left, y: 14 }, options.title));
  image.append(svg("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, options.x.label + (options.x.log ? " (log)" : "")));
  const g = svg("g");
  image.append(g);
  return { box, svg: image, g, context, x, y, left, right, top, bottom, width, height };
}

function mark(plot, run, x, y, options) {
  const chosen = colourOf(run), best = run.index === data.best;
  const colour = chosen || (best ? "#b35900" : "#57606a");
  const hollow = run.pruned || !["completed", "unknown"].includes(run.state);
  const dot = svg("circle", { cx: x, cy: y, r: best ? 6 : chosen ? 5 : options?.r ?? 3.6, fill: hollow ? "#fff" : colour,
    stroke: colour, "stroke-width": hollow ? 1.6 : best ? 2 : 0.6, "fill-opacity": hollow || chosen || best ? 1 : 0.72 });
  dot.addEventListener("mousemove", (event) => tip(event, about(run)));
  dot.addEventListener("mouseleave", () => tip(null, null));
  dot.addEventListener("click", () => choose(run.index, !state.chosen.includes(run.index)));
  dot.style.cursor = "pointer";
  plot.g.append(dot);
}
