// Settings: the log level, limits, memory by part, the configuration.

import { action, announce, change, confirm, where } from "./act.js";
import { ask, get, has } from "./api.js";
import { ago, bytes, card, h, look, say, span, table, words } from "./dom.js";
import { problem, repeat } from "./views.js";

export function settings() {
  const error = problem();
  const level = log_level();
  let looking = null;
  const bounds = limits(() => looking?.now());
  const parts = table("Memory by part", [
    { name: "Part", text: ([part]) => words(part) },
    { name: "Held", class: "number", text: ([, held]) => bytes(held) },
  ], { key: ([part]) => part });
  const keys = table("Configuration", [
    { name: "Key", class: "mono", text: ([key]) => key },
    { name: "Value", class: "wrap mono", text: ([, value]) => value.value ?? "–" },
    { name: "Default", class: "wrap mono note", text: ([, value]) => (value.value === value.default ? "as here" : value.default ?? "–") },
    { name: "Changes", text: ([, value]) => (value.live ? "live" : "at a restart") },
  ], { key: ([key]) => key });
  let all = [];
  const search = h("input", { type: "search", placeholder: "Search keys", "aria-label": "Search keys", oninput: () => draw() });
  const draw = () => keys.show(all.filter(([key]) => key.includes(search.value.trim())));
  const load = async () => {
    const [config, memory] = await Promise.all([get("/api/v1/config"), get("/api/v1/memory"), level.load(), bounds.load()]);
    all = Object.entries(config);
    draw();
    parts.show(Object.entries(memory.parts).sort(([, one], [, other]) => other - one));
  };
  const element = h("div", { class: "grid" }, error, level.element, bounds.element, card("Memory by part", "w4 top", null, parts.element), card("Configuration", "w8", search, keys.element));
  return { title: "Settings", element, start: () => (looking = repeat(error, load)) };
}

function log_level() {
  const now = h("code");
  const load = async () => say(now, (await get("/api/v1/log-level")).level);
  const change = async () => {
    await confirm({
      title: "Change the log level?",
      what: "It lasts until the next change or start. debug and trace cost time and write much.",
      button: "Change",
      fields: { level: { label: "Level, or target=level with commas between", value: now.textContent, required: true } },
      run: async ({ level }) => {
        say(now, (await ask("PUT", "/api/v1/log-level", { level })).level);
        announce(`The log level is ${now.textContent}.`);
        return true;
      },
    });
  };
  const element = card("Log level", "", action("Change…", {}, change), h("p", {}, "In force: ", now));
  return { element, load };
}

const LIMITS = "/api/v1/limits";

/** Limits that can be changed at run time; hidden where the gateway has no such. */
function limits(changed) {
  const set = async (values, given) => {
    const { for: time, reason } = given;
    await change("PATCH", LIMITS, { values, ...(time && { for: time }), ...(reason && { reason }) }, given);
    return true;
  };
  const edit = (row) => confirm({
    title: `Change ${row.key}?`,
    what: [`It is ${row.value || "empty"}; configured is ${row.configured || "nothing"}. Written as in the configuration, lists with commas between.`, "It holds until its time is over, until it is taken back, until the configuration changes this key, or until the gateway stops."],
    button: "Change",
    fields: {
      value: { label: "Value", value: row.value },
      for: { label: "For how long (empty: until it is taken back)", hint: "10m, 2h" },
      reason: { label: "Reason, for other operators" },
      ...where(),
    },
    run: ({ value, ...given }) => set({ [row.key]: value }, given),
  }).then((done) => done && (announce(`${row.key} is changed.`), changed()));
  const undo = (row) => confirm({
    title: `Take the change of ${row.key} back?`,
    what: `It is ${row.configured || "empty"} again, as configured.`,
    button: "Take it back",
    fields: where(),
    run: (given) => set({ [row.key]: null }, given),
  }).then((done) => done && changed());
  const reset = action("All as configured…", { hidden: true }, () => confirm({
    title: "All limits as configured?",
    what: "Every change at run time is taken back.",
    button: "As configured",
    fields: where(),
    run: (given) => change("DELETE", LIMITS, undefined, given).then(() => true),
  }).then((done) => done && changed()));
  const rows = table("Limits", [
    { name: "Limit", class: "mono", text: (row) => row.key },
    { name: "In force", class: "wrap mono", node: () => h("span"), update: (node, row) => { look(node, row.change ? "odd-text" : ""); say(node, row.value || "–"); } },
    { name: "Configured", class: "wrap mono note", text: (row) => (row.change ? row.configured || "–" : "the same") },
    { name: "Changed", class: "wrap note", text: ({ change }) => (change ? `by ${change.by}, ${ago(change.since_seconds)}${change.remaining_seconds === null ? "" : `, for ${span(change.remaining_seconds)} more`}${change.reason ? `: ${change.reason}` : ""}` : "") },
    {
      name: "Actions", class: "actions", unseen: true,
      node: (item) => h("span", {}, action("Change…", {}, () => edit(item())), " ", action("Take back", {}, () => undo(item()))),
      update: (node, row) => {
        const [first, second] = node.children;
        first.setAttribute("aria-label", `Change ${row.key}`);
        second.setAttribute("aria-label", `Take the change of ${row.key} back`);
        second.hidden = !row.change;
      },
    },
  ], { key: (row) => row.key });
  const element = card("Limits", "", reset, rows.element);
  element.hidden = true;
  const load = async () => {
    if (!(await has(`GET ${LIMITS}`))) return;
    const all = Object.entries((await get(LIMITS)).limits).map(([key, limit]) => ({ key, ...limit }));
    rows.show(all);
    reset.hidden = all.every((row) => !row.change);
    element.hidden = false;
  };
  return { element, load };
}
