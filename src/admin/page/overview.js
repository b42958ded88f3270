// The first view: is all well, and what is going on.

import { backend_state, action, drain, undo_drain } from "./act.js";
import { chart, legend } from "./chart.js";
import { ago, bytes, card, count, facts, h, look, meter, plural, say, segments, short, span, table, time, words } from "./dom.js";

/** Microseconds of event-loop lag that players notice. */
const LATE = 100_000;
const DAY = 86_400;

const DRAINS = {
  draining: "it drains, and still takes new sessions", refusing: "it drains, and takes no new sessions",
  drained: "it has drained, and takes no new sessions", closing: "it drains and will exit",
};

const HEALTH = { up: "good", suspect: "odd", leaving: "odd", down: "bad", unknown: "hollow" };

/** What an operator should look at, the worst first: pairs of class and words. */
export function troubles({ gateway, routes, backends, memory, workers, traffic }) {
  const found = [];
  if (gateway?.state && gateway.state !== "serving") found.push(["odd", DRAINS[gateway.state] ?? `the gateway is ${gateway.state}`]);
  const reasons = (gateway?.reasons ?? []).filter((reason) => reason !== "draining");
  if (reasons.length) found.push(["bad", `it takes no new sessions: ${reasons.join(", ")}`]);
  if (routes?.error) found.push(["bad", "the newest rules are not in force"]);
  const rows = backends?.rows ?? [];
  found.push(...downs(rows));
  const odd = rows.filter((row) => row.health === "suspect" || (row.health !== "down" && row.breaker !== "closed"));
  if (odd.length) found.push(["odd", `${plural(odd.length, "backend does", "backends do")} not answer well`]);
  if (memory && memory.pressure !== "none") found.push(["bad", "memory is short"]);
  const late = (workers ?? []).filter((worker) => worker.loop_lag_p99_us > LATE);
  if (late.length) found.push(["odd", `${plural(late.length, "worker is", "workers are")} late`]);
  if (traffic?.errors_per_second > 100) found.push(["odd", `${short(traffic.errors_per_second)} errors a second go to players`]);
  const expires = gateway?.certificate_expires_seconds;
  const left = expires ? expires - Date.now() / 1000 : Infinity;
  if (left < 14 * DAY) found.push([left < 2 * DAY ? "bad" : "odd", left > 0 ? `a certificate ends in ${span(left)}` : "a certificate has ended"]);
  return found.sort(([one], [other]) => one.localeCompare(other));
}

/** Backends that are down although nobody has taken them out: worse where a service has no other. */
function downs(rows) {
  const out = (row) => row.health === "down" && row.in_rules && (row.operator_state ?? "ready") === "ready";
  return [...new Set(rows.filter(out).map((row) => row.service))].map((service) => {
    const all = rows.filter((row) => row.service === service && row.in_rules);
    const down = all.filter(out);
    if (down.length === all.length) return ["bad", `${service} has no backend`];
    return ["odd", down.length === 1 ? `${down[0].endpoint} of ${service} is down` : `${down.length} of ${all.length} backends of ${service} are down`];
  });
}

export function overview() {
  const [first, below] = [[verdict(), draining(), ...figures()], [talkers(), refusals(), rules(), errors()]];
  const [left, right] = [backends(), [workers(), resources()]];
  const column = h("div", { class: "column w4" }, right.map((part) => part.element));
  const element = h("div", { class: "grid" }, first.map((part) => part.element), left.element, column, below.map((part) => part.element));
  const parts = [...first, left, ...right, ...below];
  return { title: "Overview", element, show: (now) => parts.forEach((part) => part.show(now)) };
}

function verdict() {
  const [strong, list] = [h("strong"), h("ul")];
  const side = h("span", { class: "side" });
  const button = action("Drain this gateway", { class: "danger" }, () => drain(state.id, state.sessions));
  const element = h("section", { class: "card verdict", "aria-label": "Verdict" }, strong, list, side, button);
  const state = { id: "", sessions: 0, said: "" };
  const show = (now) => {
    if (!now.gateway || !now.backends || !now.routes) return say(strong, "Looking…");
    const found = troubles(now);
    look(element, `card verdict ${found[0]?.[0] ?? ""}`.trim());
    say(strong, found.length === 0 ? "All is well" : found.length === 1 ? "One thing to look at" : `${found.length} things to look at`);
    const text = found.map(([, words]) => words).join("\n");
    if (text !== state.said) list.replaceChildren(...found.map(([, words]) => h("li", {}, words)));
    state.said = text;
    const { gateway } = now;
    Object.assign(state, { id: gateway.gateway_id, sessions: count(now.traffic?.sessions ?? 0) });
    say(side, `up ${span(Date.now() / 1000 - gateway.start_time_seconds)}`);
    button.hidden = gateway.state !== "serving";
  };
  return { element, show };
}

function draining() {
  const bar = meter("Drain", true);
  const [left, clock] = [h("p"), h("span", { class: "note" })];
  const list = facts(h("dl", { class: "facts" }), []);
  const undo = action("Undo", {}, undo_drain);
  const element = card("Drain", "", clock, h("div", { class: "stack" }, bar.element, left, list, h("div", {}, undo)));
  const show = ({ drain, traffic }) => {
    element.hidden = !drain || drain.state === "serving";
    if (element.hidden) return;
    const began = Math.max(1, drain.connections_at_begin ?? drain.connections);
    const gone = Math.max(0, began - drain.connections - drain.cut_off);
    bar.show([[gone / began, "done"], [drain.cut_off / began, "lost"]], `${gone} of ${began} have left, ${drain.cut_off} were cut off`);
    say(clock, drain.remaining_seconds === null ? words(drain.state) : `${words(drain.state)}, ${span(drain.remaining_seconds)} of ${drain.window} left`);
    say(left, drain.connections === 0 && !traffic?.sessions ? "Nobody is left." : `${plural(drain.connections, "connection is", "connections are")} left of ${count(began)}; ${count(drain.moved)} sessions have moved to other gateways, ${count(drain.cut_off)} connections were cut off.`);
    const who = drain.remaining;
    const some = (n, why) => (n ? `${count(n)}: ${why}` : null);
    facts(list, who ? [
      ["Can resume", some(who.resumable, "they have been asked to move")],
      ["Cannot resume", some(who.plain, "they stay until they leave or the window ends")],
      ["HTTP", some(who.http, "they end behind the request under way")],
      ["Newcomers", some(who.newcomers, "they are being refused")],
      ["Away", some(drain.suspended, "sessions that wait for their player")],
      ["Begun", `by ${drain.by === "signal" ? "a signal; it cannot be undone" : "the admin API"}, ${ago(drain.began_seconds)}`],
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
    if (now.traffic) say(number, read(now.traffic));
    say(below, under(now) ?? "");
    drawn.draw(now.points);
  };
  return { element, show };
}

function figures() {
  const read = (name) => (point) => point[name];
  return [
    figure("Players", "sessions", [{ name: "sessions", colour: 0, read: read("sessions") }], count,
      (point) => count(point.sessions),
      ({ gateway, traffic }) => gateway && `${count(gateway.connections)} of ${count(gateway.limit)} connections${gateway.suspended ? `, ${count(gateway.suspended)} away` : ""}${traffic?.started_per_second ? `, +${count(traffic.started_per_second)}/s` : ""}`),
    figure("Messages", "a second", [
      { name: "in", colour: 0, read: read("frames_in_per_second") },
      { name: "out", colour: 1, read: read("frames_out_per_second") },
    ], short, (point) => short(point.frames_in_per_second + point.frames_out_per_second),
      ({ traffic }) => traffic && `${bytes(traffic.bytes_in_per_second)}/s in, ${bytes(traffic.bytes_out_per_second)}/s out`),
    figure("Time in the gateway", "p99", [
      { name: "p99", colour: 0, read: read("frame_p99_us") },
      { name: "p50", colour: 3, read: read("frame_p50_us") },
    ], time, (point) => time(point.frame_p99_us),
      ({ traffic }) => traffic && (traffic.frame_p50_us === null ? "no frame sampled in ten seconds" : `half within ${time(traffic.frame_p50_us)}`) + (traffic?.first_answer_p99_us ? `; first answers ${time(traffic.first_answer_p99_us)}` : "")),
    figure("Errors", "a second", [{ name: "errors", colour: 2, read: read("errors_per_second") }], short,
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

/** The columns of backends that both views have. */
export const backend_columns = [
  { name: "Service", text: (row) => row.service },
  { name: "Endpoint", class: "mono", text: (row) => row.endpoint },
  {
    name: "Health",
    node: () => h("span"),
    update: (node, row) => {
      const order = row.operator_state && row.operator_state !== "ready" ? row.operator_state : null;
      look(node, `dot ${order ? "odd" : row.breaker !== "closed" && row.health !== "down" ? "odd" : HEALTH[row.health]}`);
      say(node, order ? (row.health === "down" ? `${order}, down` : order) : row.breaker !== "closed" ? `${row.health}, breaker ${words(row.breaker)}` : row.health);
      node.title = row.last_error ?? "";
    },
  },
  { name: "Sessions", class: "number", text: (row) => count(row.sessions) + (row.waiting_sessions ? ` +${row.waiting_sessions}` : "") },
  { name: "Round trip", class: "number", text: (row) => time(row.rtt_us) },
  { name: "First answer p99", class: "number", text: (row) => time(row.first_answer?.p99_us) },
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
  const rows = table("Backends", backend_columns, { key: backend_key, empty: "No rule names a backend." });
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

function refusals() {
  const rows = table("Refusals", [
    { name: "Code", text: (row) => row.code ?? "–" },
    { name: "Reason", class: "wrap", text: (row) => row.reason },
    { name: "Service", text: (row) => [row.service, row.realm_id && `realm ${row.realm_id}`].filter(Boolean).join(", ") || "–" },
    { name: "Times", class: "number", text: (row) => count(row.count) },
    { name: "Last", class: "number", text: (row) => ago(row.last_seconds) },
  ], { key: (row) => [row.code, row.reason, row.service, row.realm_id].join("|"), empty: "Nobody was refused of late." });
  const note = h("span", { class: "note" });
  const element = card("Refused of late", "w5", note, rows.element);
  const show = ({ refusals }) => {
    if (!refusals) return;
    rows.show(refusals.rows.slice(0, 8));
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
  const element = card("Rules in force", "w7", h("a", { href: "#rules" }, "More"), h("div", { class: "stack" }, list, wrong));
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
