// The candidates of a run and what follows from them: order, clock, ancestry, fronts, populations.
"use strict";

class Run {
  constructor(data) {
    Object.assign(this, { name: data.name, folder: data.folder, config: data.config, command: data.command, minimise: data.minimise });
    this.fields = data.fields;
    this.rows = new Map();
    this.stepped = new Map();
    this.state = { state: "new", phases: {}, card: null, began: null, shared: false, alarms: [], mixture: [] };
    this.kept = new Map();
  }

  // Compare two scored rows as the search does; above 0 where the first is better.
  static compare(a, b) {
    const place = a.rank.findIndex((value, at) => value !== b.rank[at]);
    return place < 0 ? 0 : a.rank[place] - b.rank[place];
  }

  // Take rows of the overview: a later one of a candidate replaces an earlier one.
  update({ rows = [], steps = [], state }) {
    for (const row of rows) {
      const one = Object.fromEntries(this.fields.map((field, place) => [field, row[place]]));
      this.rows.set(one.id, one);
    }
    for (const step of steps) this.stepped.set(step.index, step); // one that was undone comes again
    if (state) this.state = state;
    if (rows.length || steps.length || state) this.kept.clear();
  }

  // Return the value of `make`, computed once until something changes.
  once(name, make) {
    if (!this.kept.has(name)) this.kept.set(name, make());
    return this.kept.get(name);
  }

  // A run without a published recipe is called by its strategy.
  get title() { return this.config.recipe.includes(" x ") ? this.config.strategy.name : this.config.recipe; }
  get metric() { return (this.state.card && this.state.card.metric) || this.config.data.metric || "score"; }
  get unit() { return /accuracy/.test(this.metric) ? " [fraction]" : ""; }
  get steps() { return this.once("steps", () => [...this.stepped.values()].sort((a, b) => a.index - b.index)); }
  get list() { return this.once("list", () => [...this.rows.values()].sort((a, b) => a.id - b.id)); }
  get scored() { return this.once("scored", () => this.list.filter((row) => row.status === "ok")); }
  get told() { return this.once("told", () => this.list.filter((row) => row.status === "ok" || row.status === "failed")); }
  get arrived() { return this.once("arrived", () => [...this.scored].sort((a, b) => a.told - b.told || a.id - b.id)); }
  get rungs() { return this.once("rungs", () => [...new Set(this.scored.map((row) => row.rank[0]))].sort((a, b) => a - b)); }
  get highest() { return this.once("highest", () => this.rungs[this.rungs.length - 1]); }
  get ranked() {
    return this.once("ranked", () => [...this.scored].sort((a, b) => Run.compare(b, a)));
  }
  get winner() {
    const card = this.state.card;
    if (card && this.rows.has(card.candidate)) return this.rows.get(card.candidate);
    return this.ranked[0];
  }
  rank(row) { return this.once("ranks", () => new Map(this.ranked.map((one, place) => [one.id, place + 1]))).get(row.id); }

  // Seconds of search at which a result came: the pauses between two sessions are cut out.
  clock(row) {
    const cuts = this.once("pauses", () => this.pauses());
    let at = row.told - (this.state.began || row.told);
    for (const [when, length] of cuts) if (row.told >= when) at -= length;
    return Math.max(0, at);
  }
  pauses() {
    const times = this.list.filter((row) => row.status !== "running").map((row) => [row.told - (row.seconds || 0), row.told]);
    if (!times.length || !ev.known(this.state.phases.search)) return [];
    times.sort((a, b) => a[0] - b[0]);
    let end = this.state.began, gaps = [];
    for (const [from, to] of times) {
      if (from > end) gaps.push([from, from - end]);
      end = Math.max(end, to);
    }
    let excess = end - this.state.began - this.state.phases.search;
    const found = [];
    for (const [when, length] of gaps.sort((a, b) => b[1] - a[1])) {
      if (excess < 5) break;
      found.push([when, Math.min(length, excess)]);
      excess -= length;
    }
    return found;
  }

  // The best so far, as `rank` of every row has it: the rung of training comes before the score.
  progress(axis) {
    return this.once(`progress ${axis}`, () => {
      let best = null;
      return (axis === "time" ? this.arrived : this.scored).filter((row) => {
        const better = !best || Run.compare(row, best) > 0;
        if (better) best = row;
        return better;
      });
    });
  }

  ancestors(row) {
    const found = new Map(), open = [row];
    while (open.length) {
      const one = open.pop();
      if (!one || found.has(one.id)) continue;
      found.set(one.id, one);
      for (const id of one.parents) open.push(this.rows.get(id));
    }
    return found;
  }
  // From the oldest to `row`, along the first parents.
  line(row) {
    const found = [], seen = new Set();
    for (let one = row; one && !seen.has(one.id); one = this.rows.get(one.parents[0])) {
      seen.add(one.id);
      found.unshift(one);
    }
    return found;
  }
  get children() {
    return this.once("children", () => {
      const found = new Map();
      for (const row of this.list) for (const id of row.parents) {
        if (!found.has(id)) found.set(id, []);
        found.get(id).push(row.id);
      }
      return found;
    });
  }

  value(row, name) {
    if (name === "order") return row.id;
    if (name === "time") return row.status === "running" ? null : this.clock(row);
    if (["score", "params", "flops", "seconds", "epochs"].includes(name)) return row[name];
    return row.metrics[name];
  }
  // The measures that can be an axis: name -> label.
  get measures() {
    return this.once("measures", () => {
      const found = { params: "parameters [count]", flops: "FLOPs of one input [count]", seconds: "time of the candidate [s]" };
      for (const row of this.scored.slice(0, 200)) for (const name of Object.keys(row.metrics)) {
        if (!(name in found)) found[name] = Run.label(name);
      }
      const differs = (name) => new Set(this.scored.slice(0, 500).map((row) => this.value(row, name)).filter(ev.known)).size > 1;
      return Object.fromEntries(Object.entries(found).filter(([name]) => differs(name)));
    });
  }
  static label(name) {
    const unit = /_seconds$|^seconds/.test(name) ? " [s]" : /_ms$/.test(name) ? " [ms]" : "";
    return ev.short(name.replace(/_ms$/, "").replace(/_/g, " "), 40) + unit;
  }

  // Candidates of the longest training that no other beats in score and in `name`, which is kept low.
  front(name) {
    return this.once(`front ${name}`, () => {
      const all = this.scored.filter((row) => row.rank[0] === this.highest && ev.known(this.value(row, name)));
      all.sort((a, b) => this.value(a, name) - this.value(b, name) || b.score - a.score);
      let best = -Infinity;
      return all.filter((row) => {
        const keeps = row.score > best;
        if (keeps) best = row.score;
        return keeps;
      });
    });
  }

  // Mean and 5 to 95 % of the last `size` results, at no more than 300 places.
  get population() {
    return this.once("population", () => {
      const all = this.arrived, wanted = Number(this.config.strategy.population);
      const size = wanted > 1 && wanted <= all.length / 2 ? wanted : Math.max(5, Math.round(all.length / 15));
      if (all.length < 2 * size) return { size, points: [] };
      const stride = Math.max(1, Math.floor((all.length - size) / 300)), points = [];
      for (let last = size; last <= all.length; last += stride) {
        const window = all.slice(last - size, last), scores = window.map((row) => row.score).sort((a, b) => a - b);
        const at = (share) => scores[Math.round(share * (size - 1))];
        points.push({ n: last, mean: scores.reduce((a, b) => a + b, 0) / size, low: at(0.05), high: at(0.95) });
      }
      return { size, points };
    });
  }
  get reasons() {
    return this.once("reasons", () => {
      const found = new Map();
      for (const row of this.list) if (row.reason) {
        const key = `${row.status}: ${row.reason.replace(/\d+(\.\d+)?/g, "n")}`;
        if (!found.has(key)) found.set(key, { status: row.status, reason: row.reason, ids: [] });
        found.get(key).ids.push(row.id);
      }
      return [...found.values()].sort((a, b) => b.ids.length - a.ids.length);
    });
  }
}
