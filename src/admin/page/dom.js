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

const exact = { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
const clock = new Intl.DateTimeFormat("en-GB", exact);
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", ...exact });

/** Writes a time, in seconds since 1970, with its zone, and its date if it is not of today. */
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

const collator = new Intl.Collator("en", { numeric: true });

/** What a column sorts an item by: a number or text, null where there is none. */
const sorts = (column) => column.by ?? (column.text && !column.class?.includes("number") ? column.text : null);

/** The headings of a table; those of a sortable one are buttons: up, down, and back to the order that is given. */
function headings(columns, sort, changed) {
  const order = { column: null, down: false };
  const cells = columns.map((column) => {
    const cell = h("th", { scope: "col", class: column.class?.includes("number") ? "number" : column.class?.includes("actions") ? "actions" : null });
    if (column.unseen) cell.append(h("span", { class: "unseen" }, column.name));
    else if (!sort || !sorts(column)) cell.append(column.name);
    else cell.append(h("button", { type: "button", class: "sort", onclick: () => press(column) }, column.name));
    return cell;
  });
  const press = (column) => {
    // The most of something is what is looked for.
    const first = Boolean(column.class?.includes("number"));
    if (order.column !== column) Object.assign(order, { column, down: first });
    else if (order.down === first) order.down = !first;
    else order.column = null;
    columns.forEach((one, at) => {
      if (one === order.column) cells[at].setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else cells[at].removeAttribute("aria-sort");
    });
    changed();
  };
  const sorted = (items) => {
    if (!order.column) return items;
    const [value, way] = [sorts(order.column), order.down ? -1 : 1];
    const none = (one) => one === null || one === undefined || one === "–";
    return [...items].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (none(a) || none(b)) return none(a) - none(b);
      return way * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
    });
  };
  return { cells, sorted };
}

/** Marks a part that scrolls sideways while there is more to the right. */
export function cue(element, content) {
  const look = () => element.classList.toggle("more", element.scrollLeft + element.clientWidth < element.scrollWidth - 1);
  element.addEventListener("scroll", look, { passive: true });
  const watch = new ResizeObserver(look);
  watch.observe(element);
  watch.observe(content);
}

/**
 * A table whose rows stay while their items do, so that focus and selection stay too. A column has a `name`, and `text`
 * of an item, or `node`, which makes an element once and gets a function that returns the item as it is now, with
 * `update` for later; with `sort`, `by` is what its items are sorted by, where that is not the text. `most` rows are shown.
 */
export function table(caption, columns, { key, row, empty = "None.", dense = false, sort = false, most = Infinity }) {
  const body = h("tbody");
  const none = h("p", { class: "none" }, empty);
  let all = [];
  const { cells: head, sorted } = headings(columns, sort, () => show(all));
  const grid = h("table", { class: dense ? "dense" : null }, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, head)), body);
  const element = h("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption }, grid, none);
  cue(element, grid);
  const shown = new Map();
  const make = (item) => {
    const entry = { item, cells: [] };
    entry.element = h("tr", {}, columns.map((column) => {
      const cell = h("td", { class: column.class, "data-name": column.unseen ? null : column.name });
      const node = column.node?.(() => entry.item);
      if (node) cell.append(node);
      entry.cells.push({ cell, node, column });
      return cell;
    }));
    return entry;
  };
  const show = (given) => {
    all = given;
    const items = sorted(given).slice(0, most);
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
        // On a phone, where a row is a card, what there is not takes no room.
        cell.classList.toggle("nil", cell.textContent === "" || cell.textContent === "–");
      }
      if (body.children[place] !== entry.element) body.insertBefore(entry.element, body.children[place] ?? null);
    });
    grid.hidden = items.length === 0;
    none.hidden = items.length > 0;
  };
  show([]);
  return { element, show };
}
