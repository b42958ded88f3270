// The rules: those in force, where a player would go by them, what has changed, and earlier ones to put back.

import { action, confirm, sentence } from "./act.js";
import { ask, get, has, query } from "./api.js";
import { ago, at, card, count, facts, h, look, say, table, words } from "./dom.js";
import { problem, repeat } from "./views.js";

/** Realms that are listed. */
const REALMS = 100;

export function rules() {
  const [error, wrong] = [problem(), h("p", { class: "bad-text" })];
  const list = h("dl", { class: "facts" });
  const rows = table("Rules", [
    { name: "Service", text: ([service]) => service },
    { name: "Strategy", text: ([, rule]) => words(rule.strategy) },
    { name: "Endpoints", class: "wrap mono", text: ([, rule]) => rule.endpoints.map((e) => (e.weight > 1 ? `${e.address} ×${e.weight}` : e.address)).join(", ") || "by realm" },
    { name: "Hashed by", text: ([, rule]) => (rule.strategy === "consistent_hash" ? words(rule.hash_key) : "–") },
    { name: "Login first", text: ([, rule]) => (rule.require_bind ? "yes" : "no") },
  ], { key: ([service]) => service, empty: "There are no rules yet.", sort: true });
  const realms = table("Realms", [
    { name: "Realm", by: ([realm]) => Number(realm), text: ([realm]) => realm },
    { name: "Endpoint", class: "mono", text: ([, endpoint]) => endpoint },
  ], { key: ([realm]) => realm, empty: "No realm has an endpoint.", sort: true, most: REALMS });
  const more = h("p", { class: "note" });
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
    const known = Object.entries(routes.realms ?? {});
    realms.show(known);
    say(more, routes.realms_total > Math.min(known.length, REALMS) ? `${count(Math.min(known.length, REALMS))} of ${count(routes.realms_total)}; ask above where a player of another goes.` : "");
    await past.load(routes.recorded?.number);
  };
  let looking = null;
  const past = history(() => looking?.now());
  const element = h("div", { class: "grid" }, error,
    card("In force", "w4", null, h("div", { class: "stack" }, list, wrong)), resolve(), card("Rules", "w8", null, rows.element), card("Realms", "w4 top", null, realms.element, more), past.cards);
  return { title: "Rules", element, start: () => (looking = repeat(error, load)) };
}

/** Differences that are named. */
const NAMED = 4;
const NAMED_IN_FULL = 40;

/** Says in one text what differs, with the first as it was and is. */
function named(what, { added, removed, changed, first }) {
  const counts = [[added, "new"], [changed, "changed"], [removed, "gone"]].filter(([times]) => times).map(([times, how]) => `${times} ${how}`);
  const names = first.slice(0, NAMED).map((one) => `${one.name}: ${one.detail}`).join("; ");
  return counts.length ? [`${what}: ${counts.join(", ")} (${names}${first.length > NAMED ? "; …" : ""})`] : [];
}

const MARKS = { added: "+", removed: "−", changed: "~" };

/** Lists what differs: each rule and realm as it is and would be. */
function steps({ rules, realms }) {
  const all = [["rule", rules], ["realm", realms]].flatMap(([what, { first }]) => first.map((one) => `${MARKS[one.kind] ?? ""} ${what} ${one.name}: ${one.detail}`));
  const total = [rules, realms].reduce((sum, { added, removed, changed }) => sum + added + removed + changed, 0);
  if (total === 0) return h("p", { class: "note" }, "Nothing: it is the same.");
  const more = total - Math.min(all.length, NAMED_IN_FULL);
  return h("ul", { class: "log steps", tabindex: "0", "aria-label": "What changes" }, all.slice(0, NAMED_IN_FULL).map((text) => h("li", {}, text)), more > 0 && h("li", {}, `and ${count(more)} more`));
}

/** What has changed in the rules, by whom, and earlier versions to put back; hidden where the gateway has no such. */
function history(changed) {
  const PATH = "/api/v1/routes/history";
  const PUT_BACK = "/api/v1/routes/rollback";
  const error = problem();
  const difference = (one) => (one ? [...named("rules", one.rules), ...named("realms", one.realms)].join("; ") : "the first");
  const changes = table("Changes in force", [
    { name: "Version", text: (row) => row.version },
    { name: "When", text: (row) => at(row.at_seconds) },
    { name: "Written by", class: "wrap", text: (row) => row.by ?? `not known (${row.because})` },
    { name: "What", class: "wrap", text: (row) => difference(row.difference) },
    { name: "Why", class: "wrap note", text: (row) => row.message ?? "" },
  ], { key: (row) => row.version, empty: "None since the start." });
  let [newest, current] = [null, null];
  const versions = table("Versions in Redis", [
    { name: "Version", text: (row) => row.number },
    { name: "State", node: () => h("span"), update: (node, row) => { look(node, row.number === current ? "pill good" : "note"); say(node, row.number === current ? "in force" : row.number === newest ? "newest" : ""); } },
    { name: "When", text: (row) => at(row.at_seconds) },
    { name: "Written by", class: "wrap", text: (row) => row.author ?? "not known" },
    { name: "What it changed", class: "wrap", text: (row) => row.summary },
    { name: "Why", class: "wrap note", text: (row) => (row.rollback_to ? `${row.rollback_to} was put back. ` : "") + row.message },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("Put back", {}, () => back(item())), update: (node, row) => { node.hidden = row.number === newest; node.setAttribute("aria-label", `Put version ${row.number} back`); } },
  ], { key: (row) => row.number });
  const back = async (row) => {
    const put = (more) => ask("POST", PUT_BACK, { version: row.number, ...more });
    // What has been shown is what is written, or nothing. Only data that was written past the history has no number to compare.
    let [would, there] = [null, { if_version: newest }];
    try {
      would = await put({ ...there, dry_run: true }).catch((failure) => {
        if (failure.status !== 409) throw failure;
        there = {};
        return put({ dry_run: true });
      });
      say(error, "");
    } catch (failure) {
      return say(error, sentence(failure.message));
    }
    const done = await confirm({
      title: `Put version ${row.number} back?`,
      what: [`The rules of ${at(row.at_seconds)} become a new version in Redis, for all gateways, and are in force within moments. This changes what is there now${there.if_version ? ` (version ${newest})` : ""}:`, steps(would.difference)],
      button: "Put it back",
      danger: true,
      fields: { message: { label: "Why, for the history" } },
      run: ({ message }) => put({ message, ...there }),
    });
    if (done) changed();
  };
  const cards = [card("Changes", "", "since this gateway's start", changes.element), card("Versions in Redis", "", null, error, versions.element)];
  cards.forEach((one) => (one.hidden = true));
  const load = async (recorded) => {
    if (!(await has(`GET ${PATH}`))) return;
    const past = await get(`${PATH}?limit=30`);
    changes.show(past.changes);
    [newest, current] = [past.versions[0]?.number, recorded];
    versions.show(past.versions);
    [cards[0].hidden, cards[1].hidden] = [false, past.versions.length === 0];
  };
  return { cards, load };
}

/** Where would a session go, and why? */
function resolve() {
  const [error, answer] = [problem(), h("p", { role: "status" })];
  const rows = table("Candidates", [
    { name: "May go to", class: "mono", text: (row) => row.endpoint },
    { name: "Takes players now", text: (row) => (row.eligible ? "yes" : "no") },
    { name: "Health", text: (row) => row.health ?? "never used" },
    { name: "Operators want", text: (row) => words(row.operator_state) },
    { name: "Weight", class: "number", text: (row) => row.weight },
  ], { key: (row) => row.endpoint });
  rows.element.hidden = true;
  const field = (name, label, hint) => h("label", { class: "field" }, h("span", {}, label), h("input", { name, placeholder: hint, autocomplete: "off" }));
  const send = async (event) => {
    event.preventDefault();
    say(error, "");
    say(answer, "");
    rows.element.hidden = true;
    try {
      const asked = Object.fromEntries(new FormData(event.target));
      const found = await get(query("/api/v1/routes/resolve", asked));
      say(answer, `${found.endpoint ?? (found.error_code ? `ERROR ${found.error_code}` : "It depends")}: ${found.why}${found.health ? ` (${found.health})` : ""}`);
      rows.show(found.candidates);
      rows.element.hidden = found.candidates.length === 0;
    } catch (failure) {
      say(error, sentence(failure.message));
    }
  };
  const form = h("form", { class: "row", onsubmit: send }, field("service", "Service", "game"), field("realm_id", "Realm", ""), field("user_id", "User", ""),
    h("button", { type: "submit" }, "Ask"));
  return card("Where would a player go?", "w8", null, h("div", { class: "stack" }, form, answer, error, rows.element));
}
