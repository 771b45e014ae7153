"use strict";
(() => {
  const KEPT = 20; // results on the page
  const find = (id) => document.getElementById(id);
  const drop = find("drop"), file = find("file"), results = find("results"), state = find("state");
  const limits = JSON.parse(drop.dataset.limits);

  const make = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text; // never markup
    return made;
  };
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

  const timing = (header) => Object.fromEntries((header || "").split(",").map((part) => {
    const [name, duration] = part.trim().split(";dur=");
    return [name, Number(duration)];
  }));

  const bars = (top) => {
    const list = make("ol");
    for (const entry of top) {
      const line = make("li");
      const bar = make("meter");
      bar.min = 0; bar.max = 1; bar.value = entry.probability;
      bar.setAttribute("aria-label", `${entry.label}: ${percent(entry.probability)}`);
      line.append(make("span", "", entry.label), bar, make("span", "", percent(entry.probability)));
      list.append(line);
    }
    return list;
  };

  const told = (answer, took, server) => {
    const parts = [`${milliseconds(took)} in all`];
    if (server.model >= 0) {
      parts.push(`${milliseconds(server.read + server.model)} of it reading and classifying the image`);
    }
    if (server.queue >= 1) parts.push(`${milliseconds(server.queue)} waiting`);
    return `class ${answer.class}, ${parts.join(", ")}`;
  };

  const ask = async (image) => {
    const start = performance.now();
    const response = await fetch("invocations", {
      method: "POST",
      headers: { "Content-Type": image.type || "application/octet-stream", Accept: "application/json" },
      body: image,
    });
    const answer = await response.json();
    const took = performance.now() - start;
    if (!response.ok) throw new Error(answer.error || `status ${response.status}`);
    return [answer, took, timing(response.headers.get("Server-Timing"))];
  };

  const show = async (image) => {
    const card = make("article", "result");
    const picture = make("img");
    picture.alt = "";
    picture.src = URL.createObjectURL(image);
    const words = make("div");
    const title = make("h2", "", "…");
    words.append(make("p", "file muted small", image.name || "pasted image"), title);
    card.append(picture, words);
    results.prepend(card);
    while (results.children.length > KEPT) {
      URL.revokeObjectURL(results.lastChild.querySelector("img").src);
      results.lastChild.remove();
    }
    try {
      if (image.size > limits.bytes) throw new Error(`more than ${limits.megabytes} MB`);
      const [answer, took, server] = await ask(image);
      title.textContent = answer.label;
      words.append(bars(answer.top), make("p", "time muted small", told(answer, took, server)));
    } catch (error) {
      title.textContent = "No answer";
      words.append(make("p", "problem", error.message));
    }
    card.dataset.done = "true";
  };

  const showAll = async (images) => { for (const image of images) await show(image); };

  const look = async () => {
    let ready = false;
    try { ready = (await fetch("ping", { cache: "no-store" })).ok; } catch { /* it is gone */ }
    state.className = ready ? "ready" : "gone";
    state.textContent = ready ? "ready" : "not ready";
    document.body.dataset.ready = String(ready);
    setTimeout(look, ready ? 15000 : 1000);
  };

  file.addEventListener("change", () => { showAll([...file.files]).then(() => { file.value = ""; }); });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  }
  document.addEventListener("drop", (event) => showAll([...event.dataTransfer.files]));
  document.addEventListener("paste", (event) => showAll([...event.clipboardData.files]));
  look();
})();
