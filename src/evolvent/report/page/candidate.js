// One candidate: its numbers, its training curve, its parents, and what the mutation changed.
"use strict";

class CandidatePanel {
  // app: {run, details(id), select(id), focus(id)}
  constructor(app) {
    this.app = app;
    this.facts = ev.el("div", { class: "facts" });
    this.pictures = ev.el("div", { class: "pictures" });
    this.curve = new Plot({ height: 170, label: "Training curve" });
    this.shown = null; // id of the candidate whose numbers are shown
    this.drawn = null; // id of the candidate whose architecture is shown
  }

  async show(id) {
    this.shown = id;
    const row = this.app.run.rows.get(id), parents = row.parents.filter((one) => this.app.run.rows.has(one));
    this.describe(row, null);
    const found = await Promise.all([id, ...parents.slice(0, 2)].map((one) => this.app.details(one))).catch(() => null);
    if (this.shown !== id) return; // another was chosen meanwhile
    if (!found) {
      ev.replace(this.pictures, ev.el("p", { class: "soft" }, "The server does not answer: choose the candidate again once it does."));
      return;
    }
    const [own, ...theirs] = found;
    this.describe(row, own);
    this.draw(row, own, parents.slice(0, 2).map((one, place) => [one, theirs[place]]));
    this.drawn = id;
  }

  link(id) {
    if (!this.app.run.rows.has(id)) return `step #${id}`; // it has no network of its own
    return ev.el("button", { type: "button", class: "link", onclick: () => this.app.select(id) }, `#${id}`);
  }

  describe(row, own) {
    const { run } = this.app, isWinner = run.winner && run.winner.id === row.id;
    const made = [ev.short(row.operator, 80)];
    if (row.parents.length) made.push(" of ", row.parents.slice(0, 4).flatMap((id, place) => [place ? ", " : "", this.link(id)]));
    const lines = [
      ["made by", made],
      row.status === "ok" && ["rank", `${ev.count(run.rank(row))} of ${ev.count(run.scored.length)}`],
      row.reason && ["reason", own && own.reason ? own.reason : row.reason],
      ev.known(row.params) && ["parameters", ev.count(row.params)],
      ev.known(row.flops) && ["FLOPs of one input", ev.number(row.flops)],
      ev.known(row.epochs) && row.epochs > 0 && ["training", `${ev.number(row.epochs)} epochs` + (own && ev.known(own.total_epochs) && own.total_epochs > row.epochs * 1.02 ? `, ${ev.number(own.total_epochs)} with what it inherited` : "")],
      ev.known(row.seconds) && row.seconds > 0 && ["took", ev.seconds(row.seconds)],
      ["weights", row.inherits.length ? ["began with those of ", row.inherits.slice(0, 4).map((id) => this.link(id))] : run.state.shared ? "the shared ones" : row.epochs > 0 ? "fresh" : "none were trained"],
      ...Object.entries(row.metrics).slice(0, 6).filter(([name]) => name !== "train_seconds").map(([name, value]) => [Run.label(name), ev.number(value)]),
      own && ev.known(own.seed) && ["seed", String(own.seed)],
    ].filter(Boolean);
    const score = row.status === "ok" ? [ev.el("b", {}, ev.score(row.score)), ` ${run.metric} on validation`] : row.status;
    ev.replace(this.facts,
      ev.el("h2", {}, `Candidate #${row.id}`, isWinner && ev.el("span", { class: "tag" }, run.state.card ? "winner" : "best so far")),
      ev.el("p", { class: "big" }, score),
      ev.el("dl", {}, lines.map(([name, value]) => [ev.el("dt", {}, name), ev.el("dd", {}, value)])),
      this.curveOf(own),
      row.parents.length && !isWinner && ev.el("button", { type: "button", class: "quiet", onclick: () => this.app.focus(row.id) }, "Show its ancestry"),
      own && ev.el("details", {}, ev.el("summary", {}, "Architecture as text"), ev.el("pre", {}, JSON.stringify(own.arch)), own.note !== null && ev.el("pre", {}, `note: ${JSON.stringify(own.note)}`)));
    this.curve.draw();
  }

  curveOf(own) {
    const found = own && Object.entries(own.curves)[0];
    if (!found) return null;
    const [name, points] = found, x = points.map((point) => point[0]), y = points.map((point) => point[1]);
    const low = Math.min(...y), high = Math.max(...y);
    this.curve.show({
      x: { low: 0, high: Math.max(...x), label: "training [epochs]", format: (value) => ev.number(value || 0).replace("unknown", "0") },
      y: { low: low - 0.05 * (high - low || 1), high: high + 0.05 * (high - low || 1) },
      paint: (plot, ctx) => plot.line(ctx, points, { colour: plot.colour.blue }),
    });
    return [ev.el("h3", {}, name === "curve" ? "Training loss" : Run.label(name)), this.curve.node];
  }

  draw(row, own, parents) {
    const drawing = own.drawing;
    if (!drawing) {
      ev.replace(this.pictures, ev.el("p", { class: "soft" }, `No drawing: ${own.undrawn || "nothing draws this architecture"}.`));
      return;
    }
    const relatives = parents.filter(([, one]) => one && one.drawing);
    if (!relatives.length) {
      const graphs = Drawing.layout([drawing]);
      ev.replace(this.pictures, this.header(`#${row.id}`, drawing),
        ev.el("div", { class: "groups" }, [...graphs].map(([group, graph]) => this.figure(group, Drawing.picture(graph, drawing, null, `#${row.id} ${group}`)))));
      return;
    }
    ev.replace(this.pictures, relatives.map(([id, parent]) => this.pair(row, drawing, id, parent.drawing)));
  }

  header(title, drawing) {
    const facts = [...drawing.facts].map(([name, value]) => `${name} ${value}`).join(", ");
    return ev.el("p", { class: "soft" }, facts ? `${title}: ${facts}` : title);
  }
  figure(caption, picture, more = "") {
    return ev.el("figure", {}, caption && ev.el("figcaption", {}, caption), ev.el("div", { class: `scroll ${more}` }, picture));
  }

  // A parent and its child side by side, per group; a group that did not change is shown once.
  pair(row, drawing, id, parent) {
    const changes = Drawing.changes(parent, drawing), graphs = Drawing.layout([parent, drawing]);
    const words = Drawing.words(parent, drawing, changes);
    const groups = [...graphs].map(([group, graph]) => {
      const touched = graph.nodes().some((node) => changes.nodes.has(node)) || graph.edges().some((edge) => changes.edges.has(edge.name));
      const name = group || "architecture";
      if (!touched) return [name, this.figure(`${name}: the same in #${id} and #${row.id}`, Drawing.picture(graph, drawing, null, `#${row.id} ${group}`))];
      return [name, ev.el("div", { class: "pair" },
        this.figure(`parent #${id}${group ? ": " + group : ""}`, Drawing.picture(graph, parent, changes, `parent #${id} ${group}`)),
        this.figure(`#${row.id}${group ? ": " + group : ""}`, Drawing.picture(graph, drawing, changes, `#${row.id} ${group}`)))];
    });
    const shared = [...drawing.nodes.keys()].filter((node) => parent.nodes.has(node)).length;
    return ev.el("div", { class: "relative" },
      ev.el("h3", {}, ev.short(row.operator, 80), " of ", this.link(id)),
      words.length
        ? ev.el("ul", { class: "changes" }, words.slice(0, 12).map(([what, text]) => ev.el("li", { class: what }, ev.el("b", {}, what), ` ${text}`)),
            words.length > 12 && ev.el("li", {}, `and ${words.length - 12} more`))
        : ev.el("p", { class: "soft" }, "The drawing is the same: what changed does not show in it, such as names or weights."),
      row.inherits.includes(id) && ev.el("p", { class: "soft" }, `It inherited the weights of what both have: ${shared} of ${drawing.nodes.size} boxes.`),
      ev.el("div", { class: "groups" }, groups.map(([, node]) => node)));
  }
}
