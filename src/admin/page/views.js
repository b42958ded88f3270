// The other views: backends, actors, rules, bans, gateways, settings. Each asks for itself while it is shown.

import { action, announce, confirm, lift, make_ban, sentence, where } from "./act.js";
import { ask, get, has, query } from "./api.js";
import { ago, at, bytes, card, count, facts, h, look, plural, say, segments, short, span, table, time, words } from "./dom.js";
import { backend_columns, backend_key, evacuation, state_buttons } from "./overview.js";

/** Milliseconds between two looks of a view that the live events do not feed. */
const LOOK = 5_000;

/** Calls a function now and every few seconds until it is stopped; its failures are written into a paragraph. */
export function repeat(error, load) {
  let [timer, stopped] = [null, false];
  const again = async () => {
    clearTimeout(timer);
    try {
      await load();
      say(error, "");
    } catch (failure) {
      say(error, sentence(failure.message));
    }
    if (!stopped) timer = setTimeout(again, LOOK);
  };
  again();
  return { now: again, stop: () => ((stopped = true), clearTimeout(timer)) };
}

const problem = () => h("p", { class: "error", role: "alert" });

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

/** Writes the tree as a terminal does: pairs of the line before a name, and the actor. */
function lines(node, before = "", mark = "") {
  const inner = before + (mark === "├─ " ? "│  " : mark === "└─ " ? "   " : "");
  const children = node.children.flatMap((child, place) =>
    lines(child, inner, place === node.children.length - 1 ? "└─ " : "├─ "));
  return [{ ...node, branch: before + mark }, ...children];
}

export function actors() {
  const error = problem();
  let [restarts, looking] = [false, null];
  const restart = async (row) => {
    const done = await confirm({
      title: `Restart ${row.id}?`,
      what: "It begins anew, with what its successor can take over, as after a panic. It is refused where something would be lost.",
      button: "Restart",
      danger: true,
      run: () => ask("POST", `/api/v1/actors/${encodeURIComponent(row.id)}/restart`),
    });
    if (done) looking?.now();
  };
  const state = (row) => (row.state === "running" ? "good" : "odd");
  const kinds = table("Kinds of actors", [
    { name: "Kind", text: (row) => words(row.kind) },
    { name: "Live", class: "number", text: (row) => count(row.live) },
    { name: "Started", class: "number", text: (row) => count(row.started) },
    { name: "Restarts", class: "number", text: (row) => count(row.restarts) },
    { name: "Panics", class: "number", node: () => h("span"), update: (node, row) => { look(node, row.panics ? "bad-text" : ""); say(node, count(row.panics)); } },
    { name: "Handled", class: "number", text: (row) => short(row.handled) },
    { name: "Waiting", class: "number", text: (row) => count(row.waiting) },
    { name: "Highest", class: "number", text: (row) => count(row.waiting_highest) },
    { name: "Newest panic", class: "wrap note", text: (row) => row.last_error?.message ?? "" },
  ], { key: (row) => row.kind });
  const busiest = table("Busiest actors", [
    { name: "Actor", class: "mono", text: (row) => row.id ?? "clients" },
    { name: "For", text: (row) => row.name || "–" },
    { name: "Worker", class: "number", text: (row) => row.worker ?? "–" },
    { name: "Messages/s", class: "number", text: (row) => short(row.messages_per_second) },
    { name: "Busy", class: "number", text: (row) => `${row.busy_percent}%` },
    { name: "Waiting", class: "number", text: (row) => count(row.waiting) },
  ], { key: (row) => row.id ?? `clients ${row.worker}`, empty: "Nobody is busy." });
  const tree = table("Tree of actors", [
    { name: "Actor", node: () => h("span", {}, h("span", { class: "tree" }), h("span", { class: "mono" })), update: (node, row) => { say(node.firstChild, row.branch); say(node.lastChild, row.id); } },
    { name: "For", class: "mono", text: (row) => row.name || "–" },
    { name: "State", node: () => h("span"), update: (node, row) => { look(node, `dot ${state(row)}`); say(node, words(row.state)); } },
    { name: "Up", class: "number", text: (row) => span(row.uptime_seconds) },
    { name: "Restarts", class: "number", text: (row) => count(row.restarts) },
    { name: "Handled", class: "number", text: (row) => short(row.handled) },
    { name: "Waiting", class: "number", text: (row) => count(row.waiting) },
    { name: "Clients", class: "number", text: (row) => (row.clients === null ? "–" : count(row.clients)) },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("Restart", { class: "danger", hidden: true }, () => restart(item())), update: (node, row) => { node.hidden = !restarts; node.setAttribute("aria-label", `Restart ${row.id}`); } },
  ], { key: (row) => row.id, dense: true });
  const busy = card("Busiest", "", null, busiest.element);
  busy.hidden = true;
  const element = h("div", { class: "grid" }, error, card("Tree", "", "who supervises whom", tree.element), busy, card("Kinds", "", null, kinds.element));
  const load = async () => {
    const answer = await get("/api/v1/actors");
    restarts = await has("POST /api/v1/actors/{id}/restart");
    kinds.show(answer.kinds);
    tree.show(answer.tree ? lines(answer.tree) : []);
    if (await has("GET /api/v1/actors/busiest")) {
      busiest.show((await get("/api/v1/actors/busiest")).busiest);
      busy.hidden = false;
    }
  };
  return { title: "Actors", element, start: () => (looking = repeat(error, load)) };
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
  const versions = table("Versions in Redis", [
    { name: "Version", class: "number", text: (row) => row.number },
    { name: "When", text: (row) => at(row.at_seconds) },
    { name: "By", class: "wrap", text: (row) => row.author ?? "not known" },
    { name: "What", class: "wrap", text: (row) => row.summary },
    { name: "Why", class: "wrap note", text: (row) => (row.rollback_to ? `${row.rollback_to} was put back. ` : "") + row.message },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("Put back", {}, () => back(item())), update: (node, row) => node.setAttribute("aria-label", `Put version ${row.number} back`) },
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

export function gateways() {
  const error = problem();
  const rows = table("Gateways", [
    { name: "Gateway", class: "mono", text: (row) => row.gateway_id ?? "–" },
    { name: "Address", class: "mono", text: (row) => row.address ?? "this one" },
    { name: "State", node: () => h("span"), update: (node, row) => { look(node, `dot ${!row.answered ? "bad" : row.info.state === "serving" ? "good" : "odd"}`); say(node, row.answered ? words(row.info.state) : row.why_not ?? "silent"); } },
    { name: "Sessions", class: "number", text: (row) => count(row.info?.sessions) },
    { name: "Connections", class: "number", text: (row) => count(row.info?.connections) },
    { name: "Up", class: "number", text: (row) => span(row.info?.uptime_seconds) },
    { name: "Version", text: (row) => row.info?.version ?? "–" },
  ], { key: (row) => row.address ?? "" });
  const note = h("p", { class: "note" });
  const load = async () => {
    const answer = await get("/api/v1/gateways");
    rows.show(answer.gateways);
    say(note, !answer.configured ? "peer.gateways says nothing of others, so this gateway is shown alone."
      : [...answer.unresolved, answer.left_out ? `${plural(answer.left_out, "address was", "addresses were")} not asked.` : ""].filter(Boolean).join(" "));
  };
  const element = h("div", { class: "grid" }, error, card("Gateways of the deployment", "", null, rows.element, note));
  return { title: "Gateways", element, start: () => repeat(error, load), request: "GET /api/v1/gateways" };
}

export function settings() {
  const error = problem();
  const level = log_level();
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
    const [config, memory] = await Promise.all([get("/api/v1/config"), get("/api/v1/memory"), level.load()]);
    all = Object.entries(config);
    draw();
    parts.show(Object.entries(memory.parts).sort(([, one], [, other]) => other - one));
  };
  const element = h("div", { class: "grid" }, error, level.element, card("Memory by part", "w4", null, parts.element), card("Configuration", "", search, keys.element));
  return { title: "Settings", element, start: () => repeat(error, load) };
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
  const element = card("Log level", "w8 top", action("Change…", {}, change), h("p", {}, "In force: ", now));
  return { element, load };
}
