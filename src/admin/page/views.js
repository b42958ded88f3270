// More views: backends, rules, bans. Each asks for itself while it is shown.

import { action, confirm, lift, make_ban, sentence, where } from "./act.js";
import { ask, get, has, query } from "./api.js";
import { ago, at, bytes, card, count, facts, h, say, segments, span, table, time, words } from "./dom.js";
import { backend_columns, backend_key, evacuation, state_buttons } from "./overview.js";

/** Milliseconds between two looks of a view that the live events do not feed. */
const LOOK = 5_000;

/** Calls a function now and every few seconds until it is stopped; its failures are written into a paragraph. */
export function repeat(error, load, pause = LOOK) {
  let [timer, stopped] = [null, false];
  const again = async () => {
    clearTimeout(timer);
    try {
      await load();
      say(error, "");
    } catch (failure) {
      say(error, sentence(failure.message));
    }
    if (!stopped) timer = setTimeout(again, pause);
  };
  again();
  return { now: again, stop: () => ((stopped = true), clearTimeout(timer)) };
}

/** Makes the paragraph for what goes wrong. */
export const problem = () => h("p", { class: "error", role: "alert" });

export function backends() {
  let choice = "all";
  let last = null;
  const rows = table("Backends", [
    ...backend_columns,
    { name: "PING waits", class: "number", text: (row) => time(row.ping_age_us) },
    { name: "Queued", class: "number", text: (row) => bytes(row.queued_bytes) },
    { name: "From it", class: "number", text: (row) => bytes(row.bytes_in) },
    { name: "To it", class: "number", text: (row) => bytes(row.bytes_out) },
    { name: "Last error", class: "wrap note", text: (row) => [row.order ? `${row.operator_state} by ${row.order.by}${row.order.reason ? `: ${row.order.reason}` : ""}` : row.last_error, evacuation(row)].filter(Boolean).join("; ") },
    state_buttons,
  ], { key: backend_key, row: (row) => (row.in_rules ? "" : "faint"), empty: "None." });
  const note = h("p", { class: "note" });
  const draw = () => {
    if (!last) return;
    const well = (row) => row.health === "up" && row.breaker === "closed";
    rows.show(last.rows.filter((row) => choice === "all" || !well(row)));
    const hidden = last.total - last.rows.length;
    say(note, hidden > 0 ? `${count(hidden)} more that are well are not shown.` : "");
  };
  const filter = segments("Show", [["all", "All"], ["odd", "Not well"]], choice, (value) => {
    choice = value;
    draw();
  });
  const element = h("div", { class: "grid" }, card("Backends", "", filter, rows.element, note));
  return { title: "Backends", element, show: ({ backends }) => { last = backends ?? last; draw(); } };
}

export function rules() {
  const [error, wrong] = [problem(), h("p", { class: "bad-text" })];
  const list = h("dl", { class: "facts" });
  const rows = table("Rules", [
    { name: "Service", text: ([service]) => service },
    { name: "Strategy", text: ([, rule]) => words(rule.strategy) },
    { name: "Endpoints", class: "wrap mono", text: ([, rule]) => rule.endpoints.map((e) => (e.weight > 1 ? `${e.address} ×${e.weight}` : e.address)).join(", ") || "by realm" },
    { name: "By", text: ([, rule]) => (rule.strategy === "consistent_hash" ? words(rule.hash_key) : "–") },
    { name: "Login first", text: ([, rule]) => (rule.require_bind ? "yes" : "no") },
  ], { key: ([service]) => service, empty: "There are no rules yet." });
  const load = async () => {
    const routes = await get("/api/v1/routes");
    facts(list, [
      ["Version", count(routes.version)],
      ["Since", routes.loaded_at_seconds ? `${at(routes.loaded_at_seconds)}, ${ago(routes.loaded_at_seconds)}` : null],
      ["From", routes.source],
      ["Realms", count(routes.realms_total)],
    ]);
    say(wrong, routes.error ? `Newer data is not in force (${at(routes.error_at_seconds)}): ${routes.error}` : "");
    rows.show(Object.entries(routes.rules));
    await past.load();
  };
  let looking = null;
  const past = history(() => looking?.now());
  const element = h("div", { class: "grid" }, error,
    card("In force", "w4", null, h("div", { class: "stack" }, list, wrong)), resolve(), card("Rules", "", null, rows.element), past.cards);
  return { title: "Rules", element, start: () => (looking = repeat(error, load)) };
}

/** What has changed in the rules, by whom, and earlier versions to put back; hidden where the gateway has no such. */
function history(changed) {
  const PATH = "/api/v1/routes/history";
  const named = (what, { added, removed, changed: other, first }) => {
    const counts = [[added, "new"], [other, "changed"], [removed, "gone"]].filter(([times]) => times).map(([times, how]) => `${times} ${how}`);
    const names = first.slice(0, 4).map((one) => one.name).join(", ");
    return counts.length ? [`${what}: ${counts.join(", ")} (${names}${first.length > 4 ? ", …" : ""})`] : [];
  };
  const difference = (one) => (one ? [...named("rules", one.rules), ...named("realms", one.realms)].join("; ") : "the first");
  const changes = table("Changes in force", [
    { name: "Version", class: "number", text: (row) => row.version },
    { name: "When", text: (row) => at(row.at_seconds) },
    { name: "By", class: "wrap", text: (row) => row.by ?? `not known (${row.because})` },
    { name: "What", class: "wrap", text: (row) => difference(row.difference) },
    { name: "Why", class: "wrap note", text: (row) => row.message ?? "" },
  ], { key: (row) => row.version, empty: "None since the start." });
  let newest = null;
  const versions = table("Versions in Redis", [
    { name: "Version", class: "number", text: (row) => row.number },
    { name: "When", text: (row) => at(row.at_seconds) },
    { name: "By", class: "wrap", text: (row) => row.author ?? "not known" },
    { name: "What", class: "wrap", text: (row) => row.summary },
    { name: "Why", class: "wrap note", text: (row) => (row.rollback_to ? `${row.rollback_to} was put back. ` : "") + row.message },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("Put back", {}, () => back(item())), update: (node, row) => { node.hidden = row.number === newest; node.setAttribute("aria-label", `Put version ${row.number} back`); } },
  ], { key: (row) => row.number });
  const back = async (row) => {
    const done = await confirm({
      title: `Put version ${row.number} back?`,
      what: `The rules of ${at(row.at_seconds)} become a new version in Redis, for all gateways, and are in force within moments. It changed: ${row.summary}.`,
      button: "Put it back",
      danger: true,
      fields: { message: { label: "Why, for the history" } },
      run: ({ message }) => ask("POST", "/api/v1/routes/rollback", { version: row.number, message }),
    });
    if (done) changed();
  };
  const cards = [card("Changes", "", "since this gateway's start", changes.element), card("Versions in Redis", "", null, versions.element)];
  cards.forEach((one) => (one.hidden = true));
  const load = async () => {
    if (!(await has(`GET ${PATH}`))) return;
    const past = await get(`${PATH}?limit=30`);
    changes.show(past.changes);
    newest = past.versions[0]?.number;
    versions.show(past.versions);
    [cards[0].hidden, cards[1].hidden] = [false, past.versions.length === 0];
  };
  return { cards, load };
}

/** Where would a session go, and why? */
function resolve() {
  const [error, answer] = [problem(), h("p", { role: "status" })];
  const field = (name, label, hint) => h("label", { class: "field" }, h("span", {}, label), h("input", { name, placeholder: hint, autocomplete: "off" }));
  const send = async (event) => {
    event.preventDefault();
    say(error, "");
    say(answer, "");
    try {
      const asked = Object.fromEntries(new FormData(event.target));
      const found = await get(query("/api/v1/routes/resolve", asked));
      say(answer, `${found.endpoint ?? (found.error_code ? `ERROR ${found.error_code}` : "It depends")}: ${found.why}${found.health ? ` (${found.health})` : ""}`);
    } catch (failure) {
      say(error, sentence(failure.message));
    }
  };
  const form = h("form", { class: "row", onsubmit: send }, field("service", "Service", "game"), field("realm_id", "Realm", ""), field("user_id", "User", ""),
    h("button", { type: "submit" }, "Ask"));
  return card("Where would a player go?", "w8", null, h("div", { class: "stack" }, form, answer, error));
}

export function bans() {
  const error = problem();
  const rows = table("Bans", [
    { name: "Who", class: "mono", text: (row) => row.address ?? `user ${row.user_id}` },
    { name: "Ends", text: (row) => (row.remaining_seconds === null ? "when it is lifted" : `in ${span(row.remaining_seconds)}`) },
    { name: "Refused", class: "number", text: (row) => count(row.refusals) },
    { name: "Ended sessions", class: "number", text: (row) => count(row.ended_sessions) },
    { name: "Reason", class: "wrap", text: (row) => row.reason || "–" },
    { name: "By", class: "wrap note", text: (row) => `${row.by}, ${ago(row.since_seconds)}` },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("Lift", {}, () => lift(item()).then((done) => done && looking?.now())), update: (node, row) => node.setAttribute("aria-label", `Lift the ban of ${row.id}`) },
  ], { key: (row) => row.id, empty: "Nobody is banned." });
  const more = h("p", { class: "note" });
  const load = async () => {
    const page = await get("/api/v1/bans?limit=200");
    rows.show(page.bans);
    say(more, page.next_cursor ? "There are more; game-gateway admin bans --all lists them." : "");
  };
  let looking = null;
  const add = async () => {
    const done = await confirm({
      title: "Ban an address or a user",
      what: "Sessions that are concerned end at once, and no new one starts.",
      button: "Ban",
      danger: true,
      fields: {
        who: { label: "Address, network or user id", hint: "192.0.2.7, 192.0.2.0/24 or 4711", required: true },
        for: { label: "For how long (empty: until it is lifted)", hint: "10m, 2h" },
        reason: { label: "Reason, for other operators" },
        ...where(),
      },
      run: ({ who, ...given }) => make_ban(/^\d+$/.test(who) ? { user_id: who } : { address: who }, given),
    });
    if (done) looking?.now();
  };
  const element = h("div", { class: "grid" }, error, card("Bans", "", action("Ban…", { class: "danger" }, add), rows.element, more));
  return { title: "Bans", element, start: () => (looking = repeat(error, load)) };
}
