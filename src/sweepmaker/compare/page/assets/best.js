// The best run, and what it gets wrong.
function drawBest() {
  const counts = {};
  for (const run of runs) counts[run.state] = (counts[run.state] || 0) + 1;
  put("title", data.title);
  put("made", [prefix, Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(", "), `read ${data.made.replace("T", " ")}`].filter(Boolean).join(" · "));
  if (data.best === null) { put("best", el("p", { text: "No run has a value to compare." })); return; }
  const run = runs[data.best];
  const figure = (value, name, exact) => el("div", { title: exact }, el("b", { text: value }), el("span", { text: name }));
  const rest = runs.filter((one) => one !== run && one.value !== null && !["failed", "broken"].includes(one.state));
  const lead = rest.length ? Math.abs(run.value - rest[0].value) : null;
  const said = lead === null ? "" : lead === 0 ? `${rest.filter((one) => one.value === run.value).length} more runs have the same value; this one began first.` : `Ahead of the next by ${short(lead)}.`;
  const figures = el("div", { class: "figures" }, figure(short(run.value), `${goal[0]} (${goal[1]})`, run.value),
    ...(run.epoch === null ? [] : [figure(String(run.epoch), "epoch")]),
    ...further.filter(([name, what]) => what === "best" && run.metrics[name]).map(([name]) => figure(short(run.metrics[name][0]), name, run.metrics[name][0])),
    ...(run.seconds === null ? [] : [figure(duration(run.seconds), "duration")]));
  const command = run.line.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`)).join(" ");
  put("best", el("h2", { text: `Best: ${label(run)}` }), figures, el("p", { class: "muted", text: said }), el("pre", { text: `python train.py ${command}` }),
    el("p", {}, ...run.links.flatMap((link) => [el("a", { href: link.href, text: link.text }), "  "])));
}

function drawWrong() {
  const found = data.confusion;
  if (!found) { put("wrong", el("p", { class: "empty", text: "The best run has left no confusion matrix." })); return; }
  const parts = [el("div", {}, el("h3", { text: `Most confused classes (${found.split}: ${found.right} of ${found.all} right)` }),
    found.pairs.length ? plain(["label", "taken for", "images"], found.pairs.slice(0, 12).map((one) => [one.label, one.prediction, `${one.count} of ${one.of}`])) : el("p", { class: "empty", text: "Nothing was wrong." }))];
  if (found.names.length && found.names.length <= 60) parts.unshift(matrix(found));
  else if (found.classes) parts.push(el("p", { class: "muted small", text: `A matrix of ${found.classes} classes is too large for this page; the run's own picture has it.` }));
  put("wrong", el("div", { class: "two" }, ...parts), ...pictures(found.mistakes));
}
function matrix(found) {
  const body = found.counts.map((row, i) => {
    const sum = row.reduce((a, b) => a + b, 0) || 1;
    return el("tr", {}, el("th", { scope: "row", text: found.names[i] }), ...row.map((count, j) => {
      const share = Math.sqrt(count / sum), cell = el("td", { text: count || "", title: `${found.names[i]} taken for ${found.names[j]}: ${count} of ${sum}` });
      if (!count) return cell;
      const [r, g, b] = [5, 80, 174].map((value) => Math.round(255 - share * (255 - value)));
      cell.style.background = `rgb(${r},${g},${b})`;
      // relative luminance, WCAG 2.2: above 0.18 black is the ink with more contrast
      const light = [r, g, b].map((value) => (value / 255) ** 2.2);
      cell.style.color = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] > 0.18 ? "#000" : "#fff";
      return cell;
    }));
  });
  const head = el("tr", {}, el("td", { class: "muted", text: "label \\ predicted" }), ...found.names.map((text) => el("th", { scope: "col", text })));
  const scroller = el("div", { class: "scroll plain", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, el("table", { class: "matrix" }, el("tbody", {}, head, ...body)));
  scroller.style.border = "0";
  return el("div", {}, el("h3", { text: "Confusion matrix" }), scroller);
}
function pictures(mistakes) {
  if (!mistakes || !mistakes.rows.length) return [];
  const side = 96;
  const items = mistakes.rows.map((row) => {
    const image = el("span", { class: "image", role: "img", "aria-label": `${row.label} taken for ${row.prediction}` });
    if (mistakes.sheet && row.tile !== "") {
      const [x, y, columns] = [Number(row.tile) % 8, Math.floor(Number(row.tile) / 8), 8];
      image.style.backgroundImage = `url("${mistakes.sheet}")`;
      image.style.backgroundSize = `${columns * side}px auto`;
      image.style.backgroundPosition = `-${x * side}px -${y * side}px`;
    }
    return el("li", { title: row.image }, mistakes.sheet ? image : null, `${row.label} → ${row.prediction}`, el("br"), el("span", { class: "muted", text: `${(Number(row.confidence) * 100).toFixed(0)} % sure` }), el("br"), el("span", { class: "muted", text: row.image.split("/").pop() }));
  });
  return [el("h3", { text: "Wrong with most confidence" }), el("ul", { class: "sheet" }, ...items)];
}
