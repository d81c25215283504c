// Every candidate a dot: the score over time or cost, the best so far, the ancestors of the winner.
"use strict";

class Dots {
  // app: {run, chosen, focused, select(id)}
  constructor(app) {
    this.app = app;
    this.x = "order";
    this.all = false;
    this.plot = new Plot({
      height: 440,
      label: "Every candidate as a dot. Arrow keys go to the next one, up to the parent, down to a child, Home to the winner.",
      pick: (row) => app.select(row.id, true),
      tell: (row) => this.tell(row),
      keys: (event) => this.key(event),
    });
    this.axis = ev.el("select", { id: "axis", onchange: () => { this.x = this.axis.value; this.show(); } });
    this.scale = ev.el("button", { type: "button", class: "quiet", id: "scale", onclick: () => { this.all = !this.all; this.show(); } });
    this.legend = ev.el("p", { class: "legend" });
    this.node = ev.el("section", { class: "panel", id: "dots", "aria-label": "All candidates" },
      ev.el("div", { class: "bar" }, ev.el("h2", {}, "Every network that was tried"), ev.el("label", {}, "over ", this.axis), this.scale),
      this.plot.node, this.legend);
  }

  tell(row) {
    const { run } = this.app;
    const lines = [row.status === "ok" ? `#${row.id}: ${ev.score(row.score)}` : `#${row.id}: ${row.status}`];
    if (row.reason) lines.push(ev.short(row.reason, 120));
    if (ev.known(row.params)) lines.push(`${ev.count(row.params)} parameters`);
    lines.push(ev.short(row.operator, 60) + (row.parents.length ? ` of #${row.parents.slice(0, 3).join(", #")}` : ""));
    if (run.rungs.length > 1) lines.push(`${ev.number(row.epochs)} epochs`);
    return lines;
  }

  key(event) {
    const { run, chosen } = this.app, ids = run.list.map((row) => row.id), row = run.rows.get(chosen);
    if (!row) return;
    const place = ids.indexOf(chosen);
    const next = {
      ArrowRight: ids[Math.min(place + 1, ids.length - 1)],
      ArrowLeft: ids[Math.max(place - 1, 0)],
      ArrowUp: row.parents[0],
      ArrowDown: (run.children.get(chosen) || [])[0],
      Home: run.winner && run.winner.id,
      End: ids[ids.length - 1],
    };
    if (!(event.key in next)) return;
    event.preventDefault();
    if (next[event.key] !== undefined && run.rows.has(next[event.key])) this.app.select(next[event.key]);
  }

  axes() {
    const { run } = this.app, names = { order: "order of asking", time: "search time", ...Object.fromEntries(Object.entries(run.measures).map(([name, label]) => [name, label.replace(/ \[.*/, "")])) };
    const shown = Object.keys(names).join();
    if (this.shown === shown) return;
    this.shown = shown;
    if (!(this.x in names)) this.x = "order";
    ev.replace(this.axis, Object.entries(names).map(([name, label]) => ev.el("option", { value: name, selected: name === this.x }, label)));
  }

  show() {
    const { run } = this.app;
    this.axes();
    const cost = !["order", "time"].includes(this.x), place = (row) => run.value(row, this.x);
    const scored = run.scored.filter((row) => ev.known(place(row)));
    const failed = cost ? [] : run.list.filter((row) => ["failed", "refused", "cut"].includes(row.status) && ev.known(place(row)));
    if (!scored.length && !failed.length) {
      this.plot.show({
        x: { low: 0, high: 1, label: "", format: () => "" }, y: { low: 0, high: 1 },
        paint: (plot, ctx) => { ctx.fillStyle = plot.colour.soft; ctx.fillText(run.list.length ? "The first candidates are being trained …" : "No candidate yet …", plot.box.left + 12, plot.box.top + 30); },
      });
      return;
    }
    let low = Infinity, high = -Infinity, from = Infinity, to = -Infinity;
    for (const row of scored) { low = Math.min(low, row.score); high = Math.max(high, row.score); }
    for (const row of [...scored, ...failed]) { from = Math.min(from, place(row)); to = Math.max(to, place(row)); }
    if (!scored.length) [low, high] = [0, 1];
    const floor = this.floor(scored, low, high);
    this.scale.hidden = floor <= low;
    this.scale.textContent = this.all ? "Zoom to the best" : "Show all scores";
    const bottom = this.all ? low : floor, room = 0.05 * (high - bottom || Math.abs(high) * 0.02 || 0.01);
    const log = cost && from > 0 && to / from > 15, wide = to - from || 1;
    const below = bottom > low ? scored.filter((row) => row.score < bottom).length : 0;
    const seconds = (value) => (to > 5400 ? `${+(value / 3600).toFixed(2)} h` : to > 90 ? `${+(value / 60).toFixed(1)} min` : `${+value.toFixed(1)} s`);
    const label = { order: "candidate, in the order of asking", time: "search time" }[this.x] || run.measures[this.x] + (log ? ", log" : "");
    const dots = scored.map((row) => ({ x: place(row), y: row.score, row }));
    const bright = run.rungs.length > 1 ? run.rungs : null;
    this.plot.node.setAttribute("data-dots", dots.length);
    this.plot.show({
      x: log ? { low: from / 1.05, high: to * 1.05, log, label, format: ev.number }
             : { low: this.x === "time" ? 0 : from - 0.01 * wide, high: to + 0.015 * wide, label, time: this.x === "time", whole: this.x === "order", format: this.x === "time" ? seconds : this.x === "order" ? ev.count : (value) => (value ? ev.number(value) : "0") },
      y: { low: bottom - room, high: high + room, label: `validation ${run.metric}${run.unit}` },
      rail: !cost && failed.length > 0,
      dots: dots.concat(failed.map((row) => ({ x: place(row), y: -Infinity, row }))),
      paint: (plot, ctx) => this.paint(plot, ctx, dots, bright, cost, place),
      over: (plot, ctx) => this.over(plot, ctx, failed, place),
    });
    const said = [
      ev.el("span", { class: "k dot" }, "a network"),
      ev.el("span", { class: "k best" }, cost ? "front: no other is better and cheaper" : bright ? "best so far, at the longest training so far" : "best so far"),
      run.winner && run.line(this.app.focused || run.winner).length > 1 && ev.el("span", { class: "k kin" }, `ancestors of #${(this.app.focused || run.winner).id}`),
      failed.length > 0 && ev.el("span", { class: "k fail" }, "failed, refused or cut"),
      bright && ev.el("span", { class: "soft" }, "paler: trained shorter"),
      below > 0 && ev.el("span", { class: "soft" }, `${ev.many(below, "score")} below ${bottom.toFixed(2)} at the lower edge`),
    ];
    ev.replace(this.legend, said);
  }

  // Where the scale begins: a few far below would hide what happens above.
  floor(scored, low, high) {
    if (scored.length < 20) return low;
    const sorted = scored.map((row) => row.score).sort((a, b) => a - b), some = sorted[Math.floor(0.15 * sorted.length)];
    const floor = some - 0.35 * (high - some);
    return high - floor < 0.6 * (high - low) && high > floor ? floor : low;
  }

  paint(plot, ctx, dots, bright, cost, place) {
    const { run } = this.app, count = dots.length, radius = count > 5000 ? 2 : count > 800 ? 2.8 : 4, alpha = count > 5000 ? 0.35 : count > 800 ? 0.5 : 0.65;
    if (bright) {
      const step = Math.ceil(bright.length / 5);
      for (let from = 0; from < bright.length; from += step) {
        const rungs = new Set(bright.slice(from, from + step)), share = Math.min(1, (from + step) / bright.length);
        plot.scatter(ctx, dots.filter((dot) => rungs.has(dot.row.rank[0])), { colour: plot.colour.dot, radius, alpha: alpha * (0.35 + 0.65 * share) });
      }
    } else plot.scatter(ctx, dots, { colour: plot.colour.dot, radius, alpha });
    const line = cost ? run.front(this.x).map((row) => [place(row), row.score]) : run.progress(this.x).map((row) => [place(row), row.score]).filter(([x]) => ev.known(x));
    if (!line.length) return;
    if (!cost) {
      line.push([plot.view.x.high, line[line.length - 1][1]]);
    }
    plot.line(ctx, line, { colour: plot.colour.blue, width: 2, stairs: true });
  }

  over(plot, ctx, failed, place) {
    const { run, chosen } = this.app, focus = this.app.focused || run.winner;
    const { left, right } = plot.box, rail = plot.height - 54;
    ctx.strokeStyle = plot.colour.soft;
    ctx.lineWidth = 1.3;
    ctx.globalAlpha = 0.8;
    for (const row of failed) {
      const x = plot.px(place(row));
      ctx.beginPath();
      ctx.moveTo(x - 3, rail - 3); ctx.lineTo(x + 3, rail + 3);
      if (row.status !== "refused") { ctx.moveTo(x + 3, rail - 3); ctx.lineTo(x - 3, rail + 3); }
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
    failed.forEach((row, index) => { plot.places[plot.view.dots.length - failed.length + index][1] = rail; });
    const at = (row) => [plot.px(place(row)), plot.py(row.score)], seen = (row) => row && row.status === "ok" && ev.known(place(row));
    plot.clipped(ctx, () => {
      if (focus) this.kin(plot, ctx, focus, at, seen);
      if (seen(focus)) this.star(plot, ctx, ...at(focus));
    });
    const row = run.rows.get(chosen);
    if (!row || !ev.known(place(row))) return;
    const [x, y] = row.status === "ok" ? at(row) : [plot.px(place(row)), rail];
    if (x < left - 8 || x > right + 8) return;
    plot.ring(ctx, x, y, 8, plot.colour.ink);
  }

  // The ancestors of a candidate: thin lines for all of them, a thick one along the first parents.
  kin(plot, ctx, focus, at, seen) {
    const { run } = this.app, all = run.once(`kin ${focus.id}`, () => [...run.ancestors(focus).values()]);
    ctx.strokeStyle = plot.colour.orange;
    ctx.lineWidth = 1;
    ctx.globalAlpha = all.length > 400 ? 0.12 : 0.35;
    ctx.beginPath();
    for (const row of all) for (const id of row.parents) {
      const parent = run.rows.get(id);
      if (!seen(row) || !seen(parent)) continue;
      ctx.moveTo(...at(row));
      ctx.lineTo(...at(parent));
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
    const line = run.line(focus).filter(seen);
    plot.line(ctx, line.map((row) => [run.value(row, this.x), row.score]), { colour: plot.colour.orange, width: 2 });
    plot.scatter(ctx, line.map((row) => ({ x: run.value(row, this.x), y: row.score })), { colour: plot.colour.orange, radius: line.length > 60 ? 3 : 4.5, alpha: 1 });
  }
  star(plot, ctx, x, y) {
    ctx.beginPath();
    for (let place = 0; place < 10; place += 1) {
      const far = place % 2 ? 4 : 9.5, turn = (Math.PI * place) / 5 - Math.PI / 2;
      ctx[place ? "lineTo" : "moveTo"](x + far * Math.cos(turn), y + far * Math.sin(turn));
    }
    ctx.closePath();
    ctx.fillStyle = plot.colour.orange;
    ctx.strokeStyle = plot.colour.card;
    ctx.lineWidth = 2;
    ctx.stroke();
    ctx.fill();
  }
}

// The line of ancestors of the winner, or of whom one looks at, to be stepped through in time.
class Ancestry {
  constructor(app) {
    this.app = app;
    this.strip = ev.el("div", { class: "strip" });
    this.title = ev.el("h2", {}, "Ancestry");
    this.said = ev.el("p", { class: "soft" });
    const button = (name, text, act) => ev.el("button", { type: "button", class: "quiet", id: name, onclick: act }, text);
    this.playing = null;
    this.play = button("play", "Play", () => this.toggle());
    this.node = ev.el("section", { class: "panel", id: "ancestry", "aria-label": "Ancestry" },
      ev.el("div", { class: "bar" }, this.title, button("older", "← Older", () => this.step(-1)), button("younger", "Younger →", () => this.step(1)), this.play),
      this.said, this.strip);
  }
  get line() { return this.app.run.line(this.app.focused || this.app.run.winner); }

  show() {
    const { run, chosen } = this.app, focus = this.app.focused || run.winner;
    this.node.hidden = !focus || this.line.length < 2;
    if (this.node.hidden) return;
    const line = this.line, all = run.ancestors(focus).size - 1, own = focus === run.winner;
    this.title.textContent = own ? `How the ${run.state.card ? "winner" : "best so far"} came about` : `How #${focus.id} came about`;
    ev.replace(this.said, `${ev.many(line.length - 1, "step")} from a first network to #${focus.id}`,
      all > line.length - 1 ? `, along the first parents; ${ev.many(all, "ancestor")} in all.` : ".",
      !own && [" ", ev.el("button", { type: "button", class: "link", onclick: () => this.app.focus(null) }, "Back to the winner")]);
    const most = 80, shown = line.length > most ? [...line.slice(0, most / 2), null, ...line.slice(-most / 2)] : line;
    ev.replace(this.strip, shown.map((row, place) => row === null
      ? ev.el("span", { class: "soft" }, `… ${line.length - most} more …`)
      : [place > 0 && ev.el("span", { class: "op" }, ev.short(row.operator, 28)),
         ev.el("button", { type: "button", class: "chip" + (row.id === chosen ? " on" : ""), "aria-current": row.id === chosen && "true", onclick: () => this.app.select(row.id) },
           `#${row.id}`, ev.el("b", {}, row.status === "ok" ? ev.score(row.score) : row.status))]));
    const on = this.strip.querySelector(".on");
    if (on) this.strip.scrollLeft = on.offsetLeft - this.strip.offsetLeft - this.strip.clientWidth / 2;
  }
  step(by) {
    const line = this.line, place = line.findIndex((row) => row.id === this.app.chosen);
    const next = place < 0 ? (by < 0 ? line.length - 1 : 0) : place + by;
    if (line[next]) this.app.select(line[next].id);
    return Boolean(line[next + by]);
  }
  toggle() {
    if (this.playing) { clearInterval(this.playing); this.playing = null; this.play.textContent = "Play"; return; }
    this.app.select(this.line[0].id);
    this.play.textContent = "Stop";
    this.playing = setInterval(() => { if (!this.step(1)) this.toggle(); }, 1100);
  }
}
