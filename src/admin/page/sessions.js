// Sessions: searched, told, kicked.

import { action, ban, caller, everywhere, kick } from "./act.js";
import { get, has, query, takes } from "./api.js";
import { ago, at, bytes, card, count, facts, h, look, plural, say, span, table, words } from "./dom.js";
import { host } from "./overview.js";
import { trace } from "./traces.js";
import { problem, repeat } from "./views.js";

const LIMIT = 100;
const STATE = { active: "good", suspended: "odd", ended: "hollow" };

/** The gateway of a session, or of a part of one. */
const gateway = (row) => row.global_id.replace(/:\d+$/, "");

/** What a gateway says of a session that went on at another one. */
const went_on = (row) => row.end && ["handed_over", "replaced"].includes(row.end.reason);

/** Makes one row of a session that gateways have handed over: as it is now, with the parts that it left `before`. */
function joined(rows) {
  const parts = Map.groupBy(rows, (row) => `${row.session_id} ${row.user_id}`);
  return [...parts.values()].flatMap((all) => {
    const [gone, left] = [all.filter(went_on), all.filter((row) => !went_on(row))];
    return left.length === 1 && gone.length ? [{ ...left[0], before: gone }] : all;
  });
}

/** The parts of a session at other gateways: what is known of its user tells them. A session of nobody has only the one that is given. */
async function parts_of(one) {
  if (!caller.deployment || one.user_id === "0") return [one];
  const asked = [{}, { state: "ended" }].map((more) => get(everywhere(query("/api/v1/sessions", { user_id: one.user_id, ...more, limit: LIMIT }))).catch(() => ({ sessions: [] })));
  const all = (await Promise.all(asked)).flatMap((page) => page.sessions).filter((row) => row.session_id === one.session_id && row.global_id !== one.global_id);
  return [one, ...all];
}

const columns = (changed) => [
  { name: "Session", class: "mono", by: (row) => row.session_id, node: () => h("a"), update: (node, row) => { say(node, row.session_id); node.href = `#session/${encodeURIComponent(row.global_id)}`; } },
  { name: "Gateway", class: "mono", text: (row) => [gateway(row), ...(row.before ?? []).map((one) => `before ${gateway(one)}`)].join(", ") },
  { name: "User", class: "mono", text: (row) => (row.user_id === "0" ? "–" : row.user_id) + (row.identity === "claimed" && row.user_id !== "0" ? " (claimed)" : "") },
  { name: "Realm", class: "number", by: (row) => row.realm_id, text: (row) => row.realm_id || "–" },
  { name: "State", by: (row) => row.state, node: () => h("span"), update: (node, row) => { look(node, `dot ${STATE[row.state] ?? "odd"}`); say(node, row.end ? `ended ${span(row.end.age_seconds)} ago: ${words(row.end.reason)}` : row.state); } },
  { name: "Address", class: "mono", text: (row) => row.client },
  { name: "Over", text: (row) => row.transport },
  { name: "Age", class: "number", by: (row) => row.age_seconds, text: (row) => span(row.age_seconds) },
  { name: "In", class: "number", by: (row) => row.bytes_in, text: (row) => bytes(row.bytes_in) },
  { name: "Out", class: "number", by: (row) => row.bytes_out, text: (row) => bytes(row.bytes_out) },
  { name: "Services", class: "wrap", text: (row) => row.services.map((one) => `${one.service} ${one.endpoint}`).join(", ") || "–" },
  { name: "Actions", class: "actions", unseen: true, node: (item) => action("Kick", { class: "danger" }, () => kick(item()).then((done) => done && changed())), update: (node, row) => { node.hidden = row.state === "ended"; node.setAttribute("aria-label", `Kick session ${row.session_id}`); } },
];

/** Turns what was searched for into filters; none where it is only a session's id. */
async function filters(text) {
  if (text === "") return [{}];
  if (/^\d+$/.test(text)) return [{ user_id: text }, { user_id: text, state: "ended" }];
  if (/^[0-9a-f.:/[\]]+$/i.test(text) && /[.:]/.test(text)) {
    const named = (await takes("/api/v1/sessions", "address")) ? [{ address: text }] : [];
    return /:\d+$/.test(text) ? [{ backend: text }, ...named] : named;
  }
  return [{ service: text }];
}

/** Counts sessions by how they are: who waits for its player does not play. */
function counted(rows) {
  const of = (state) => rows.filter((row) => row.state === state).length;
  const others = [["suspended", "waiting for their player"], ["ended", "ended"]].filter(([state]) => of(state)).map(([state, text]) => `${count(of(state))} ${text}`);
  return plural(rows.length, "session") + (others.length ? ` (${others.join(", ")})` : "");
}

export function sessions(searched) {
  const error = problem();
  const box = h("input", { id: "search", type: "search", value: searched, placeholder: "User, session id, address, backend or service", autocomplete: "off", spellcheck: "false" });
  const note = h("p", { class: "note", role: "status" });
  let looking = null;
  const rows = table("Sessions", columns(() => looking?.now()), { key: (row) => row.global_id, empty: "None found.", sort: true });
  const load = async () => {
    const text = decodeURIComponent(location.hash.split("/")[1] ?? "");
    const found = new Map();
    let [more, silent] = [false, []];
    // One who is searched for may be at any gateway; all of them is too much.
    if (text) await caller.known;
    const where = (path) => (text ? everywhere(path) : path);
    // An address may be a player's or a backend's, a number a user's or a session's.
    const asked = (await filters(text)).map((filter) => get(where(query("/api/v1/sessions", { ...filter, limit: LIMIT }))).catch((failure) => {
      if (failure.status !== 400) throw failure;
      return { sessions: [], next_cursor: null };
    }));
    if (/^(.+:)?\d{6,}$/.test(text)) asked.push(get(where(`/api/v1/sessions/${encodeURIComponent(text)}`)).then(parts_of).then((all) => ({ sessions: all })).catch(() => ({ sessions: [] })));
    for (const page of await Promise.all(asked)) {
      page.sessions.forEach((one) => found.set(one.global_id, one));
      silent = [...silent, ...(page.unanswered ?? [])];
      more ||= Boolean(page.next_cursor) && page.sessions.length >= LIMIT;
    }
    const all = joined([...found.values()]);
    rows.show(all.slice(0, LIMIT));
    say(note, more ? `The first ${LIMIT}; search to find the others.` : counted(all) + (text && caller.deployment ? " on all gateways" : ""));
    if (silent.length) say(note, `${counted(all)}; ${[...new Set(silent.map((one) => one.gateway))].join(", ")} did not answer`);
  };
  const search = (event) => {
    event.preventDefault();
    location.hash = box.value.trim() ? `#sessions/${encodeURIComponent(box.value.trim())}` : "#sessions";
  };
  const form = h("form", { class: "row", role: "search", onsubmit: search },
    h("label", { class: "field wide" }, h("span", {}, "Search"), box), h("button", { class: "main", type: "submit" }, "Search"));
  const element = h("div", { class: "grid" }, card("Sessions", "", note, h("div", { class: "stack" }, form, error, rows.element)));
  return { title: "Sessions", element, start: () => (looking = repeat(error, load)) };
}

const EVENTS = {
  disconnected: "The connection ended; the session waited", resumed: "Resumed", taken_up: "Came from another gateway", handed_over: "Went to another gateway",
  service_left: "Left a backend", service_moved: "Was moved to another backend", asked_away: "Was asked to go elsewhere", refused: "Was refused", over_rate: "Was over its rate",
  link_full: "Was not read: its backend reads slowly", held_back: "Was not read: memory was short", ring_cut: "Its replay ring was cut",
};

/** A player's story. */
export function session(id) {
  const error = problem();
  const [list, story, buttons] = [h("dl", { class: "facts" }), h("ol", { class: "timeline" }), h("div", { class: "row", hidden: true })];
  const title = h("span", { class: "note mono" }, id);
  let [looking, now] = [null, null];
  const user = () => now.user_id !== "0";
  const began = () => {
    const before = others.filter(went_on).sort((one, other) => other.end.at_seconds - one.end.at_seconds)[0];
    return before && !went_on(now) ? `Came from ${gateway(before)}, where it had been for ${span(before.age_seconds)}` : "Began here";
  };
  const changed = (done) => done && looking?.now();
  const actions = [
    [action("Kick", { class: "danger" }, () => kick(now).then(changed)), () => now.state !== "ended"],
    [action("Ban the user…", { class: "danger" }, () => ban({ user_id: now.user_id }).then(changed)), user],
    [action("Ban the address…", { class: "danger" }, () => ban({ address: host(now.client) }).then(changed)), () => true],
    [action("Trace the session…", {}, () => trace({ session: now.session_id })), () => tracing && now.state !== "ended"],
    [action("Trace the user…", {}, () => trace({ user_id: now.user_id })), () => tracing && user()],
  ];
  let [tracing, others] = [false, []];
  buttons.append(...actions.map(([button]) => button));
  const load = async () => {
    tracing = await has("POST /api/v1/traces");
    await caller.known;
    try {
      now = await get(everywhere(`/api/v1/sessions/${encodeURIComponent(id)}`));
      others = (await parts_of(now)).slice(1);
      // By its bare id it is asked for where it is.
      const live = !id.includes(":") && went_on(now) && others.find((one) => !one.end);
      if (live) [now, others] = [await get(everywhere(`/api/v1/sessions/${encodeURIComponent(live.global_id)}`)), [now, ...others.filter((one) => one !== live)]];
    } catch (failure) {
      buttons.hidden = true;
      throw failure;
    }
    buttons.hidden = false;
    actions.forEach(([button, may]) => (button.hidden = !may()));
    const end = now.end;
    facts(list, [
      ["User", user() ? h("a", { href: `#sessions/${encodeURIComponent(now.user_id)}` }, `${now.user_id} (${now.identity})`) : "not known"],
      ["Realm", now.realm_id || null],
      ["State", end ? `ended ${ago(end.at_seconds)}` : now.state],
      ["Why", end && `${words(end.reason)}, code ${end.code}`],
      ["Goes on", end?.moved_to && h("span", {}, "at ", h("a", { href: `#session/${encodeURIComponent(`${end.moved_to}:${now.session_id}`)}` }, end.moved_to))],
      ["Last words", end?.last_words && `${end.last_words.by}: ${end.last_words.code} ${end.last_words.text}`],
      ["From", `${now.client} over ${now.transport}`],
      ["Since", `${at(now.since_seconds)}, ${span(now.age_seconds)}`],
      ["Began", now.began_seconds < now.since_seconds && now.began_seconds !== null ? `${at(now.began_seconds)}, at another gateway` : null],
      ["Can resume", now.resumable ? `yes; it has, ${plural(now.resumes, "time")}` : "no"],
      ["Frames", `${count(now.frames_in)} in, ${count(now.frames_out)} out`],
      ["Bytes", `${bytes(now.bytes_in)} in, ${bytes(now.bytes_out)} out, ${bytes(now.queued_bytes)} waiting`],
      ["Worker", String(now.worker)],
      ["Id", now.global_id],
      ["Parts", others.length ? h("span", {}, others.map((one) => h("span", { class: "line" }, went_on(one) ? "before, at " : "at ", h("a", { href: `#session/${encodeURIComponent(one.global_id)}` }, gateway(one)), ` (${one.state})`))) : null],
      ["Trace id", now.trace_id],
    ]);
    const steps = [
      { when: now.since_seconds, text: began() },
      ...now.services.map((one) => ({ when: one.since_seconds, text: `${one.service} at ${one.endpoint}` })),
      // From where it came is said already, where that is known.
      ...now.events.filter((one) => one.event !== "taken_up" || !others.some(went_on)).map((one) => ({ when: one.first_seconds, text: `${EVENTS[one.event] ?? words(one.event)}${one.detail ? `: ${one.detail}` : ""}${one.count > 1 ? ` (${plural(one.count, "time")}, last ${at(one.last_seconds)})` : ""}` })),
      ...(end ? [{ when: end.at_seconds, text: `Ended: ${words(end.reason)}` }] : []),
    ].sort((one, other) => one.when - other.when);
    story.replaceChildren(...steps.map((step) => h("li", {}, h("time", {}, at(step.when)), step.text)));
    if (now.omitted_events) story.append(h("li", {}, `${plural(now.omitted_events, "older event")} left out`));
  };
  const element = h("div", { class: "grid" }, card("Session", "w6", title, h("div", { class: "stack" }, list, buttons, error)), card("Story", "w6", null, story));
  return { title: "Session", parent: "sessions", element, start: () => (looking = repeat(error, load)) };
}
