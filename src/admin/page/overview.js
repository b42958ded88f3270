// The first view: is all well, and what is going on.

import { backend_state, action, caller, undo_drain } from "./act.js";
import { get } from "./api.js";
import { chart, legend } from "./chart.js";
import { ago, bytes, card, count, facts, h, look, meter, plural, say, segments, short, span, table, time, words } from "./dom.js";
import { LATE, is_slow, verdict } from "./verdict.js";

const HEALTH = { up: "good", suspect: "odd", leaving: "odd", down: "bad", unknown: "hollow" };

/** Errors a second that do not fill their chart. */
const FEW = 10;
/** Milliseconds between two looks at the other gateways. */
const OTHERS = 10_000;

export function overview() {
  const [first, below] = [[verdict(), draining(), ...figures()], [talkers(), errors(), rules(), refusals()]];
  const [left, right] = [backends(), [workers(), resources()]];
  const column = h("div", { class: "column w4" }, right.map((part) => part.element));
  const element = h("div", { class: "grid" }, first.map((part) => part.element), left.element, column, below.map((part) => part.element));
  const parts = [...first, left, ...right, ...below];
  let [gateways, newest, timer] = [null, null, null];
  const show = (now) => {
    newest = now;
    parts.forEach((part) => part.show({ ...now, gateways }));
  };
  // Live events are of this gateway alone.
  const ask = async () => {
    await caller.known;
    if (!caller.deployment || timer === "stopped") return;
    gateways = (await get("/api/v1/gateways").catch(() => null))?.gateways ?? gateways;
    if (timer === "stopped") return;
    timer = setTimeout(ask, OTHERS);
    if (newest) show(newest);
  };
  const start = () => {
    ask();
    return { stop: () => { clearTimeout(timer); timer = "stopped"; } };
  };
  return { title: "Overview", element, show, start };
}

function draining() {
  const bar = meter("Drain", true);
  const [left, clock] = [h("p"), h("span", { class: "note" })];
  const list = facts(h("dl", { class: "facts" }), []);
  const undo = action("Undo", {}, undo_drain);
  const element = card("Drain", "", clock, h("div", { class: "stack" }, bar.element, left, list, h("div", {}, undo)));
  const show = ({ drain }) => {
    element.hidden = !drain || drain.state === "serving";
    if (element.hidden) return;
    const began = Math.max(1, drain.connections_at_begin ?? drain.connections);
    const gone = Math.max(0, began - drain.connections - drain.cut_off);
    bar.show([[gone / began, "done"], [drain.cut_off / began, "lost"]], `${gone} of ${began} have gone, ${drain.cut_off} were cut off`);
    say(clock, drain.remaining_seconds === null ? words(drain.state) : `${words(drain.state)}, ${span(drain.remaining_seconds)} of ${drain.window} remain`);
    const here = drain.connections === 0 ? "Nobody is connected any more" : `${plural(drain.connections, "connection is", "connections are")} still here`;
    say(left, `${here}. Of ${count(began)} at the beginning ${count(gone)} went in time, ${count(drain.cut_off)} ${drain.cut_off === 1 ? "was" : "were"} cut off; ${plural(drain.moved, "session has", "sessions have")} moved to other gateways.`);
    look(left, drain.cut_off ? "bad-text" : "");
    const who = drain.remaining;
    const some = (n, why) => (n ? `${count(n)}: ${why}` : null);
    facts(list, who ? [
      ["Can resume", some(who.resumable, "they have been asked to move")],
      ["Cannot resume", some(who.plain, "they stay until they leave or the window ends")],
      ["HTTP", some(who.http, "they end behind the request under way")],
      ["Newcomers", some(who.newcomers, "they are being refused")],
      ["Disconnected", some(drain.suspended, "sessions that wait for their player to come back")],
      ["Begun", `by ${drain.by === "signal" ? "a signal; it cannot be undone" : drain.asked_by ?? "the admin API"}, ${ago(drain.began_seconds)}`],
      ["Reason", drain.reason],
    ] : []);
    undo.hidden = drain.by === "signal";
  };
  return { element, show };
}

/** A figure with a chart. */
function figure(title, unit, lines, write, read, under) {
  const [number, below] = [h("span"), h("div", { class: "under" })];
  const drawn = chart(title, lines, write);
  const key = lines.length > 1 ? h("span", { class: "note" }, legend(lines)) : null;
  const element = card(title, "w3 figure", key, h("div", { class: "big" }, number, h("small", {}, unit)), below, drawn.element, drawn.ends);
  const show = (now) => {
    if (now.traffic) say(number, read(now.traffic, now.points));
    say(below, under(now) ?? "");
    drawn.draw(now.points);
  };
  return { element, show };
}

/** The newest point of the charts in whose ten seconds a frame was timed: one frame in 1,024 is. */
const sampled = (points) => points.findLast((point) => point.frame_p99_us !== null);

function timed(traffic, point) {
  if (!point) return "no frame was timed in five minutes";
  const age = Math.round((traffic.at_ms - point.at_ms) / 1000);
  return age > 0 ? `timed ${span(age)} ago; few frames, few samples` : `half within ${time(traffic.frame_p50_us)}`;
}

function figures() {
  const read = (name) => (point) => point[name];
  return [
    figure("Players", "sessions", [{ name: "sessions", colour: 0, read: read("sessions") }], count,
      (point) => count(point.sessions),
      ({ gateway, traffic }) => gateway && `${count(gateway.connections)} of ${count(gateway.limit)} connections${gateway.suspended ? `, ${count(gateway.suspended)} wait for their player` : ""}${traffic?.started_per_second ? `, +${count(traffic.started_per_second)}/s` : ""}`),
    figure("Messages", "a second", [
      { name: "in", colour: 0, read: read("frames_in_per_second") },
      { name: "out", colour: 1, read: read("frames_out_per_second") },
    ], short, (point) => short(point.frames_in_per_second + point.frames_out_per_second),
      ({ traffic }) => traffic && `${bytes(traffic.bytes_in_per_second)}/s in, ${bytes(traffic.bytes_out_per_second)}/s out`),
    figure("Time in the gateway", "p99", [
      { name: "p99", colour: 0, read: read("frame_p99_us") },
      { name: "p50", colour: 3, read: read("frame_p50_us") },
    ], time, (_, points) => time(sampled(points)?.frame_p99_us),
      ({ traffic, points }) => traffic && timed(traffic, sampled(points)) + (traffic.first_answer_p99_us ? `; first answers ${time(traffic.first_answer_p99_us)}` : "")),
    figure("Errors", "a second", [{ name: "errors", colour: 2, read: read("errors_per_second"), least: FEW }], short,
      (point) => short(point.errors_per_second),
      ({ traffic }) => traffic && `${count(traffic.closed_per_second)} connections ended a second`),
  ];
}

/** How far the sessions of a backend have been moved away. */
export function evacuation(row) {
  if (!row.evacuation) return "";
  const { moved, under_way, stay } = row.evacuation;
  const reasons = Object.entries(stay).filter(([, n]) => n).map(([why, n]) => `${count(n)} stay: ${words(why)}`);
  return [`${count(moved)} moved away`, under_way && `${count(under_way)} on their way`, ...reasons].filter(Boolean).join(", ");
}

/** How a backend is, with an operator's order; `more` adds a line to it. */
const health = (more) => ({
  name: "Health", class: more ? "wrap" : null, by: (row) => `${row.operator_state ?? ""} ${row.health}`,
  node: () => h("span", {}, h("span"), h("span", { class: "note line" })),
  update: (node, row) => {
    const [state, note] = node.children;
    const order = row.operator_state && row.operator_state !== "ready" ? row.operator_state : null;
    look(state, `dot ${order ? "odd" : row.breaker !== "closed" && row.health !== "down" ? "odd" : HEALTH[row.health]}`);
    say(state, order ? (row.health === "up" ? order : `${order}, ${row.health}`) : row.breaker !== "closed" ? `${row.health}, breaker ${words(row.breaker)}` : row.health);
    node.title = row.last_error ?? "";
    say(note, more?.(row) ?? "");
    note.hidden = !note.textContent;
  },
});

/** The columns of backends that both views have; `more` adds a line to the health. */
export const backend_columns = (more) => [
  { name: "Service", text: (row) => row.service },
  { name: "Endpoint", class: "mono", text: (row) => row.endpoint },
  health(more),
  { name: "Sessions", class: "number", by: (row) => row.sessions, text: (row) => count(row.sessions) + (row.waiting_sessions ? ` +${row.waiting_sessions}` : "") },
  { name: "Round trip", class: "number", by: (row) => row.rtt_us, text: (row) => time(row.rtt_us) },
  { name: "First answer p99", class: "number", by: (row) => row.first_answer?.p99_us, node: () => h("span"), update: (node, row) => { look(node, is_slow(row) && !row.slow ? "odd-text" : ""); say(node, time(row.first_answer?.p99_us)); } },
  { name: "Answer p50", class: "number", by: (row) => row.answer?.p50_us, node: () => h("span"), update: (node, row) => { look(node, row.slow ? "odd-text" : ""); say(node, row.slow === "silent" ? "silent" : time(row.answer?.p50_us)); } },
];

export const backend_key = (row) => `${row.service} ${row.endpoint}`;

/** The buttons for a backend's state, where the gateway has such. */
export const state_buttons = {
  name: "Actions", class: "actions", unseen: true,
  node: (item) => h("span", {}, [["ready", "Ready"], ["drain", "Drain"], ["move", "Move away"], ["maintenance", "Maintenance"]].map(([state, text]) =>
    action(text, { "data-state": state }, () => backend_state(item(), state)))),
  update: (node, row) => {
    for (const button of node.children) {
      const state = row.order?.move && row.operator_state === "drain" ? "move" : row.operator_state;
      const now = state === button.dataset.state;
      button.hidden = row.operator_state === undefined || now;
      button.setAttribute("aria-label", `${button.textContent}: ${row.endpoint} of ${row.service}`);
    }
  },
};

function backends() {
  const rows = table("Backends", backend_columns(), { key: backend_key, empty: "No rule names a backend." });
  const more = h("a", { href: "#backends" });
  const element = card("Backends", "w8", more, rows.element);
  const show = ({ backends }) => {
    if (!backends) return;
    rows.show(backends.rows.slice(0, 10));
    say(more, backends.total > 10 ? `All ${count(backends.total)}` : "More");
  };
  return { element, show };
}

function workers() {
  const rows = table("Workers", [
    { name: "Worker", text: (row) => row.worker },
    { name: "Sessions", class: "number", text: (row) => count(row.sessions) },
    { name: "Messages/s", class: "number", text: (row) => short(row.frames_in_per_second + row.frames_out_per_second) },
    {
      name: "Loop lag p99", class: "number",
      node: () => h("span"),
      update: (node, row) => {
        look(node, row.loop_lag_p99_us > LATE ? "odd-text" : "");
        say(node, time(row.loop_lag_p99_us));
      },
    },
  ], { key: (row) => row.worker });
  const element = card("Workers", "", h("a", { href: "#actors" }, "More"), rows.element);
  return { element, show: ({ workers }) => workers && rows.show(workers) };
}

function talkers() {
  let by = "session";
  let last = null;
  const name = { session: "Session", user: "User", address: "Address", service: "Service" };
  const head = h("span", {}, name[by]);
  const rows = table("Top talkers", [
    {
      name: "Who", class: "mono",
      node: () => h("a"),
      update: (node, row) => {
        say(node, row.name);
        if (by === "session") node.href = `#session/${encodeURIComponent(row.name)}`;
        else if (by === "service") node.removeAttribute("href");
        else node.href = `#sessions/${encodeURIComponent(row.name)}`;
      },
    },
    { name: "From", class: "mono", text: (row) => [row.user_id && `user ${row.user_id}`, row.address].filter(Boolean).join(", ") },
    { name: "Sessions", class: "number", text: (row) => count(row.sessions) },
    { name: "In", class: "number", text: (row) => `${bytes(row.bytes_in_per_second)}/s` },
    { name: "Out", class: "number", text: (row) => `${bytes(row.bytes_out_per_second)}/s` },
  ], { key: (row) => row.name, empty: "Nobody has talked in the last seconds." });
  const draw = () => last && rows.show(last[by].talkers.slice(0, 8));
  const choice = segments("Group by", Object.entries(name), by, (value) => {
    by = value;
    rows.show([]);
    draw();
  });
  const element = card("Top talkers", "w7", choice, rows.element);
  return { element, head, show: ({ talkers }) => { last = talkers ?? last; draw(); } };
}

/** A link to the search for a user or an address; text where there is none. */
const searched = (name, read) => ({
  name, class: "mono", by: (row) => read(row), node: () => h("a"),
  update: (node, row) => {
    const whom = read(row);
    say(node, whom ?? "–");
    if (whom) node.href = `#sessions/${encodeURIComponent(whom)}`;
    else node.removeAttribute("href");
  },
});

/** The host of an address with a port. */
export const host = (address) => address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

function refusals() {
  const rows = table("Refusals", [
    { name: "Code", by: (row) => row.code, text: (row) => row.code ?? "–" },
    { name: "Reason", class: "wrap", text: (row) => row.reason },
    { name: "Service", text: (row) => [row.service, row.realm_id && `realm ${row.realm_id}`].filter(Boolean).join(", ") || "–" },
    searched("Newest user", (row) => (row.last_user_id && row.last_user_id !== "0" ? row.last_user_id : null)),
    searched("Address", (row) => host(row.last_client)),
    { name: "Times", class: "number", by: (row) => row.count, text: (row) => count(row.count) },
    { name: "Last", class: "number", by: (row) => row.last_seconds, text: (row) => ago(row.last_seconds) },
  ], { key: (row) => [row.code, row.reason, row.service, row.realm_id].join("|"), empty: "Nobody was refused of late.", sort: true, most: 8 });
  const note = h("span", { class: "note" });
  const element = card("Refused of late", "w8", note, rows.element);
  const show = ({ refusals }) => {
    if (!refusals) return;
    rows.show(refusals.rows);
    say(note, refusals.groups > 8 ? `8 of ${count(refusals.groups)} groups` : "");
  };
  return { element, show };
}

function resources() {
  const bar = meter("Budget of memory", true);
  const list = h("dl", { class: "facts" });
  const element = card("Memory and files", "", null, h("div", { class: "stack" }, bar.element, list));
  const show = ({ memory, process, traffic }) => {
    if (!memory || !process) return;
    const share = memory.held_bytes / memory.limit_bytes;
    bar.show([[share, memory.pressure === "none" ? "" : "odd"]], `${bytes(memory.held_bytes)} of ${bytes(memory.limit_bytes)}`);
    facts(list, [
      ["Queues and buffers", `${bytes(memory.held_bytes)} of ${bytes(memory.limit_bytes)}`],
      ["Pressure", memory.pressure],
      ["Process", bytes(process.resident_bytes)],
      ["Processor", traffic ? `${traffic.cpu_percent}% of one core` : null],
      ["Open files", `${count(process.open_files)} of ${count(process.max_files)}`],
    ]);
  };
  return { element, show };
}

function rules() {
  const list = h("dl", { class: "facts" });
  const wrong = h("p", { class: "bad-text" });
  const element = card("Rules in force", "w4", h("a", { href: "#rules" }, "More"), h("div", { class: "stack" }, list, wrong));
  const show = ({ routes }) => {
    if (!routes) return;
    facts(list, [
      ["In force", `version ${routes.version}, ${plural(routes.services, "service")}`],
      ["Since", routes.loaded_at_seconds ? ago(routes.loaded_at_seconds) : "not yet"],
      ["From", routes.source],
      ["Changes", routes.watching ? "noticed at once" : "noticed at the next look"],
    ]);
    say(wrong, routes.error ? `Newer data is not in force, since ${ago(routes.error_at_seconds)}: ${routes.error}` : "");
    wrong.hidden = !routes.error;
  };
  return { element, show };
}

function errors() {
  const rows = table("Ends and errors since the start", [
    { name: "What", text: ([what]) => what },
    { name: "Times", class: "number", text: ([, times]) => count(times) },
  ], { key: ([what]) => what, empty: "None since the start." });
  const element = card("Ends and errors", "w5", "since the start", rows.element);
  const show = ({ errors }) => {
    if (!errors) return;
    const named = (group, write) => Object.entries(group).map(([name, times]) => [write(name), times]);
    const all = [
      ...named(errors.refused_frames, (code) => `ERROR ${code}`),
      ...named(errors.closed_connections, (reason) => `connection ended: ${words(reason)}`),
      ...named(errors.dropped_frames, (reason) => `frame dropped: ${words(reason)}`),
    ];
    rows.show(all.sort(([, one], [, other]) => other - one).slice(0, 7));
  };
  return { element, show };
}
