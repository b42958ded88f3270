// The deployment: its gateways side by side, and its backends as each of them sees them.

import { caller } from "./act.js";
import { get } from "./api.js";
import { bar_column, card, count, h, look, plural, say, span, table, words } from "./dom.js";
import { state_buttons } from "./overview.js";
import { problem, repeat } from "./views.js";

const draining = ({ info }) => {
  const drain = info?.drain;
  if (!drain) return "–";
  const left = drain.remaining_seconds === null || drain.connections === 0 ? "" : `, ${span(drain.remaining_seconds)} remain`;
  return `${count(drain.connections)} of ${count(drain.connections_at_begin ?? drain.connections)} still here${left}`;
};

function side_by_side() {
  let most = 1;
  const rows = table("Gateways", [
    { name: "Gateway", class: "mono", text: (row) => row.gateway_id ?? "–" },
    { name: "Address", class: "mono", text: (row) => row.address ?? "this one" },
    { name: "State", class: "wrap", node: () => h("span"), update: (node, row) => { look(node, `dot ${!row.answered ? "bad" : row.info.state === "serving" ? "good" : "odd"}`); say(node, row.answered ? words(row.info.state) : row.why_not ?? "silent"); } },
    bar_column("Sessions", (row) => (row.info?.sessions ?? 0) / most, (row) => count(row.info?.sessions)),
    { name: "Connections", class: "number", by: (row) => row.info?.connections, text: (row) => count(row.info?.connections) },
    { name: "Drain", text: draining },
    { name: "Up", class: "number", by: (row) => row.info?.uptime_seconds, text: (row) => span(row.info?.uptime_seconds) },
    { name: "Version", text: (row) => row.info?.version ?? "–" },
  ], { key: (row) => row.address ?? "", sort: true });
  const [note, sum] = [h("p", { class: "note" }), h("span", { class: "note", role: "status" })];
  const load = async () => {
    const answer = await get("/api/v1/gateways");
    const there = answer.gateways.filter((row) => row.answered);
    const sessions = there.reduce((all, row) => all + row.info.sessions, 0);
    most = Math.max(1, ...there.map((row) => row.info.sessions));
    rows.show(answer.gateways);
    const silent = answer.gateways.length - there.length;
    say(sum, `${plural(sessions, "session")} on ${plural(there.length, "gateway")}${silent ? `; ${plural(silent, "does", "do")} not answer` : ""}`);
    say(note, !answer.configured ? "peer.gateways says nothing of others, so this gateway is shown alone."
      : [...answer.unresolved, answer.left_out ? `${plural(answer.left_out, "address was", "addresses were")} not asked.` : ""].filter(Boolean).join(" "));
    caller.deployment = answer.configured;
    return answer.configured;
  };
  return { element: card("Gateways of the deployment", "", sum, rows.element, note), load };
}

/** Makes one row for each endpoint of what the gateways say of it. */
function gathered(answer) {
  const all = new Map();
  for (const { gateway_id, address, status, answer: said } of answer.gateways) {
    if (status !== 200) continue;
    for (const row of said.backends) {
      const key = `${row.service} ${row.endpoint}`;
      if (!all.has(key)) all.set(key, { ...row, key, sessions: 0, seen: [] });
      const one = all.get(key);
      one.sessions += row.sessions;
      one.seen.push({ ...row, gateway: gateway_id ?? address });
    }
  }
  return [...all.values()];
}

/** Says a value once where all agree, else each with who says it. */
function agreed(row, read) {
  const values = new Map();
  for (const one of row.seen) values.set(read(one), [...(values.get(read(one)) ?? []), one.gateway]);
  if (values.size === 1) return String([...values.keys()][0]);
  return [...values].map(([value, who]) => `${value} at ${who.join(", ")}`).join("; ");
}

function backends() {
  const well = (row) => row.seen.every((one) => ["up", "unknown"].includes(one.health) && one.breaker === "closed" && one.operator_state === "ready");
  const down = (row) => row.seen.every((one) => one.health === "down");
  const rows = table("Backends of the deployment", [
    { name: "Service", text: (row) => row.service },
    { name: "Endpoint", class: "mono", text: (row) => row.endpoint },
    { name: "Health", class: "wrap", node: () => h("span"), update: (node, row) => { look(node, `dot ${well(row) ? "good" : down(row) ? "bad" : "odd"}`); say(node, agreed(row, (one) => one.health)); } },
    { name: "Operators want", class: "wrap", text: (row) => agreed(row, (one) => words(one.operator_state)) },
    { name: "Sessions", class: "number", by: (row) => row.sessions, text: (row) => count(row.sessions) },
    { name: "Gateways", class: "number", by: (row) => row.seen.length, text: (row) => count(row.seen.length) },
    state_buttons,
  ], { key: (row) => row.key, empty: "No rule names a backend.", sort: true });
  const element = card("Backends, over all gateways", "", null, rows.element);
  element.hidden = true;
  const load = async () => {
    rows.show(gathered(await get("/api/v1/backends?deployment=true")));
    element.hidden = false;
  };
  return { element, load };
}

export function gateways() {
  const error = problem();
  const [all, services] = [side_by_side(), backends()];
  const load = async () => {
    if (await all.load()) await services.load();
  };
  const element = h("div", { class: "grid" }, error, all.element, services.element);
  return { title: "Gateways", element, start: () => repeat(error, load), request: "GET /api/v1/gateways" };
}
