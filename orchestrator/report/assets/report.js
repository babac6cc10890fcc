// Draws the charts with Plotly and fills the list of trials. Everything that a model wrote reaches the page
// through textContent alone, so it is shown and never interpreted.
"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = read("charts");
  const data = read("trials");
  const byId = (id) => document.getElementById(id);

  function make(name, className, text) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined && text !== null) element.textContent = text;
    return element;
  }

  // Charts ------------------------------------------------------------------------------------------------
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: get("--grid"), linecolor: get("--line"), zerolinecolor: get("--soft") };
    return { font: { color: get("--text"), family: "system-ui, sans-serif", size: 13 }, axis, panel: get("--panel") };
  }

  function layoutFor(chart) {
    const now = colours();
    const layout = { ...chart.layout, font: now.font, autosize: true };
    layout.xaxis = { ...layout.xaxis, ...now.axis };
    layout.yaxis = { ...layout.yaxis, ...now.axis };
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: now.panel, font: now.font };
    return layout;
  }

  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

  const drawn = new Set();

  function draw(chart) {
    drawn.add(chart);
    Plotly.react(byId("chart-" + chart.id), chart.data, layoutFor(chart), config);
  }

  // Only what comes near the window is drawn, so that a long page opens at once; each place keeps its height.
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(charts.find((chart) => "chart-" + chart.id === entry.target.id));
    }
    document.documentElement.dataset.drawn = "yes";
  }, { rootMargin: "500px" });

  const redraw = () => drawn.forEach(draw);

  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => charts.forEach(draw));

  // Trials ------------------------------------------------------------------------------------------------
  const PAGE = 40;
  const FAILED = "failed";
  const text = (number) => (number === null || number === undefined ? "" : data.texts[number]);
  const trials = data.trials.map(([cell, problem, sample, verdict, reason], index) => ({
    index, problem, sample, verdict, reason: text(reason), cell,
    label: cell >= 0 ? data.cells[cell].label : "unknown",
    turns: data.details[index],
  }));
  const notOurs = new Set(["passed", "infrastructure", "not_run"]);
  let shown = PAGE;
  let matching = [];
  let timer;

  function haystack(trial) {
    if (trial.haystack === undefined) {
      const parts = [trial.problem, trial.label, trial.verdict, trial.reason];
      for (const turn of trial.turns || []) {
        parts.push(text(turn.prompt), text(turn.program), text(turn.reply), text(turn.feedback), text(turn.scored_why));
      }
      trial.haystack = parts.join("\n").toLowerCase();
    }
    return trial.haystack;
  }

  function matches(trial, wanted, verdict, cell, exact) {
    if (cell !== "" && trial.cell !== Number(cell)) return false;
    if (verdict === FAILED && notOurs.has(trial.verdict)) return false;
    if (verdict !== "" && verdict !== FAILED && trial.verdict !== verdict) return false;
    if (wanted === "") return true;
    return exact ? trial.problem.toLowerCase() === wanted : haystack(trial).includes(wanted);
  }

  function filter() {
    // What was typed just before is answered here too: a later answer would close what is opened now.
    clearTimeout(timer);
    const wanted = byId("find").value.trim().toLowerCase();
    // A whole problem id means that problem and not every text that holds it: HumanEval/1 is not HumanEval/10.
    const exact = trials.some((trial) => trial.problem.toLowerCase() === wanted);
    const verdict = byId("by-verdict").value;
    const cell = byId("by-cell").value;
    matching = trials.filter((trial) => matches(trial, wanted, verdict, cell, exact));
    shown = PAGE;
    render();
  }

  function render() {
    byId("list").replaceChildren(...matching.slice(0, shown).map(item));
    byId("found").textContent = `${matching.length} of ${trials.length} trials`;
    byId("more").hidden = matching.length <= shown;
  }

  function item(trial) {
    const box = make("details", "trial");
    box.id = address(trial);
    const head = make("summary");
    head.append(make("span", "id", trial.problem), make("span", "chip v-" + trial.verdict, trial.verdict));
    const several = data.trials.some((other) => other[2] > 0);
    head.append(make("span", "who", trial.label + (several ? `, sample ${trial.sample}` : "")));
    if (trial.cell >= 0 && data.cells[trial.cell].synthetic) head.append(make("span", "mark", "synthetic"));
    if (trial.reason) head.append(make("span", "why", trial.reason));
    box.append(head);
    box.addEventListener("toggle", () => {
      if (box.open && box.childElementCount === 1) box.append(inside(trial));
    });
    return box;
  }

  function address(trial) {
    const cell = trial.cell >= 0 ? data.cells[trial.cell].id : "unknown";
    return "trial=" + [cell, trial.problem, trial.sample].map(encodeURIComponent).join("&");
  }

  function inside(trial) {
    const box = make("div", "inside");
    if (trial.reason) block(box, "Reason", trial.reason);
    const link = make("a", "", "link to this trial");
    link.href = "#" + encodeURI(address(trial));
    const last = make("p", "notes");
    last.append(link);
    if (!trial.turns) {
      box.append(make("p", "notes", "Its texts are not in this page: see steps.parquet, or run "
        + `python -m orchestrator.report RUN --problem ${trial.problem}`), last);
      return box;
    }
    if (!trial.turns.length) box.append(make("p", "notes", "No step of this trial was recorded."));
    const first = trial.turns.find((turn) => turn.prompt !== undefined);
    if (first) {
      const prompt = make("details");
      prompt.append(make("summary", "", "Prompt"), make("pre", "", text(first.prompt)));
      box.append(prompt);
    }
    const tried = trial.cell >= 0 && data.cells[trial.cell].oracle ? "Tried on scoring tests (oracle)" : "Tried on public tests";
    for (const turn of trial.turns) box.append(oneTurn(turn, trial.turns.length, tried));
    box.append(last);
    return box;
  }

  function oneTurn(turn, of, tried) {
    const box = make("div", "turn");
    box.append(make("h4", "", `Turn ${turn.n}` + (of > 1 ? ` of ${of}` : "")));
    const facts = [
      turn.model,
      turn.in === undefined ? "" : `${turn.in} tokens in, ${turn.out ?? 0} out`,
      turn.usd === undefined ? "" : `$${turn.usd.toPrecision(3)}`,
      turn.stop && turn.stop !== "end_turn" ? `stopped: ${turn.stop}` : "",
      turn.request,
    ].filter(Boolean);
    if (facts.length) box.append(make("p", "notes", facts.join(" · ")));
    const pair = make("div", "pair");
    if (turn.reply !== undefined) block(pair.appendChild(make("div")), "Reply", text(turn.reply));
    if (turn.program !== undefined) block(pair.appendChild(make("div")), "Program", text(turn.program));
    if (pair.childElementCount) box.append(pair);
    verdictLine(box, tried, turn.tried, turn.tried_why);
    if (turn.feedback !== undefined) block(box, "Sent back", text(turn.feedback));
    verdictLine(box, "Graded on scoring tests", turn.scored, turn.scored_why);
    return box;
  }

  function verdictLine(box, title, verdict, why) {
    if (verdict === undefined) return;
    box.append(make("h5", "", title));
    const line = make("div");
    line.append(make("span", "chip v-" + verdict, verdict), " ", make("bdi", "", text(why)));
    box.append(line);
  }

  function block(box, title, content) {
    box.append(make("h5", "", title), make("pre", "", content));
  }

  function options(select, pairs) {
    select.replaceChildren(...pairs.map(([value, label]) => {
      const option = make("option", "", label);
      option.value = value;
      return option;
    }));
  }

  function count(test) {
    return trials.filter(test).length;
  }

  function setUp() {
    const verdicts = [...new Set(trials.map((trial) => trial.verdict))].sort();
    const failed = count((trial) => !notOurs.has(trial.verdict));
    options(byId("by-verdict"), [
      [FAILED, `failed (${failed})`], ["", `every verdict (${trials.length})`],
      ...verdicts.map((verdict) => [verdict, `${verdict} (${count((trial) => trial.verdict === verdict)})`]),
    ]);
    options(byId("by-cell"), [["", "every system"], ...data.cells.map((cell, i) => [String(i), cell.label])]);
    byId("find").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(filter, 120);
    });
    byId("by-verdict").addEventListener("change", filter);
    byId("by-cell").addEventListener("change", filter);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("more").addEventListener("click", () => { shown += PAGE; render(); });
    byId("ask-form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      look(byId("ask").value);
    });
    for (const link of document.querySelectorAll("[data-find]")) {
      link.addEventListener("click", () => look(link.dataset.find));
    }
    filter();
    addEventListener("hashchange", follow);
    follow();
  }

  function look(problem) {
    byId("find").value = problem;
    byId("by-cell").value = "";
    byId("by-verdict").value = "";
    filter();
    byId("failures").scrollIntoView();
    byId("find").scrollIntoView({ block: "center" });
    const failed = matching.findIndex((trial) => !notOurs.has(trial.verdict));
    if (failed >= 0 && failed < shown) byId("list").children[failed].open = true;
  }

  function follow() {
    const wanted = decodeURI(location.hash.slice(1));
    const found = wanted.startsWith("trial=") ? trials.find((trial) => address(trial) === wanted) : undefined;
    if (!found) return;
    byId("by-cell").value = String(found.cell);
    byId("by-verdict").value = "";
    byId("find").value = found.problem;
    filter();
    const box = document.getElementById(wanted);
    if (box) {
      box.open = true;
      box.scrollIntoView();
    }
  }

  setUp();
  // After a first paint, so that the answers are there while the first charts are being drawn.
  requestAnimationFrame(() => setTimeout(() => charts.forEach((chart) => seen.observe(byId("chart-" + chart.id))), 0));
})();
