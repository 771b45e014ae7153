// Two runs line by line, what differs around all of them, findings and profiles.
function whole(part, run) {
  const found = { ...part.base };
  for (const [key, text] of Object.entries(part.own[run.index])) if (text === null) delete found[key]; else found[key] = text;
  return found;
}
function makePair() {
  if (runs.length < 2) { byId("differences").hidden = true; return; }
  const side = (id, text) => {
    const select = el("select", { id, onchange: () => { state.pair = [Number(byId("one").value), Number(byId("other").value)]; changed(); } },
      ...runs.map((run) => el("option", { value: run.index, text: label(run) })));
    return el("label", {}, text, select);
  };
  put("pair", side("one", "Run"), side("other", "against"));
  followed = state.chosen.join(); // of a reload: what was compared then is
  if (state.pair.length !== 2 && state.chosen.length === 2) state.pair = [...state.chosen];
  if (state.pair.length !== 2) state.pair = [data.best ?? 0, (data.best ?? 0) === 1 ? 0 : 1];
}
let followed = null;
function followPair() {
  if (runs.length < 2) return;
  const chosen = state.chosen.join();
  if (state.chosen.length === 2 && chosen !== followed) { state.pair = [...state.chosen]; keep(); }
  followed = chosen; // two runs that are selected are compared once, not again at every key of the filter
  drawDiff();
}
function drawDiff() {
  if (state.pair.length !== 2) return;
  byId("one").value = state.pair[0]; byId("other").value = state.pair[1];
  const [one, other] = state.pair.map((index) => runs[index]);
  const tables = [["Config", data.config], ["Environment", data.environment]].map(([title, part]) => {
    const [a, b] = [whole(part, one), whole(part, other)];
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => a[key] !== b[key]).sort();
    const body = keys.map((key) => [key, a[key] ?? "(not there)", b[key] ?? "(not there)"]);
    return [el("h3", { text: `${title}: ${keys.length ? `${keys.length} differ` : "no difference"}` }), keys.length ? plain([title.toLowerCase(), label(one), label(other)], body) : null];
  });
  const figure = (run) => (run.value === null ? "no value" : short(run.value));
  const gap = one.value === null || other.value === null ? "" : `, a difference of ${short(Math.abs(one.value - other.value))}`;
  put("diff", el("p", { text: `${goal[0]}: ${figure(one)} against ${figure(other)}${gap}` }), ...tables.flat().filter(Boolean));
}

function drawEnvironment() {
  const part = data.environment, counts = new Map();
  const keys = new Set(part.own.flatMap((own) => Object.keys(own)));
  for (const key of keys) {
    const texts = new Map();
    part.own.forEach((own) => {
      const text = key in own ? own[key] ?? "(not there)" : part.base[key] ?? "(not there)";
      texts.set(text, (texts.get(text) || 0) + 1);
    });
    counts.set(key, [...texts].sort((a, b) => b[1] - a[1]));
  }
  if (!keys.size) { put("env", el("p", { class: "empty", text: "Commit, versions, hardware and data are the same in all runs." })); return; }
  put("env", el("p", { class: "muted small", text: "Beside the hyperparameters these could explain a result." }), plain(["what", "values (runs)"], [...counts].sort().map(([key, texts]) =>
    [key, el("span", { text: texts.slice(0, 6).map(([text, n]) => `${text} (${n})`).join(",  ") + (texts.length > 6 ? `, and ${texts.length - 6} more` : "") })])));
}

function drawFindings() {
  const picked = state.chosen.map((index) => runs[index]);
  const list = (picked.length ? picked : shown()).filter((run) => run.found.length || run.profile || run.problem || run.unreadable || Object.keys(run.not_finite).length || (picked.length && run.links.length));
  const cards = list.slice(0, 40).map((run) => {
    const card = el("div", { class: "card" }, el("h3", { text: `${label(run)}: ${run.state}` }));
    if (run.problem) card.append(el("p", { class: "problem", text: run.problem }));
    for (const [name, count] of Object.entries(run.not_finite)) card.append(el("p", { class: "problem", text: `${name} was nan or infinite ${count} times` }));
    if (run.unreadable) card.append(el("p", { class: "problem", text: `${run.unreadable} cells or rows of its metrics cannot be read` }));
    if (run.found.length) card.append(el("ul", {}, ...run.found.map((one) => el("li", {}, el("b", { text: `${one.rule} (${one.count ?? "?"})` }),
      `: ${[one.meaning, one.advice, one.reason].filter(Boolean).join(" ")} `, one.override ? el("code", { text: one.override }) : null, el("span", { class: "muted small", text: ` ${one.where}` })))));
    if (run.profile) card.append(el("ul", {}, ...run.profile.sentences.map((text) => el("li", { text }))), run.profile.override ? el("code", { text: run.profile.override }) : "");
    if (run.links.length) card.append(el("p", {}, ...run.links.flatMap((link) => [el("a", { href: link.href, text: link.text }), "  "])));
    return card;
  });
  const rest = list.length > cards.length ? [el("p", { class: "muted", text: `and ${list.length - cards.length} more runs; filter or select to see them` })] : [];
  put("found", ...(cards.length ? [...cards, ...rest] : [el("p", { class: "empty", text: !shown().length ? NONE_SHOWN : picked.length ? "Nothing was found in the selected runs." : "No rule has found anything, and no run has failed." })]));
}
