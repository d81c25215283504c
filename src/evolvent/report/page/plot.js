// A plot on canvas: axes, dots, lines and bands; twenty thousand dots are drawn in a few milliseconds.
"use strict";

class Plot {
  // size: {height [px], label: a description for screen readers}
  constructor({ height, label, pick = null, tell = null, keys = null }) {
    this.height = height;
    this.base = ev.el("canvas", { "aria-hidden": "true" });
    this.top = ev.el("canvas", { "aria-hidden": "true" });
    this.tip = ev.el("div", { class: "tip", hidden: true });
    this.node = ev.el("div", { class: "plot", role: "img", "aria-label": label }, this.base, this.top, this.tip);
    this.pick = pick;
    this.tell = tell;
    this.view = null;
    this.wide = 0;
    if (pick) {
      ev.fill(this.node, { tabindex: 0, role: "group" }, []);
      this.node.addEventListener("click", (event) => this.hit(event, pick));
      this.node.addEventListener("keydown", keys);
    }
    if (tell) {
      this.node.addEventListener("pointermove", (event) => this.hover(event));
      this.node.addEventListener("pointerleave", () => this.hover(null));
    }
    new ResizeObserver(() => {
      if (this.node.clientWidth && this.node.clientWidth !== this.wide) this.draw();
    }).observe(this.node);
  }

  // view: {x, y: {low, high, label}; of x also format, log, time, whole; paint(plot, ctx), over(plot, ctx), dots, rail}
  show(view) {
    this.view = view;
    this.draw();
  }

  draw() {
    const wide = this.node.clientWidth;
    if (!this.view || !wide) return;
    this.wide = wide;
    const { x, y } = this.view, narrow = wide < 480;
    this.box = { left: narrow ? 46 : 58, right: wide - 12, top: this.view.y.label ? 30 : 10, bottom: this.height - 44 - (this.view.rail ? 16 : 0) };
    const ctx = this.prepare(this.base);
    this.colour = Object.fromEntries(["ink", "soft", "line", "dot", "blue", "orange", "green", "purple", "paper", "card"].map((name) => [name, ev.css(name)]));
    this.axes(ctx, x, y, narrow);
    this.clipped(ctx, () => this.view.paint(this, ctx));
    this.places = this.view.dots ? this.view.dots.map((dot) => [this.px(dot.x), this.py(dot.y), dot.row]) : [];
    this.redraw();
  }
  // Only what lies over the dots: selection, ancestry.
  redraw() {
    if (!this.view || !this.wide) return;
    const ctx = this.prepare(this.top);
    if (this.view.over) this.view.over(this, ctx);
  }
  prepare(canvas) {
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(this.wide * scale);
    canvas.height = Math.round(this.height * scale);
    canvas.style.height = `${this.height}px`;
    const ctx = canvas.getContext("2d");
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.font = "12px system-ui, sans-serif";
    return ctx;
  }
  clipped(ctx, paint) {
    const { left, right, top, bottom } = this.box;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left - 6, top - 6, right - left + 12, bottom - top + 12);
    ctx.clip();
    paint();
    ctx.restore();
  }

  static share({ low, high, log }, value) {
    const read = log ? Math.log : (number) => number;
    return high > low ? (read(value) - read(low)) / (read(high) - read(low)) : 0.5;
  }
  px(value) { return this.box.left + Plot.share(this.view.x, value) * (this.box.right - this.box.left); }
  py(value) {
    const y = this.box.bottom - Plot.share(this.view.y, value) * (this.box.bottom - this.box.top);
    return Math.min(Math.max(y, this.box.top - 4), this.box.bottom + 2);
  }

  axes(ctx, x, y, narrow) {
    const { left, right, top, bottom } = this.box;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    ctx.lineWidth = 1;
    const ups = Plot.ticks(y, Math.max(2, Math.floor((bottom - top) / 44)));
    const format = Plot.decimals(ups.length > 1 ? ups[1] - ups[0] : y.high - y.low);
    for (const tick of ups) {
      const at = Math.round(this.py(tick)) + 0.5;
      ctx.strokeStyle = this.colour.line;
      ctx.beginPath(); ctx.moveTo(left, at); ctx.lineTo(right, at); ctx.stroke();
      ctx.fillStyle = this.colour.soft;
      ctx.fillText(format(tick), left - 8, at);
    }
    ctx.textAlign = "center";
    const floor = this.height - 44;
    for (const tick of Plot.ticks(x, Math.max(2, Math.floor((right - left) / (narrow ? 80 : 110))))) {
      const at = Math.round(this.px(tick)) + 0.5;
      ctx.strokeStyle = this.colour.line;
      ctx.beginPath(); ctx.moveTo(at, floor); ctx.lineTo(at, floor + 4); ctx.stroke();
      ctx.fillStyle = this.colour.soft;
      const half = ctx.measureText(x.format(tick)).width / 2;
      ctx.fillText(x.format(tick), Math.min(Math.max(at, half), this.wide - half), floor + 14);
    }
    ctx.fillText(x.label, (left + right) / 2, floor + 33);
    ctx.textAlign = "left";
    if (y.label) ctx.fillText(y.label, 0, 9);
    ctx.strokeStyle = this.colour.soft;
    ctx.beginPath(); ctx.moveTo(left, floor + 0.5); ctx.lineTo(right, floor + 0.5); ctx.stroke();
    ctx.textAlign = "left";
  }

  static step(span, most, sizes = [1, 2, 5, 10]) {
    const power = 10 ** Math.floor(Math.log10(span / most));
    return power * (sizes.find((size) => power * size >= (span / most) * (1 - 1e-9)) || 10);
  }
  static ticks({ low, high, log, time, whole }, most) {
    if (!(high > low)) return [low];
    if (log) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        for (const size of [1, 2, 5]) found.push(size * 10 ** power);
      }
      const inside = found.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
      const pick = Math.ceil(inside.length / most);
      return inside.length > 1 ? inside.filter((_, place) => place % pick === 0) : [low, high];
    }
    let step = Plot.step(high - low, most);
    if (time && high - low > 90) {
      step = [10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400, 604800].find((size) => (high - low) / size <= most) || step;
    }
    if (whole) step = Math.max(1, step);
    const found = [];
    for (let tick = Math.ceil(low / step - 1e-9); tick <= high / step + 1e-9; tick += 1) found.push(+(tick * step).toPrecision(12));
    return found;
  }
  // The number format for ticks at this distance.
  static decimals(step) {
    const digits = Math.min(6, Math.max(0, -Math.floor(Math.log10(step || 1) + 1e-9)));
    return (value) => (step >= 1000 ? ev.number(value) : value.toFixed(digits));
  }

  line(ctx, points, { colour, width = 2, dash = [], stairs = false }) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.lineJoin = "round";
    ctx.setLineDash(dash);
    ctx.beginPath();
    points.forEach(([x, y], place) => {
      const at = this.px(x), up = this.py(y);
      if (!place) ctx.moveTo(at, up);
      else {
        if (stairs) ctx.lineTo(at, this.py(points[place - 1][1]));
        ctx.lineTo(at, up);
      }
    });
    ctx.stroke();
    ctx.setLineDash([]);
  }
  band(ctx, points, colour) {
    ctx.fillStyle = colour;
    ctx.globalAlpha = 0.18;
    ctx.beginPath();
    points.forEach(([x, low], place) => ctx[place ? "lineTo" : "moveTo"](this.px(x), this.py(low)));
    [...points].reverse().forEach(([x, , high]) => ctx.lineTo(this.px(x), this.py(high)));
    ctx.fill();
    ctx.globalAlpha = 1;
  }
  // Dots of one colour: an image of one, put everywhere.
  scatter(ctx, dots, { colour, radius, alpha = 0.6 }) {
    const scale = devicePixelRatio || 1, edge = Math.ceil(2 * radius + 2), stamp = document.createElement("canvas");
    stamp.width = stamp.height = edge * scale;
    const ink = stamp.getContext("2d");
    ink.scale(scale, scale);
    ink.fillStyle = colour;
    ink.beginPath();
    ink.arc(edge / 2, edge / 2, radius, 0, 7);
    ink.fill();
    ctx.globalAlpha = alpha;
    for (const { x, y } of dots) ctx.drawImage(stamp, this.px(x) - edge / 2, this.py(y) - edge / 2, edge, edge);
    ctx.globalAlpha = 1;
  }
  ring(ctx, x, y, radius, colour, width = 2.5) {
    ctx.beginPath();
    ctx.arc(x, y, radius, 0, 7);
    ctx.lineWidth = width + 2;
    ctx.strokeStyle = this.colour.card;
    ctx.stroke();
    ctx.lineWidth = width;
    ctx.strokeStyle = colour;
    ctx.stroke();
  }

  // The row of the dot nearest to a pointer, within reach.
  nearest(event) {
    const frame = this.node.getBoundingClientRect(), x = event.clientX - frame.left, y = event.clientY - frame.top;
    let found = null, least = event.pointerType === "touch" || this.places.length < 60 ? 900 : 400;
    for (const place of this.places) {
      const apart = (place[0] - x) ** 2 + (place[1] - y) ** 2;
      if (apart < least) { least = apart; found = place; }
    }
    return found;
  }
  hit(event, act) {
    const found = this.nearest(event);
    if (found) act(found[2]);
  }
  hover(event) {
    const found = event && this.nearest(event);
    this.tip.hidden = !found;
    this.node.classList.toggle("over", Boolean(found));
    if (!found) return;
    const [head, ...lines] = this.tell(found[2]);
    ev.replace(this.tip, ev.el("b", {}, head), lines.map((line) => ev.el("div", {}, line)));
    const wide = this.tip.offsetWidth, high = this.tip.offsetHeight;
    this.tip.style.left = `${Math.max(0, Math.min(found[0] + 12, this.wide - wide - 4))}px`;
    this.tip.style.top = `${found[1] + high + 20 > this.height ? Math.max(0, found[1] - high - 12) : found[1] + 12}px`;
  }
}
