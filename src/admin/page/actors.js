// The actors: each worker's thread, who is busy, who supervises whom, what each kind does; and restarts by hand.

import { action, announce, confirm } from "./act.js";
import { ask, get } from "./api.js";
import { bar_column, card, count, h, look, say, segments, short, span, table, time, words } from "./dom.js";
import { problem, repeat } from "./views.js";

/** Share of a thread, in percent, from which on it is busy, and from which on it is too busy. */
const BUSY = [50, 80];
/** Microseconds of an event loop's lag from which on players notice it. */
const LATE = 50_000;
/** Messages that wait from which on an actor is behind. */
const BEHIND = 1_000;
/** Rows of times by type of message, those that have taken the most first. */
const HANDLERS = 15;

/** Writes the tree as a terminal does: each actor with the lines before its name. */
function lines(node, before = "", mark = "") {
  const inner = before + (mark === "├─ " ? "│  " : mark === "└─ " ? "   " : "");
  const children = node.children.flatMap((child, place) =>
    lines(child, inner, place === node.children.length - 1 ? "└─ " : "├─ "));
  return [{ ...node, branch: before + mark }, ...children];
}

const a_second = (rate) => (rate > 0 && rate < 10 ? rate.toFixed(1) : short(Math.round(rate)));

/** A column that is coloured where its value is too much. */
const warned = (name, read, much, write = count, tone = "odd-text") => ({
  name, class: "number", node: () => h("span"),
  update: (node, row) => {
    look(node, read(row) >= much ? tone : "");
    say(node, write(read(row)));
  },
});

const BUSY_COLUMN = bar_column("Busy",
  ({ busy_percent: busy }) => [busy / 100, busy >= BUSY[1] ? "lost" : busy >= BUSY[0] ? "odd" : ""],
  ({ busy_percent: busy }) => `${busy.toFixed(1)}%`);
const RATE_COLUMN = { name: "Messages/s", class: "number", text: (row) => a_second(row.messages_per_second) };

function workers() {
  const rows = table("Workers", [
    { name: "Worker", text: (row) => row.worker },
    { name: "Clients", class: "number", text: (row) => count(row.clients) },
    RATE_COLUMN,
    BUSY_COLUMN,
    warned("Lag p99", (row) => row.loop_lag?.p99_us, LATE, time),
  ], { key: (row) => row.worker });
  return { element: card("Workers", "w5 top", "each has a thread", rows.element), show: rows.show };
}

function busiest(again) {
  let by = "time";
  const rows = table("Busiest actors", [
    { name: "Actor", class: "mono", text: (row) => row.id ?? "clients" },
    { name: "For", class: "wrap", text: (row) => row.name || "–" },
    { name: "Worker", class: "number", text: (row) => row.worker ?? "–" },
    RATE_COLUMN,
    BUSY_COLUMN,
    warned("Waiting", (row) => row.waiting, BEHIND),
  ], { key: (row) => row.id ?? `clients ${row.worker}`, empty: "Nobody is busy." });
  const choice = segments("By", [["time", "Time"], ["messages", "Messages"], ["waiting", "Waiting"]], by, (value) => {
    by = value;
    again();
  });
  const load = async () => rows.show((await get(`/api/v1/actors/busiest?limit=8&by=${by}`)).busiest);
  return { element: card("Busiest", "w7", choice, rows.element), load };
}

function tree(restart) {
  let refused = {};
  const rows = table("Tree of actors", [
    { name: "Actor", node: () => h("span", {}, h("span", { class: "tree" }), h("span", { class: "mono" })), update: (node, row) => { say(node.firstChild, row.branch); say(node.lastChild, row.id); } },
    { name: "For", class: "wrap mono", text: (row) => row.name || "–" },
    { name: "State", node: () => h("span"), update: (node, row) => { look(node, `dot ${row.state === "running" ? "good" : "odd"}`); say(node, words(row.state)); } },
    { name: "Up", class: "number", text: (row) => span(row.uptime_seconds) },
    warned("Restarts", (row) => row.restarts, 1),
    { name: "By hand", class: "number", text: (row) => count(row.restarts_by_hand) },
    { name: "Handled", class: "number", text: (row) => short(row.handled) },
    RATE_COLUMN,
    BUSY_COLUMN,
    warned("Waiting", (row) => row.waiting, BEHIND),
    { name: "Clients", class: "number", text: (row) => (row.clients === null ? "–" : count(row.clients)) },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("Restart", { class: "danger" }, () => restart(item())), update: (node, row) => { node.hidden = refused[row.kind] !== null; node.setAttribute("aria-label", `Restart ${row.id}`); } },
  ], { key: (row) => row.id, dense: true });
  const show = (answer) => {
    refused = Object.fromEntries(answer.kinds.map((kind) => [kind.kind, kind.restart_refused]));
    rows.show(answer.tree ? lines(answer.tree) : []);
  };
  return { element: card("Tree", "", "who supervises whom", rows.element), show };
}

function kinds() {
  const rows = table("Kinds of actors", [
    { name: "Kind", text: (row) => words(row.kind) },
    { name: "Live", class: "number", text: (row) => count(row.live) },
    { name: "Started", class: "number", text: (row) => count(row.started) },
    warned("Restarts", (row) => row.restarts, 1),
    warned("Panics", (row) => row.panics, 1, count, "bad-text"),
    { name: "Handled", class: "number", text: (row) => short(row.handled) },
    RATE_COLUMN,
    BUSY_COLUMN,
    warned("Waiting", (row) => row.waiting, BEHIND),
    { name: "Highest of late", class: "number", text: (row) => count(row.waiting_highest_recent) },
    { name: "Highest", class: "number", text: (row) => count(row.waiting_highest) },
    { name: "Newest panic", class: "wrap note", text: ({ last_error }) => (last_error ? `${last_error.message}${last_error.place ? ` (${last_error.place})` : ""}` : "") },
  ], { key: (row) => row.kind });
  return { element: card("Kinds", "", null, rows.element), show: (answer) => rows.show(answer.kinds) };
}

function handlers() {
  const rows = table("Time by type of message", [
    { name: "Kind", text: (row) => words(row.kind) },
    { name: "Message", class: "mono", text: (row) => row.message },
    { name: "Handled", class: "number", text: (row) => short(row.handled) },
    { name: "Time", class: "number", text: (row) => time(row.busy_seconds * 1e6) },
    { name: "Mean", class: "number", text: (row) => time(Math.round(row.mean_us)) },
    { name: "p50", class: "number", text: (row) => time(row.recent?.p50_us) },
    { name: "p99", class: "number", text: (row) => time(row.recent?.p99_us) },
    warned("Longest of late", (row) => row.recent?.max_us, LATE, time),
  ], { key: (row) => `${row.kind} ${row.message}`, empty: "Nothing was handled yet." });
  const show = (answer) => {
    const all = answer.kinds.flatMap((kind) => kind.handlers.map((row) => ({ ...row, kind: kind.kind })));
    rows.show(all.sort((one, other) => other.busy_seconds - one.busy_seconds).slice(0, HANDLERS));
  };
  return { element: card("Time by type of message", "", "since the start; percentiles of the last minute or two", rows.element), show };
}

export function actors() {
  const error = problem();
  let looking = null;
  const restart = async (row) => {
    const done = await confirm({
      title: `Restart ${row.id}?`,
      what: `It handles what was sent to it, then its supervisor starts the next one${row.name ? `, for ${row.name}` : ""}. Nothing is lost by it.`,
      button: "Restart",
      danger: true,
      run: () => ask("POST", `/api/v1/actors/${encodeURIComponent(row.id)}/restart`),
    });
    if (!done) return;
    announce(`${row.id} was restarted.`);
    looking?.now();
  };
  const parts = [tree(restart), kinds(), handlers()];
  const [threads, busy] = [workers(), busiest(() => looking?.now())];
  const element = h("div", { class: "grid" }, error, threads.element, busy.element, parts.map((part) => part.element));
  const load = async () => {
    const [answer] = await Promise.all([get("/api/v1/actors"), busy.load()]);
    threads.show(answer.workers);
    parts.forEach((part) => part.show(answer));
  };
  return { title: "Actors", element, start: () => (looking = repeat(error, load)) };
}
