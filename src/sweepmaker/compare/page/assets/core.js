// The data, the state of the page, and small helpers. Text goes into the page as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const runs = data.runs;
runs.forEach((run, index) => { run.index = index; });
const goal = data.goal || ["objective", "max"];
const higher = goal[1] === "max";

// Blue, vermillion and green of Okabe and Ito; their other colours are too light for a line on white,
// so darker ones stand for them. Dashes tell apart what colours do not: 32 runs before a pair comes again.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#a3457d", "#8a6100", "#1b1f24", "#3b7ea1", "#7a3b00"];
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const MARKS = { completed: "●", stopped: "◐", running: "▶", interrupted: "‖", failed: "✕", broken: "✕", unknown: "○" };

const state = { sort: null, down: false, filter: "", chosen: [], metric: "", x: "epoch", log: false, smooth: 0, brushes: {}, pair: [], paused: false };
const listeners = [];
const onChange = (listener) => listeners.push(listener);
function changed() {
  keep();
  shownNow = null;
  listeners.forEach((listener) => listener());
}

// What is sorted, filtered and selected stays in the address: a reload and a bookmark bring it back.
function keep() {
  const kept = { ...state, chosen: state.chosen.map((index) => runs[index].name), pair: state.pair.map((index) => runs[index].name) };
  const text = "#" + encodeURIComponent(JSON.stringify(kept));
  if (text.length < 8000) history.replaceState(null, "", text);
}
function recall() {
  try {
    const kept = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    for (const name of Object.keys(state)) if (typeof kept[name] === typeof state[name] || name === "sort") state[name] = kept[name] ?? state[name];
    const places = (names) => names.map((name) => runs.findIndex((run) => run.name === name)).filter((index) => index >= 0);
    state.chosen = places(kept.chosen);
    state.pair = places(kept.pair);
  } catch { /* an address without a state, or of another page */ }
  for (const name of ["chosen", "pair"]) if (!Array.isArray(state[name]) || state[name].some((index) => !runs[index])) state[name] = [];
  const brushes = Object.entries(state.brushes || {}).filter(([, range]) => Array.isArray(range) && range.length === 2 && range.every(Number.isFinite));
  state.brushes = Object.assign(Object.create(null), Object.fromEntries(brushes)); // a key may be called constructor
}

function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
const byId = (id) => document.getElementById(id);
const put = (id, ...children) => byId(id).replaceChildren(...children);

// A part that fails says so in its section; the others are drawn all the same.
function guarded(id, draw) {
  return () => {
    try { draw(); } catch (error) {
      console.error(error);
      const section = byId(id);
      section.querySelector(".broke")?.remove();
      section.append(el("p", { class: "problem broke", text: `This part could not be drawn: ${error.message}` }));
    }
  };
}

function short(value) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value !== "number") return String(value);
  if (Number.isSafeInteger(value)) return String(value);
  const text = value.toPrecision(6);
  return text.includes("e") ? text.replace(/\.?0+e/, "e") : text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const all = Math.round(seconds), h = Math.floor(all / 3600), m = Math.floor(all / 60) % 60, s = all % 60;
  return h ? `${h} h ${String(m).padStart(2, "0")} min` : m ? `${m} min ${String(s).padStart(2, "0")} s` : `${s} s`;
}
// What an override was, as it was written; only long figures of a search are cut to six digits.
function written(run, key) {
  const text = run.values[key.name] ?? null;
  return text !== null && text.length > 9 && text.includes(".") && numberOf(run, key) !== null ? short(numberOf(run, key)) : text;
}
const numberOf = (run, key) => run.numbers[key.name] ?? null; // as the program reads it: 10_000 is one
function toNumber(text) {
  if (text === null || text === undefined || text === "") return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

// Run folders without what all of them share; the whole name is in the tooltip.
const shared = (() => {
  if (runs.length < 2) return 0;
  const parts = runs.map((run) => run.name.split("/").slice(0, -1));
  let depth = 0;
  while (parts.every((part) => depth < part.length && part[depth] === parts[0][depth])) depth += 1;
  return depth;
})();
const label = (run) => run.name.split("/").slice(shared).join("/");
const prefix = runs.length ? runs[0].name.split("/").slice(0, shared).join("/") : "";

const decoded = new Map();
function series(index) {
  if (!decoded.has(index)) decoded.set(index, decode(data.pool[index]));
  return decoded.get(index);
}
function decode(text) {
  if (text[0] === "r") {
    const [start, step, count] = text.slice(1).split(",").map(Number);
    return Float64Array.from({ length: count }, (_, i) => start + i * step);
  }
  const raw = atob(text.slice(1)), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return text[0] === "f" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

function colourOf(run) {
  const place = state.chosen.indexOf(run.index);
  return place < 0 ? null : COLOURS[place % COLOURS.length];
}
function dashOf(run) {
  const place = state.chosen.indexOf(run.index);
  return place < 0 ? [] : DASHES[(place + Math.floor(place / COLOURS.length)) % DASHES.length];
}
function choose(index, on) {
  state.chosen = state.chosen.filter((one) => one !== index);
  if (on) state.chosen.push(index);
  changed();
}

function tip(event, text) {
  const box = byId("tip");
  if (!text) { box.hidden = true; return; }
  box.textContent = text;
  box.hidden = false;
  const width = box.offsetWidth, height = box.offsetHeight;
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 6))}px`;
  box.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}
function about(run) {
  const values = data.keys.filter((key) => run.values[key.name] !== null).map((key) => `${key.name}=${written(run, key)}`);
  return [label(run), `${goal[0]} = ${run.value === null ? "none" : run.value}`, values.join("  "), run.state].join("\n");
}
