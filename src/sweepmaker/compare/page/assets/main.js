// Build once, draw on every change and when the width changes.
recall();
const made = { runs: makeTable, curves: makeCurves, differences: makePair, best: drawBest, groups: drawGroups, importance: drawImportance, environment: drawEnvironment, mistakes: drawWrong };
for (const [id, make] of Object.entries(made)) guarded(id, make)();
for (const section of document.querySelectorAll("main > section[id]")) {
  const heading = section.querySelector("h2");
  if (heading && section.id !== "best" && !section.hidden) byId("nav").append(el("a", { href: `#${section.id}`, text: heading.textContent, onclick: (event) => { event.preventDefault(); section.scrollIntoView(); section.tabIndex = -1; section.focus({ preventScroll: true }); } }));
}
const plots = [guarded("curves", drawCurves), guarded("progress", drawProgress), guarded("space", drawScatter), guarded("parallel", drawParallel)];
onChange(guarded("runs", drawTable));
for (const draw of plots) onChange(draw);
onChange(guarded("differences", followPair));
onChange(guarded("findings", drawFindings));
shownNow = null;
listeners.forEach((listener) => listener());

let width = document.documentElement.clientWidth, waiting = 0;
addEventListener("resize", () => {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => plots.forEach((draw) => draw()), 120);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip(null, null);
  if (event.key === "/" && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) { event.preventDefault(); byId("filter").focus(); }
});
if (data.again_s) {
  const pause = el("button", { type: "button", id: "pause", onclick: () => { state.paused = !state.paused; changed(); } });
  onChange(() => { pause.textContent = state.paused ? "Go on refreshing" : "Pause refresh"; pause.setAttribute("aria-pressed", state.paused); });
  byId("made").append(" · ", pause);
  pause.textContent = state.paused ? "Go on refreshing" : "Pause refresh";
  // never while somebody types or is not looking
  const busy = () => state.paused || document.hidden || ["INPUT", "SELECT"].includes(document.activeElement.tagName);
  setInterval(() => { if (!busy()) location.reload(); }, data.again_s * 1000);
}
byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("runs").scrollIntoView(); byId("runs").focus({ preventScroll: true }); }); // the address holds the state
document.body.dataset.ready = "true";
