// Shared helpers of the page: elements (text is text, never markup), numbers with units, theme.
"use strict";
const ev = {};

ev.fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};
ev.el = (tag, attributes = {}, ...children) => ev.fill(document.createElement(tag), attributes, children);
ev.svg = (tag, attributes = {}, ...children) =>
  ev.fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
ev.replace = (node, ...children) => node.replaceChildren(...children.flat(Infinity).filter(Boolean));

ev.known = (value) => typeof value === "number" && Number.isFinite(value);
ev.score = (value) => (ev.known(value) ? (Math.abs(value) >= 1000 ? ev.number(value) : value.toFixed(4)) : "none");
ev.count = (value) => (ev.known(value) ? Math.round(value).toLocaleString("en-US") : "unknown");
ev.number = (value) => {
  if (!ev.known(value)) return "unknown";
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (size >= unit) return +(value / unit).toPrecision(3) + letter;
  }
  return String(+value.toPrecision(3));
};
ev.seconds = (value) => {
  if (!ev.known(value)) return "unknown";
  if (value < 0.1) return `${+(1000 * value).toPrecision(2)} ms`;
  if (value < 100) return `${value.toFixed(1)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};
ev.short = (text, most = 60) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
ev.many = (count, word) => `${ev.count(count)} ${word}${count === 1 ? "" : "s"}`;

ev.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
ev.dark = () => {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
ev.themeButton = (changed) => {
  const name = () => (ev.dark() ? "Light" : "Dark");
  const button = ev.el("button", { class: "quiet", type: "button", id: "theme" }, name());
  const update = () => { button.textContent = name(); changed(); };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = ev.dark() ? "light" : "dark";
    update();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
  return button;
};
ev.panel = (id, title, ...children) =>
  ev.el("section", { class: "panel", id, "aria-label": title }, ev.el("h2", {}, title), ...children);
ev.data = () => JSON.parse(document.getElementById("data").textContent);
