// The parts of the page below the dots: tables and small plots that follow from the run alone.
"use strict";

const Sections = {
  head(run, live) {
    const { request, space, strategy, estimator } = run.config, card = run.state.card;
    const told = run.told.length, failed = run.told.filter((row) => row.status === "failed").length;
    const refused = run.list.filter((row) => row.status === "refused").length, best = run.ranked[0];
    const wait = Object.values(run.state.phases).reduce((a, b) => a + b, 0);
    const running = run.list.filter((row) => row.status === "running").length;
    const tiles = [
      best && [`best validation ${run.metric}`, ev.score(card && ev.known(card.val_score) ? card.val_score : best.score), card && card.finalists ? "after final training" : `of ${ev.many(told, "candidate")}`],
      card && ev.known(card.test_score) && [`test ${run.metric}`, ev.score(card.test_score), "read once, at the end"],
      (card && ev.known(card.params)) || (best && ev.known(best.params)) ? ["parameters", ev.count(card && ev.known(card.params) ? card.params : best.params), card && ev.known(card.flops) ? `${ev.number(card.flops)} FLOPs per input` : "of the best"] : null,
      ["candidates", ev.count(told), [failed && `${failed} failed`, refused && `${refused} refused`, running && `${running} running`].filter(Boolean).join(", ") || "none failed"],
      run.steps.length && ["steps", ev.count(run.steps.length), ""],
      ["wait so far", ev.seconds(wait), `budget ${ev.short(String(request.budget), 20)}`],
    ].filter(Boolean);
    if (card) tiles[tiles.length - 1][0] = "whole wait";
    const state = { searching: "searching", searched: "final training", done: "done", new: "beginning" }[run.state.state] || run.state.state;
    return [
      card && card.verdict && ev.el("p", { class: "verdict" }, card.verdict),
      ev.el("div", { class: "title" },
        ev.el("div", {},
          ev.el("h1", {}, ev.short(`${run.title} on ${String(request.task).split("/").pop()}`, 90)),
          ev.el("p", { class: "soft" }, ev.short(`${space.name} × ${strategy.name} × ${estimator.name}`, 160))),
        ev.el("div", { class: "status" }, ev.el("span", { class: `pill ${run.state.state}`, id: "state" }, live ? `${state} · ${live}` : state))),
      ev.el("div", { class: "tiles" }, tiles.map(([name, value, more]) => ev.el("div", { class: "tile" }, ev.el("span", {}, name), ev.el("b", {}, value), ev.el("small", {}, more)))),
    ];
  },

  controls(run) {
    const card = run.state.card;
    const methods = Object.values((card && card.baselines) || {}).filter((one) => ev.known(one.val_score));
    if (!card || !card.controls || !(Object.keys(card.controls).length || methods.length)) return null;
    const labels = run.state.networks;
    const rows = [
      [card.test_score, card.params, card.train_seconds],
      ...Object.values(card.controls).map((one) => [one.test_score, one.params, one.train_seconds]),
      ...methods.map((one) => [one.test_score, null, one.seconds]),
    ].map((row, index) => [labels[index], ...row, index ? "" : "winner"]);
    const scores = rows.map((row) => row[1]).filter(ev.known);
    const top = Math.max(...scores), low = Math.min(...scores), lower = low - 0.25 * (top - low || 0.01);
    const from = low >= 0 ? Math.max(0, lower) : lower;
    return ev.panel("controls", "The winner beside its controls",
      ev.el("div", { class: "scroll" }, ev.el("table", {},
        ev.el("thead", {}, ev.el("tr", {}, ["network", `test ${run.metric}`, "", "parameters", "final training"].map((name) => ev.el("th", { class: name ? null : "gauge" }, name)))),
        ev.el("tbody", {}, rows.map(([name, score, params, seconds, kind]) => ev.el("tr", { class: kind },
          ev.el("td", {}, name), ev.el("td", { class: "n" }, ev.known(score) ? ev.score(score) : "no test data"),
          ev.el("td", { class: "gauge" }, ev.known(score) && Sections.bar((score - from) / (top - from), kind)),
          ev.el("td", { class: "n" }, ev.known(params) ? ev.count(params) : ""), ev.el("td", { class: "n" }, ev.seconds(seconds))))))),
      ev.el("p", { class: "soft" }, `${run.state.remarks} Bars begin at ${ev.score(from)}.`));
  },
  bar(share, kind) {
    return ev.svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: `meter ${kind}`, "aria-hidden": "true" },
      ev.svg("rect", { x: 0, y: 2, width: Math.max(1, 100 * share), height: 6, rx: 1 }));
  },

  worth(run) {
    const card = run.state.card, told = card && card.importance;
    if (!told || !Object.keys(told.columns).length) return null;
    const rows = Object.entries(told.columns).slice(0, 12), top = Math.max(...rows.map(([, [mean]]) => mean), 1e-12);
    return ev.panel("worth", "What the columns are worth",
      ev.el("div", { class: "scroll" }, ev.el("table", {},
        ev.el("thead", {}, ev.el("tr", {}, ["column", `fall of ${told.metric}`, "", "deviation"].map((name) => ev.el("th", { class: name ? null : "gauge" }, name)))),
        ev.el("tbody", {}, rows.map(([name, [mean, spread]]) => ev.el("tr", {},
          ev.el("td", {}, ev.short(name, 60)), ev.el("td", { class: "n" }, ev.score(mean)),
          ev.el("td", { class: "gauge" }, Sections.bar(Math.max(0, mean) / top, "")),
          ev.el("td", { class: "n" }, ev.known(spread) ? ev.score(spread) : "")))))),
      ev.el("p", { class: "soft" }, `The fall of the score on ${ev.count(told.rows)} validation rows where the cells of a column are permuted, the mean of ${told.repeats}. Of columns that tell the same, each alone is worth little.`));
  },

  leaders(run, select) {
    if (!run.ranked.length) return null;
    return ev.panel("leaders", "The best candidates",
      run.rungs.length > 1 && ev.el("p", { class: "soft" }, "Those trained longest come first: scores of different training lengths are not compared."),
      ev.el("div", { class: "scroll" }, ev.el("table", {},
        ev.el("thead", {}, ev.el("tr", {}, ["candidate", `validation ${run.metric}`, "parameters", "epochs", "took", "made by"].map((name) => ev.el("th", {}, name)))),
        ev.el("tbody", {}, run.ranked.slice(0, 10).map((row) => ev.el("tr", { class: row === run.winner ? "winner" : "" },
          ev.el("td", {}, ev.el("button", { type: "button", class: "link", onclick: () => select(row.id) }, `#${row.id}`)),
          ev.el("td", { class: "n" }, ev.score(row.score)), ev.el("td", { class: "n" }, ev.known(row.params) ? ev.count(row.params) : ""),
          ev.el("td", { class: "n" }, ev.known(row.epochs) ? ev.number(row.epochs) : ""), ev.el("td", { class: "n" }, row.seconds ? ev.seconds(row.seconds) : ""),
          ev.el("td", {}, ev.short(row.operator, 40), row.parents.length ? ` of #${row.parents[0]}` : "")))))));
  },

  population(run, plot) {
    const { size, points } = run.population;
    if (!points.length) return null;
    const low = Math.min(...points.map((p) => p.low)), high = Math.max(...points.map((p) => p.high)), room = 0.05 * (high - low || 0.01);
    plot.show({
      x: { low: points[0].n, high: points[points.length - 1].n, label: "results so far [count]", format: ev.number, whole: true },
      y: { low: low - room, high: high + room },
      paint: (on, ctx) => {
        on.band(ctx, points.map((p) => [p.n, p.low, p.high]), on.colour.blue);
        on.line(ctx, points.map((p) => [p.n, p.mean]), { colour: on.colour.blue });
      },
    });
    return ev.panel("population", "The population", ev.el("p", { class: "soft" }, `Mean ${run.metric} of the last ${size} results, and the band from 5 to 95 % of them.`), plot.node);
  },

  front(run, plot, select, selected) {
    const named = run.minimise.filter((name) => name in run.measures), name = named[0] || ("params" in run.measures ? "params" : Object.keys(run.measures)[0]);
    if (!name || run.scored.length < 3) return null;
    const front = run.front(name), all = run.scored.filter((row) => row.rank[0] === run.highest && ev.known(run.value(row, name)));
    if (all.length < 3) return null;
    const frame = Sections.frame(run, all, name);
    plot.show({
      ...frame,
      paint: (on, ctx) => {
        on.scatter(ctx, frame.dots, { colour: on.colour.dot, radius: 3, alpha: 0.5 });
        on.line(ctx, front.map((row) => [run.value(row, name), row.score]), { colour: on.colour.green, stairs: true });
        for (const row of front) on.ring(ctx, on.px(run.value(row, name)), on.py(row.score), 5, on.colour.green);
      },
      over: (on, ctx) => { const row = selected(); if (row && ev.known(run.value(row, name)) && ev.known(row.score)) on.ring(ctx, on.px(run.value(row, name)), on.py(row.score), 8, on.colour.ink); },
    });
    const list = front.slice(-12);
    return ev.panel("front", `The front: ${run.metric} against ${run.measures[name].replace(/ \[.*/, "")}`,
      ev.el("p", { class: "soft" }, `No candidate beats one of these ${front.length} in both. `, !named.length && "The search itself looked at the score alone."),
      plot.node,
      ev.el("p", { class: "chips" }, list.map((row) => ev.el("button", { type: "button", class: "chip", onclick: () => select(row.id) }, `#${row.id} ${ev.score(row.score)} · ${ev.number(run.value(row, name))}`))));
  },

  // Axes for candidates over a measure, and their dots.
  frame(run, rows, name) {
    const dots = rows.map((row) => ({ x: run.value(row, name), y: row.score, row })), x = dots.map((dot) => dot.x), y = dots.map((dot) => dot.y);
    let low = Infinity, high = -Infinity, down = Infinity, up = -Infinity;
    for (const value of x) { low = Math.min(low, value); high = Math.max(high, value); }
    for (const value of y) { down = Math.min(down, value); up = Math.max(up, value); }
    const log = low > 0 && high / low > 15, room = 0.06 * (up - down || 0.01);
    return {
      dots,
      x: log ? { low: low / 1.1, high: high * 1.1, log, label: `${run.measures[name]}, log`, format: ev.number }
             : { low: low - 0.03 * (high - low || 1), high: high + 0.03 * (high - low || 1), label: run.measures[name], format: (value) => (value ? ev.number(value) : "0") },
      y: { low: down - room, high: up + room, label: `validation ${run.metric}${run.unit}` },
    };
  },

  // Weight sharing: curves of the shared weights, alarms, the mixture of the last step.
  shared(run, plots) {
    const { alarms, mixture } = run.state;
    if (!run.steps.length && !alarms.length && !mixture.length) return null;
    const names = new Map();
    for (const step of run.steps) for (const [name, value] of Object.entries(step.metrics)) {
      if (!names.has(name)) names.set(name, []);
      if (ev.known(value)) names.get(name).push([step.index, value]);
    }
    const curves = [...names].filter(([, points]) => points.length > 1 && new Set(points.map((p) => p[1])).size > 1).slice(0, 6);
    return ev.panel("shared", run.state.shared ? "Weight sharing" : "Steps",
      alarms.length ? ev.el("ul", { class: "alarms" }, alarms.map((alarm) => ev.el("li", {}, ev.el("b", {}, `${alarm.name}, seen at #${alarm.candidate}: `), alarm.text, " ", ev.el("span", { class: "soft" }, alarm.advice)))) : null,
      ev.el("div", { class: "small-plots" }, curves.map(([name, points]) => {
        if (!plots.has(name)) plots.set(name, new Plot({ height: 180, label: `${name} over steps` }));
        const plot = plots.get(name), thin = points.filter((_, place) => place % Math.ceil(points.length / 1000) === 0 || place === points.length - 1);
        const values = thin.map((p) => p[1]), low = Math.min(...values), high = Math.max(...values), room = 0.05 * (high - low);
        plot.show({
          x: { low: thin[0][0], high: thin[thin.length - 1][0], label: "step", format: (value) => (value ? ev.number(value) : "0"), whole: true },
          y: { low: low - room, high: high + room },
          paint: (on, ctx) => on.line(ctx, thin, { colour: on.colour.purple }),
        });
        return ev.el("div", {}, ev.el("h3", {}, Run.label(name)), plot.node);
      })),
      mixture.map((group) => ev.el("div", { class: "scroll" }, ev.el("h3", {}, `Mixture weights behind the last derived network: ${group.group}`), Sections.heat(group))));
  },
  heat({ rows, columns, values }) {
    return ev.el("table", { class: "heat" },
      ev.el("thead", {}, ev.el("tr", {}, ev.el("th", {}, ""), columns.map((name) => ev.el("th", {}, ev.short(name.replace(/_/g, " "), 24))))),
      ev.el("tbody", {}, rows.map((name, place) => ev.el("tr", {}, ev.el("th", {}, ev.short(name, 24)), values[place].map((value) => {
        const cell = ev.el("td", { class: "n" }, value.toFixed(2)), share = Math.max(0, Math.min(1, value));
        cell.style.background = `color-mix(in srgb, var(--purple) ${Math.round(75 * share)}%, transparent)`;
        return cell;
      })))));
  },

  time(run) {
    const phases = Object.entries(run.state.phases), whole = phases.reduce((sum, [, s]) => sum + s, 0);
    if (!whole) return null;
    const names = { setup: "opening the data, measuring the pace", search: "search", deliver: "final training, controls, export" };
    const work = run.list.reduce((sum, row) => sum + (row.seconds || 0), 0), charged = run.config.data.kind === "table", search = run.state.phases.search || 0;
    let at = 0;
    return ev.panel("time", "Where the time went",
      ev.el("div", { class: "stack", "aria-hidden": "true" }, phases.map(([name, s], place) => {
        const part = ev.el("span", { class: `part p${place % 4}` });
        part.style.width = `${(100 * s) / whole}%`;
        at += s;
        return part;
      })),
      ev.el("table", {}, ev.el("tbody", {}, phases.map(([name, s], place) => ev.el("tr", {},
        ev.el("td", {}, ev.el("i", { class: `key p${place % 4}` }), names[name] || name), ev.el("td", { class: "n" }, ev.seconds(s)), ev.el("td", { class: "n" }, `${((100 * s) / whole).toFixed(0)} %`))))),
      !run.steps.length && ev.el("p", { class: "soft" }, charged
        ? `${work ? `The table says that the candidates took ${ev.seconds(work)}` : "The table does not say how long the candidates took"}; looking them up took ${ev.seconds(search)}.`
        : work < search / 2
          ? `The candidates themselves took ${ev.seconds(work)} of the search; the rest are the strategy and the store.`
          : `The candidates themselves took ${ev.seconds(work)}: ${(work / search).toFixed(1)} at a time on average.`));
  },

  reasons(run, select) {
    if (!run.reasons.length) return null;
    return ev.panel("reasons", "What has no score", ev.el("ul", { class: "reasons" }, run.reasons.slice(0, 12).map(({ status, reason, ids }) =>
      ev.el("li", {}, ev.el("b", {}, `${ids.length} ${status}: `), ev.short(reason, 300), " ", ids.slice(0, 5).map((id) => [ev.el("button", { type: "button", class: "link", onclick: () => select(id) }, `#${id}`), " "])))));
  },

  settings(run) {
    const { data, versions, request, ...rest } = run.config, lines = [];
    const walk = (prefix, value) => {
      if (value && typeof value === "object" && !Array.isArray(value)) for (const [name, one] of Object.entries(value)) walk(prefix ? `${prefix}.${name}` : name, one);
      else if (value !== null && value !== "") lines.push([prefix, Array.isArray(value) ? value.join(", ") : String(value)]);
    };
    const table = (title, value) => {
      lines.length = 0;
      walk("", value);
      return ev.el("div", {}, ev.el("h3", {}, title), ev.el("dl", {}, lines.map(([name, text]) => [ev.el("dt", {}, name), ev.el("dd", {}, ev.short(text, 400))])));
    };
    const { notes = [], ...facts } = data;
    const copy = ev.el("button", { type: "button", class: "quiet" }, "Copy");
    copy.addEventListener("click", () => navigator.clipboard.writeText(run.command).then(() => { copy.textContent = "Copied"; }, () => { copy.textContent = "Select it and copy"; }));
    return ev.panel("settings", "How to reproduce it",
      ev.el("div", { class: "command" }, ev.el("pre", {}, run.command), copy),
      notes.map((note) => ev.el("p", { class: "soft" }, note)),
      ev.el("details", {}, ev.el("summary", {}, "Settings, data and versions"),
        ev.el("div", { class: "columns" }, table("Settings", rest), table("Data and split", facts), table("Versions", versions))));
  },
};
