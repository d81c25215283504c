// The page of a run: from a file, with everything in it, or live from a server.
"use strict";

class App {
  constructor(data, root) {
    this.data = data;
    this.run = new Run(data);
    this.live = data.live ? "connecting" : "";
    this.chosen = null;
    this.focused = null; // whose ancestry is shown; null is the winner's
    this.known = new Map();
    this.dots = new Dots(this);
    this.ancestry = new Ancestry(this);
    this.panel = new CandidatePanel(this);
    this.plots = { front: this.small("The front"), population: this.small("The population"), shared: new Map() };
    this.head = ev.el("header");
    this.below = ev.el("div", { class: "below" });
    this.said = ev.el("p", { class: "hidden", "aria-live": "polite" });
    const facts = ev.el("section", { class: "panel", id: "candidate", "aria-label": "The chosen candidate" }, this.panel.facts);
    const pictures = ev.el("section", { class: "panel", id: "architecture", "aria-label": "Its architecture" }, ev.el("h2", {}, "Its architecture"), this.panel.pictures);
    ev.replace(root, ev.themeButton(() => this.repaint()), this.head,
      ev.el("div", { class: "top" }, this.dots.node, facts), this.ancestry.node, pictures, this.below, this.said,
      ev.el("footer", { class: "soft" }, "Made by evolvent. This page asks nothing of the network."));
    addEventListener("hashchange", () => this.follow());
  }
  small(label) {
    return new Plot({ height: 240, label, pick: (row) => this.select(row.id, true), tell: (row) => this.dots.tell(row), keys: () => {} });
  }

  take(news) {
    this.run.update(news);
    this.changed = true;
    if (this.due) return;
    this.due = setTimeout(() => { this.due = null; this.show(); }, this.shownOnce ? 250 : 0);
  }
  show() {
    const { run } = this;
    this.shownOnce = true;
    document.title = `${ev.short(run.title, 60)} · ${run.name}`;
    if (this.focused) this.focused = run.rows.get(this.focused.id);
    if (!this.follow(true) && (this.chosen === null || this.following) && run.winner) {
      this.following = true;
      if (this.chosen !== run.winner.id) this.choose(run.winner.id);
    }
    ev.replace(this.head, Sections.head(run, this.live));
    this.dots.show();
    performance.mark("dots");
    this.ancestry.show();
    const select = (id) => this.select(id);
    const parts = [
      () => Sections.controls(run), () => Sections.worth(run), () => Sections.shared(run, this.plots.shared), () => Sections.leaders(run, select),
      () => Sections.front(run, this.plots.front, select, () => run.rows.get(this.chosen)),
      () => Sections.population(run, this.plots.population), () => Sections.time(run), () => Sections.reasons(run, select), () => Sections.settings(run),
    ];
    const open = [...this.below.querySelectorAll("details")].map((one) => one.open);
    ev.replace(this.below, parts.map((part) => part()));
    [...this.below.querySelectorAll("details")].forEach((one, place) => { one.open = Boolean(open[place]); });
    this.repaint();
  }
  repaint() {
    for (const plot of [this.dots.plot, this.panel.curve, this.plots.front, this.plots.population, ...this.plots.shared.values()]) plot.draw();
  }

  // Choose a candidate: from now on the page stays with it, also when a better one comes.
  select(id, silent) {
    this.following = false;
    this.choose(id);
    history.replaceState(null, "", `#${id}`);
    if (!silent && innerWidth < 900) document.getElementById("candidate").scrollIntoView({ block: "nearest" });
  }
  choose(id) {
    this.chosen = id;
    const row = this.run.rows.get(id);
    this.said.textContent = `Candidate ${id}, ${row.status === "ok" ? `${ev.score(row.score)} ${this.run.metric}` : row.status}`;
    this.panel.show(id);
    this.dots.plot.redraw();
    this.plots.front.redraw();
    if (this.shownOnce) this.ancestry.show();
  }
  focus(id) {
    this.focused = id === null ? null : this.run.rows.get(id);
    this.dots.show();
    this.ancestry.show();
  }
  // The candidate that the address names: #21.
  follow(quiet) {
    const id = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : null;
    if (id === null || !this.run.rows.has(id)) return false;
    this.following = false;
    if (id !== this.chosen || !quiet) this.choose(id);
    return true;
  }

  // Details of a candidate: out of the file, or asked from the server; those still running change.
  async details(id) {
    const settled = this.run.rows.get(id).status;
    if (this.known.has(id) && this.known.get(id).settled === settled) return this.known.get(id);
    let own, chunk = null;
    if (this.data.live) own = await (await fetch(`details/${id}${location.search}`)).json();
    else {
      chunk = await this.chunk(Math.floor(id / this.data.chunk));
      own = chunk.rows[id % this.data.chunk];
    }
    own = { ...own, drawing: Drawing.unpack(own.drawing, chunk), settled };
    this.known.set(id, own);
    return own;
  }
  async chunk(place) {
    this.chunks = this.chunks || new Map();
    if (!this.chunks.has(place)) {
      const bytes = Uint8Array.from(atob(this.data.chunks[place]), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      this.chunks.set(place, await new Response(stream).json());
    }
    return this.chunks.get(place);
  }

  // Live: every event has the number of its last row, from which the browser goes on after a break.
  listen() {
    const source = new EventSource(`events${location.search}`);
    const say = (live) => { this.live = live; if (this.shownOnce) ev.replace(this.head, Sections.head(this.run, live)); };
    source.addEventListener("open", () => say("live"));
    source.addEventListener("error", () => say("waiting for the server"));
    source.addEventListener("news", (event) => {
      const news = JSON.parse(event.data);
      if (this.run.state.began && news.state && news.state.began !== this.run.state.began) location.reload(); // another run
      this.take(news);
    });
  }
}

const data = ev.data();
if (data && data.fields) {
  const app = new App(data, document.getElementById("page"));
  if (data.live) {
    app.show();
    app.listen();
  } else app.take(data);
  ev.app = app;
} else document.getElementById("page").prepend(ev.themeButton(() => {}));
