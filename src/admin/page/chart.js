// Small charts of the last minutes.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
/** The points of a whole chart: five minutes, one a second. */
export const POINTS = 300;
const WIDTH = 300;
const HEIGHT = 60;
/** How much higher than its highest value a chart is. */
const HEADROOM = 1.12;

function shape(name, properties, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/**
 * Makes a chart. A line has `read`, which takes its value of a point or null, a `name`, and the number of its colour; with
 * `least`, the chart is at least that high. `write` writes a value.
 */
export function chart(label, lines, write) {
  const paths = lines.map(({ colour }) => shape("path", { class: `c${colour}` }));
  const area = shape("path", { class: `area c${lines[0].colour}` });
  const cursor = shape("line", { class: "cursor", y1: 0, y2: HEIGHT });
  const image = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }), area,
    shape("g", { class: "lines" }, ...paths), cursor);
  const read = h("output", { "aria-hidden": "true" });
  const top = h("span");
  const element = h("figure", { class: "chart", role: "img", "aria-label": label }, image, read);
  const ends = h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, "5 min ago"), top, h("span", {}, "now"));
  let points = [];

  const draw = (all) => {
    points = all.slice(-POINTS);
    const values = lines.map((line) => points.map(line.read));
    const highest = Math.max(0, ...values.flat().filter((value) => value !== null));
    const most = Math.max(1, highest, ...lines.map(({ least }) => least ?? 0));
    const first = POINTS - points.length;
    const x = (place) => ((first + place) / (POINTS - 1)) * WIDTH;
    const y = (value) => HEIGHT - (value / (most * HEADROOM)) * HEIGHT;
    values.forEach((line, at) => {
      // What was not measured is passed over: a line, not fragments of one.
      const known = line.map((value, place) => [value, place]).filter(([value]) => value !== null);
      const path = known.map(([value, place], first) => `${first ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      paths[at].setAttribute("d", known.length === 1 ? `${path}h1` : path);
    });
    const whole = values[0].length > 1 && values[0].every((value) => value !== null);
    const line = values[0].map((value, place) => `L${x(place).toFixed(1)} ${y(value ?? 0).toFixed(1)}`).join("");
    area.setAttribute("d", whole ? `M${x(0)} ${HEIGHT}${line}L${WIDTH} ${HEIGHT}Z` : "");
    top.textContent = `highest ${write(highest)}`;
    const now = points.at(-1);
    element.setAttribute("aria-label", now
      ? `${label}, now ${lines.map((line) => `${line.name} ${write(line.read(now))}`).join(", ")}`
      : label);
  };
  const point = (event) => {
    const box = image.getBoundingClientRect();
    const place = Math.round(((event.clientX - box.left) / box.width) * (POINTS - 1)) - (POINTS - points.length);
    const there = points[place];
    cursor.style.visibility = there ? "visible" : "hidden";
    if (!there) return leave();
    const across = ((POINTS - points.length + place) / (POINTS - 1)) * WIDTH;
    cursor.setAttribute("x1", across);
    cursor.setAttribute("x2", across);
    const when = new Date(there.at_ms).toLocaleTimeString("en-GB");
    read.textContent = `${when}  ${lines.map((line) => write(line.read(there))).join(" / ")}`;
  };
  const leave = () => {
    cursor.style.visibility = "hidden";
    read.textContent = "";
  };
  element.addEventListener("pointermove", point);
  element.addEventListener("pointerleave", leave);
  return { element, ends, draw };
}

/** The colours of a chart's lines and what they stand for. */
export function legend(lines) {
  return lines.map(({ name, colour }) => h("span", { class: `key k${colour}` }, h("i", { "aria-hidden": "true" }), name));
}
