// Traces of a user, an address or a session: begun, followed, ended; on all gateways where there are others.

import { action, announce, caller, change, confirm, everywhere, sentence, where } from "./act.js";
import { get, listen, query } from "./api.js";
import { ago, bytes, card, count, h, look, plural, say, segments, short, span, table, words } from "./dom.js";
import { problem, repeat } from "./views.js";

/** Lines of a trace that are kept on the page. */
const LINES = 1_000;
/** Events of one question, the most that a gateway gives. */
const PAGE = 1_000;
/** Milliseconds between two questions to all gateways. */
const LOOK = 1_000;

/** Makes an id, for a trace that several gateways are to know by the same one. */
const fresh_id = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Begins a trace, after a question; of somebody who is asked for where it is not said. */
export function trace(who) {
  const [kind, value] = Object.entries(who)[0] ?? [];
  const fields = { for: { label: "For how long", value: "10m", required: true }, ...where() };
  return confirm({
    title: kind ? `Trace ${words(kind).replace(" id", "")} ${value}?` : "Begin a trace",
    what: "Headers, sizes and decisions are recorded, payloads never. Who is not here yet is traced from the first byte on.",
    button: "Begin the trace",
    fields: kind ? fields : { who: { label: "User id, address or network", hint: "4711, 192.0.2.7", required: true }, ...fields },
    run: async (given) => {
      const target = kind ? who : /^\d+$/.test(given.who) ? { user_id: given.who } : { address: given.who };
      const id = fresh_id();
      await change("POST", "/api/v1/traces", { ...target, for: given.for, id }, given).catch((failure) => {
        // Who has not begun is named above the events.
        if (!failure.partial) throw failure;
      });
      announce("The trace has begun.");
      location.hash = `#trace/${id}`;
      return true;
    },
  });
}

const traced = (row) => (row.user_id ? `user ${row.user_id}` : row.session_id ? `session ${row.session_id}` : row.address ?? "–");

/** Ends a trace, after a question. */
function end(row) {
  return confirm({
    title: `End the trace of ${traced(row)}?`, what: "Its events are forgotten.", button: "End the trace",
    run: () => change("DELETE", `/api/v1/traces/${encodeURIComponent(row.id)}`, undefined, { where: caller.deployment ? "all" : "here" }).then(() => true),
  });
}

export function traces() {
  const error = problem();
  let looking = null;
  const rows = table("Traces", [
    { name: "Whom", class: "mono", node: () => h("a"), update: (node, row) => { say(node, traced(row)); node.href = `#trace/${encodeURIComponent(row.id)}`; } },
    { name: "State", node: () => h("span"), update: (node, row) => { look(node, `dot ${row.state === "running" ? "good" : "hollow"}`); say(node, row.state === "running" ? `${span(row.remaining_seconds)} left` : row.state); } },
    { name: "Events", class: "number", text: (row) => short(row.events) },
    { name: "Only counted", class: "number", text: (row) => count(row.lost_events) },
    { name: "By", class: "wrap note", text: (row) => `${row.by}, ${ago(row.since_seconds)}` },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("End", {}, () => end(item()).then((done) => done && looking?.now())), update: (node, row) => node.setAttribute("aria-label", `End the trace of ${traced(row)}`) },
  ], { key: (row) => row.id, empty: "Nobody is traced." });
  const load = async () => rows.show((await get("/api/v1/traces")).traces);
  const element = h("div", { class: "grid" }, error, card("Traces", "", action("Trace…", {}, () => trace({})), rows.element));
  return { title: "Traces", element, start: () => (looking = repeat(error, load)), request: "GET /api/v1/traces" };
}

const BAD = new Set(["route_failed", "not_reached", "link_lost", "refused", "resume_refused", "over_rate", "held_back", "ring_cut", "lost"]);
const ODD = new Set(["link_full", "disconnected", "suspended", "asked_away", "service_left"]);

/** Writes a frame's header as a line: its class and text. */
function frame_line({ direction, fate, kind, service, payload_bytes, ...rest }) {
  const comes = direction === "from_client";
  const mark = fate === "kept" ? "=" : comes ? ">" : "<";
  const more = ["realm_id", "user_id", "flags"].filter((name) => String(rest[name]) !== "0").map((name) => `${name}=${rest[name]}`);
  return [comes ? "comes" : "goes", [mark, kind, service, bytes(payload_bytes), ...more, fate === "kept" && "kept for its return"].filter(Boolean).join(" ")];
}

/** Writes an event as a line: its class and text. */
function event_line(event) {
  if (event.event === "lost") return ["bad-text", `${plural(event.events, "event is", "events are")} missing`];
  if (event.frame) return frame_line(event.frame);
  const name = event.event ?? "";
  return [BAD.has(name) ? "bad-text" : ODD.has(name) ? "odd-text" : "says", [words(name), event.service, event.endpoint && `at ${event.endpoint}`].filter(Boolean).join(" ")];
}

const clock = (us) => `${new Date(us / 1000).toLocaleTimeString("en-GB")}.${String(Math.floor(us / 1000) % 1000).padStart(3, "0")}`;

/** The events of one trace, as they come. */
export function one_trace(id) {
  const note = h("span", { class: "note", role: "status" });
  const none = h("p", { class: "none" }, "Nothing yet.");
  const lines = h("ol", { class: "log", tabindex: "0", "aria-label": "Events" });
  const path = `/api/v1/traces/${encodeURIComponent(id)}`;
  const frames = lines.getElementsByClassName("frame");
  let before = "";
  const waiting = [];
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) write(waiting.splice(0));
    told();
  } }, "Pause");
  const told = () => {
    const paused = pause.getAttribute("aria-pressed") === "true";
    say(pause, paused ? `Go on${waiting.length ? ` (${plural(waiting.length, "event waits", "events wait")})` : ""}` : "Pause");
  };
  const choice = segments("Show", [["all", "Everything"], ["decisions", "Decisions only"]], "all", (value) => {
    lines.classList.toggle("decisions", value === "decisions");
    lines.scrollTop = lines.scrollHeight;
  });
  const hear = (events) => {
    if (pause.getAttribute("aria-pressed") !== "true") return write(events);
    waiting.push(...events);
    // As many as the page keeps; how many are missing is said.
    const over = waiting.length - LINES;
    if (over > 0) waiting.splice(0, over + 1, { event: "lost", events: over + (waiting[0].event === "lost" ? waiting[0].events : 1) });
    told();
  };
  const write = (events) => {
    const follows = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 4;
    for (const event of events) {
      const [look, text] = event_line(event);
      const said = [event.code, event.detail].filter((one) => one !== undefined && one !== null && one !== "").join(" ");
      const whom = event.global_id ?? event.connection ?? "";
      lines.append(h("li", { class: event.frame ? "frame" : null }, h("time", {}, event.at_us ? clock(event.at_us) : ""), h("span", { class: whom === before ? "whom again" : "whom" }, whom),
        h("span", { class: look }, text), said && h("span", { class: "note" }, ` ${said}`)));
      before = whom;
    }
    // Frames go first, down to a half: what was decided is what is looked for.
    while (lines.children.length > LINES) (frames.length > LINES / 2 ? frames[0] : lines.firstChild).remove();
    none.hidden = lines.children.length > 0;
    if (follows) lines.scrollTop = lines.scrollHeight;
  };
  const back = () => (location.hash = "#traces");
  const button = action("End the trace", { hidden: true }, () => end(now).then((done) => done && back()));
  let now = null;
  const name = async () => {
    now = await get(path);
    say(element.querySelector("h2"), `Trace of ${traced(now)}`);
    button.hidden = false;
  };
  const over = () => say(note, "It is over.");
  const element = h("div", { class: "grid" }, card("Trace", "", h("span", { class: "row" }, note, choice, pause, button), none, lines));
  const start = () => {
    name().catch((failure) => say(note, sentence(failure.message)));
    let following = null;
    let stopped = false;
    caller.known.then(() => {
      if (stopped) return;
      following = caller.deployment ? of_all(path, hear, note, over) : of_one(path, hear, note, over);
    });
    return { stop: () => ((stopped = true), following?.stop()) };
  };
  return { title: "Trace", parent: "traces", element, start };
}

/** Follows one gateway's events by its stream. */
function of_one(path, write, note, over) {
  const state = (now, reason) => say(note, now === "open" ? "live" : now === "lost" ? reason : sentence(reason.message));
  const listening = listen(`${path}/events`, (name, data) => {
    if (name === "end") return listening.close(), over();
    write([name === "lost" ? { ...data, event: "lost" } : data]);
  }, state);
  return { stop: () => listening.close() };
}

/** Follows the events of all gateways, by asking for what is new. */
function of_all(path, write, note, over) {
  const next = new Map();
  const error = h("p");
  const load = async () => {
    const after = [...next].map(([gateway, number]) => `${gateway}:${number}`).join(",") || "0";
    const answer = await get(everywhere(query(`${path}/events`, { after, limit: PAGE })));
    const pages = answer.gateways.filter((one) => one.status === 200).map((one) => one.answer);
    const silent = answer.gateways.filter((one) => !one.answered).map((one) => one.gateway_id ?? one.address);
    const lost = pages.filter((page) => page.lost).map((page) => ({ event: "lost", events: page.lost, global_id: page.gateway_id }));
    const events = pages.flatMap((page) => page.events).sort((one, other) => one.at_us - other.at_us);
    pages.forEach((page) => next.set(page.gateway_id, page.next));
    if (lost.length || events.length) write([...lost, ...events]);
    if (pages.length === 0) throw new Error("no gateway has this trace any more");
    if (pages.every((page) => page.end)) return looking.stop(), over();
    say(note, `live on ${plural(pages.length, "gateway")}${silent.length ? `; ${silent.join(", ")} did not answer` : ""}`);
  };
  const looking = repeat(error, () => load().catch((failure) => say(note, sentence(failure.message))), { pause: LOOK, unseen: true });
  return { stop: () => looking.stop() };
}
