// Architectures as pictures: boxes and arrows, laid out by dagre. A parent and its child are laid out
// together, so that what both have stands at the same place in both pictures.
"use strict";

const Drawing = {
  unpack(drawing, chunk) {
    if (!drawing) return null;
    const nodes = chunk ? drawing.nodes.map((place) => chunk.nodes[place]) : drawing.nodes;
    const edges = chunk ? drawing.edges.map((place) => chunk.edges[place]) : drawing.edges;
    return {
      nodes: new Map(nodes.map(([id, label, kind, group]) => [id, { id, label, kind, group }])),
      edges: new Map(edges.map(([from, to, label, kind]) => [JSON.stringify([from, to, kind === "skip"]), { from, to, label, kind }])),
      facts: new Map(drawing.facts),
    };
  },

  // Changes from the parent's drawing: id of a node or edge -> "added", "removed" or "changed".
  changes(parent, child) {
    const found = { nodes: new Map(), edges: new Map(), facts: new Map() };
    const differ = {
      nodes: (a, b) => a.label !== b.label || a.kind !== b.kind,
      edges: (a, b) => a.label !== b.label,
      facts: (a, b) => a !== b,
    };
    for (const part of Object.keys(found)) {
      for (const [id, one] of child[part]) {
        if (!parent[part].has(id)) found[part].set(id, "added");
        else if (differ[part](parent[part].get(id), one)) found[part].set(id, "changed");
      }
      for (const id of parent[part].keys()) if (!child[part].has(id)) found[part].set(id, "removed");
    }
    return found;
  },

  // The same in words, one line each.
  words(parent, child, changes) {
    const lines = [], name = (drawing, id) => ev.short(drawing.nodes.get(id).label, 40);
    const within = (drawing, id) => (drawing.nodes.get(id).group ? ` (${drawing.nodes.get(id).group})` : "");
    for (const [fact, what] of changes.facts) {
      lines.push([what, what === "changed" ? `${fact}: ${parent.facts.get(fact)} is now ${child.facts.get(fact)}` : `${fact}: ${(child.facts.get(fact) || parent.facts.get(fact))}`]);
    }
    for (const [id, what] of changes.nodes) {
      if (what === "changed") lines.push([what, `${name(parent, id)} became ${name(child, id)}${within(child, id)}`]);
      else lines.push([what, `${name(what === "added" ? child : parent, id)}${within(what === "added" ? child : parent, id)}`]);
    }
    const counts = { added: 0, removed: 0, changed: 0 };
    for (const [id, what] of changes.edges) {
      const drawing = what === "removed" ? parent : child, { from, to } = drawing.edges.get(id);
      counts[what] += 1;
      const fresh = (end) => ["added", "removed"].includes(changes.nodes.get(end));
      if (!fresh(from) && !fresh(to) && changes.edges.size <= 12) {
        const label = what === "changed" ? `: ${parent.edges.get(id).label} is now ${child.edges.get(id).label}` : "";
        lines.push([what, `${name(drawing, from)} → ${name(drawing, to)}${label}${within(drawing, to)}`]);
      }
    }
    if (changes.edges.size > 12) {
      for (const [what, count] of Object.entries(counts)) if (count) lines.push([what, ev.many(count, "connection")]);
    }
    return lines;
  },

  width(text) {
    if (!this.ruler) {
      this.ruler = document.createElement("canvas").getContext("2d");
      this.ruler.font = "12px system-ui, sans-serif";
    }
    return this.ruler.measureText(text).width;
  },

  // Places of all nodes and edges of some drawings, one layout per group: group -> graph.
  layout(drawings) {
    const graphs = new Map(), group = new Map();
    const labels = new Map();
    for (const drawing of drawings) for (const node of drawing.nodes.values()) {
      if (!graphs.has(node.group)) {
        graphs.set(node.group, new dagre.Graph({ multigraph: true }).setGraph({ rankdir: "TB", nodesep: 12, ranksep: 24, edgesep: 8, marginx: 6, marginy: 6 }));
      }
      const wide = Math.max(labels.get(node.id) || 0, this.width(ev.short(node.label, 44)) + 18, 30);
      labels.set(node.id, wide);
      group.set(node.id, node.group);
      graphs.get(node.group).setNode(node.id, { width: wide, height: 26 });
    }
    for (const drawing of drawings) for (const [id, edge] of drawing.edges) {
      const wide = edge.label ? this.width(edge.label) + 6 : 0;
      graphs.get(group.get(edge.from)).setEdge(edge.from, edge.to, { width: wide, height: wide ? 14 : 0, labelpos: "c" }, id);
    }
    for (const graph of graphs.values()) {
      if (graph.nodeCount() + graph.edgeCount() > 160) graph.graph().ranker = "longest-path";
      dagre.layout(graph);
    }
    return graphs;
  },

  path(points) {
    const at = points.map(({ x, y }) => [+x.toFixed(1), +y.toFixed(1)]);
    let path = `M${at[0]}`;
    for (let place = 1; place < at.length - 1; place += 1) {
      const [x, y] = at[place], [nx, ny] = at[place + 1];
      const end = place === at.length - 2 ? [nx, ny] : [(x + nx) / 2, (y + ny) / 2];
      path += `Q${[x, y]} ${end}`;
    }
    return at.length === 2 ? `${path}L${at[1]}` : path;
  },

  // The picture of one group of a drawing at the places of a layout.
  picture(graph, drawing, changes, title) {
    const { width, height } = graph.graph(), back = [], front = [], words = [];
    for (const { v, w, name } of graph.edges()) {
      const edge = drawing.edges.get(name);
      if (!edge) continue;
      const what = changes ? changes.edges.get(name) || "" : "", place = graph.edge({ v, w, name });
      const classes = ["edge", edge.kind, what].filter(Boolean).join(" ");
      const points = v === w ? this.loop(graph.node(v)) : place.points;
      back.push(ev.svg("path", { d: this.path(points), class: classes, "marker-end": `url(#${what ? "arrow-" + what : "arrow"})` }));
      if (edge.label && ev.known(place.x)) {
        words.push(ev.svg("text", { x: place.x, y: place.y + 4, class: `word ${what}` }, ev.short(edge.label, 16)));
      }
    }
    for (const id of graph.nodes()) {
      const node = drawing.nodes.get(id);
      if (!node) continue;
      const what = changes ? changes.nodes.get(id) || "" : "", { x, y, width: wide, height: high } = graph.node(id);
      const sign = { added: "+", removed: "−", changed: "≠" }[what];
      front.push(ev.svg("g", { class: `node ${node.kind} ${what}` },
        ev.svg("title", {}, ev.short(node.label, 2000) + (what ? ` (${what})` : "")),
        ev.svg("rect", { x: x - wide / 2, y: y - high / 2, width: wide, height: high, rx: ["input", "output"].includes(node.kind) ? 13 : 6 }),
        ev.svg("text", { x, y: y + 4 }, ev.short(node.label, 44)),
        sign && ev.svg("circle", { cx: x + wide / 2 - 1, cy: y - high / 2 + 1, r: 7 }),
        sign && ev.svg("text", { x: x + wide / 2 - 1, y: y - high / 2 + 5, class: "sign" }, sign)));
    }
    const natural = Math.ceil(width) || 40;
    const picture = ev.svg("svg", { class: "drawing", viewBox: `0 0 ${natural} ${Math.ceil(height) || 40}`, width: natural, role: "img", "aria-label": title },
      ev.svg("defs", {}, ["", "added", "removed", "changed"].map((what) =>
        ev.svg("marker", { id: what ? `arrow-${what}` : "arrow", class: `arrow ${what}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerUnits: "userSpaceOnUse", markerWidth: 9, markerHeight: 9, orient: "auto" },
          ev.svg("path", { d: "M0 0.5L8 4L0 7.5z" })))),
      back, front, words);
    picture.style.minWidth = `${Math.round(0.7 * natural)}px`; // smaller cannot be read: it scrolls
    return picture;
  },
  loop({ x, y, width, height }) {
    const right = x + width / 2;
    return [{ x: right, y: y - 5 }, { x: right + 22, y: y - 12 }, { x: right + 22, y: y + 12 }, { x: right, y: y + 5 }];
  },
};
