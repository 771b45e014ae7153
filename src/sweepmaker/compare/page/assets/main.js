// Build once, draw on every change and when the width changes.
recall();
makeTable();
makeCurves();
makePair();
drawBest();
drawGroups();
drawImportance();
drawEnvironment();
drawWrong();
for (const section of document.querySelectorAll("main > section[id]")) {
  const heading = section.querySelector("h2");
  if (heading && section.id !== "best" && !section.hidden) byId("nav").append(el("a", { href: `#${section.id}`, text: heading.textContent, onclick: (event) => { event.preventDefault(); section.scrollIntoView(); section.tabIndex = -1; section.focus({ preventScroll: true }); } }));
}
const plots = [drawCurves, drawProgress, drawScatter, drawParallel];
onChange(drawTable);
for (const draw of plots) onChange(draw);
onChange(followPair);
onChange(drawFindings);
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
if (data.again_s) setTimeout(() => location.reload(), data.again_s * 1000);
document.body.dataset.ready = "true";
