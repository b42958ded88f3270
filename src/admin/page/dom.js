// Elements, and how figures are written. Whatever comes from outside becomes text, never markup.

/** Makes an element. `on…` of the properties are listeners; children are elements or texts, empty ones are left out. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets an element's text, if it is another one: nothing is announced or selected anew for nothing. */
export function say(element, text) {
  const words = String(text);
  if (element.textContent !== words) element.textContent = words;
}

/** Sets an element's class, if it is another one. */
export function look(element, name) {
  if (element.className !== name) element.className = name;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => (n === null || n === undefined ? "–" : whole.format(n));

/** Writes a number with three digits at most: 1,234 stays, 12,345 is 12.3 k. */
export function short(n) {
  if (n === null || n === undefined) return "–";
  if (n < 10_000) return whole.format(n);
  const steps = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [size, unit] = steps.find(([size]) => n >= size);
  return `${digits(n / size)} ${unit}`;
}

const digits = (n) => (n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) [n, unit] = [n / 1024, unit + 1];
  return `${unit === 0 ? whole.format(n) : digits(n)} ${units[unit]}`;
}

/** Writes microseconds. */
export function time(us) {
  if (us === null || us === undefined) return "–";
  if (us < 1000) return `${whole.format(us)} µs`;
  if (us < 1e6) return `${digits(us / 1000)} ms`;
  return `${digits(us / 1e6)} s`;
}

/** Writes seconds, by their two largest units. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.max(0, Math.round(seconds));
  const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = parts.findIndex(([size]) => s >= size);
  if (first < 0) return "0 s";
  const [size, unit] = parts[first];
  const rest = parts[first + 1];
  const more = rest && Math.floor((s % size) / rest[0]);
  return `${Math.floor(s / size)} ${unit}${more ? ` ${more} ${rest[1]}` : ""}`;
}

export const ago = (seconds) => `${span(Date.now() / 1000 - seconds)} ago`;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** Writes a time, in seconds since 1970, with its date if it is not of today. */
export function at(seconds) {
  if (!seconds) return "–";
  const date = new Date(seconds * 1000);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

export const words = (name) => String(name).replaceAll("_", " ");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** A card with a heading. `note` is an element or text beside it. */
export function card(title, width, note, ...content) {
  const id = `h-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  const side = typeof note === "string" ? h("span", { class: "note" }, note) : note;
  return h("section", { class: `card ${width ?? ""}`.trim(), "aria-labelledby": id },
    h("div", { class: "head" }, h("h2", { id }, title), side), ...content);
}

/** Fills a list of facts; `pairs` are names with texts or elements. */
export function facts(list, pairs) {
  const nodes = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  list.replaceChildren(...nodes);
  return list;
}

/** A row of buttons of which one is pressed. */
export function segments(label, choices, chosen, change) {
  const buttons = choices.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => {
      buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(choices[at][0] === value)));
      change(value);
    } }, text));
  return h("div", { class: "segments", role: "group", "aria-label": label }, buttons);
}

/** A bar of parts, each a share from 0 to 1 with a class. */
export function meter(label, tall = false) {
  const element = h("div", { class: tall ? "meter tall" : "meter", role: "img", "aria-label": label });
  const show = (parts, text) => {
    while (element.children.length < parts.length) element.append(h("i"));
    parts.forEach(([share, name], at) => {
      look(element.children[at], name ?? "");
      element.children[at].style.width = `${Math.min(1, Math.max(0, share || 0)) * 100}%`;
    });
    if (text) element.setAttribute("aria-label", `${label}: ${text}`);
  };
  return { element, show };
}

/** A column of a table with a bar and a figure. `share` of an item is a number from 0 to 1, or that with a class. */
export function bar_column(name, share, write) {
  const bars = new WeakMap();
  const node = () => {
    const [bar, figure] = [meter(name), h("span")];
    bar.element.setAttribute("aria-hidden", "true");
    const element = h("span", {}, bar.element, figure);
    bars.set(element, bar);
    return element;
  };
  const update = (element, item) => {
    bars.get(element).show([[share(item)].flat()]);
    say(element.lastChild, write(item));
  };
  return { name, class: "bar", node, update };
}

/**
 * A table whose rows stay while their items do, so that focus and selection stay too. A column has a `name`, and `text`
 * of an item, or `node`, which makes an element once and gets a function that returns the item as it is now, with
 * `update` for later.
 */
export function table(caption, columns, { key, row, empty = "None.", dense = false }) {
  const body = h("tbody");
  const none = h("p", { class: "none" }, empty);
  const head = columns.map((column) => h("th", { scope: "col", class: column.class?.includes("number") ? "number" : null },
    column.unseen ? h("span", { class: "unseen" }, column.name) : column.name));
  const grid = h("table", { class: dense ? "dense" : null }, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, head)), body);
  const element = h("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption }, grid, none);
  const shown = new Map();
  const make = (item) => {
    const entry = { item, cells: [] };
    entry.element = h("tr", {}, columns.map((column) => {
      const cell = h("td", { class: column.class });
      const node = column.node?.(() => entry.item);
      if (node) cell.append(node);
      entry.cells.push({ cell, node, column });
      return cell;
    }));
    return entry;
  };
  const show = (items) => {
    const keys = new Set(items.map(key));
    for (const [name, entry] of shown) {
      if (keys.has(name)) continue;
      entry.element.remove();
      shown.delete(name);
    }
    items.forEach((item, place) => {
      const name = key(item);
      if (!shown.has(name)) shown.set(name, make(item));
      const entry = shown.get(name);
      entry.item = item;
      look(entry.element, row?.(item) ?? "");
      for (const { cell, node, column } of entry.cells) {
        if (column.text) say(cell, column.text(item));
        else column.update?.(node, item);
      }
      if (body.children[place] !== entry.element) body.insertBefore(entry.element, body.children[place] ?? null);
    });
    grid.hidden = items.length === 0;
    none.hidden = items.length > 0;
  };
  show([]);
  return { element, show };
}
