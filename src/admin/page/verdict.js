// The first line of the page: what an operator should look at, the worst first.

import { action, drain } from "./act.js";
import { ago, count, h, look, plural, say, short, span, time, words } from "./dom.js";

/** Microseconds of event-loop lag that players notice. */
export const LATE = 100_000;
/** Microseconds up to a backend's first answer, at p99, that players notice. */
export const SLOW = 500_000;
/** Errors a second that are said at once. */
const MANY = 100;
/** Errors a minute that are said if there are as many in each of the minutes of the charts. */
const LASTING = 10;
const DAY = 86_400;
const MINUTE = 60;

const DRAINS = {
  draining: "it drains, and still takes new sessions", refusing: "it drains, and takes no new sessions",
  drained: "it has drained, and takes no new sessions", closing: "it drains and will exit",
};

const BACKENDS = "#backends";

/** Lists what is not well: class, words, and the view that tells more. */
export function troubles({ gateway, routes, backends, memory, workers, traffic, points, refusals, gateways }) {
  const rows = backends?.rows ?? [];
  const found = without(rows);
  if (gateway?.state && gateway.state !== "serving") found.push(["odd", DRAINS[gateway.state] ?? `the gateway is ${gateway.state}`]);
  const reasons = (gateway?.reasons ?? []).filter((reason) => reason !== "draining");
  if (reasons.length) found.push(["bad", `it takes no new sessions: ${reasons.join(", ")}`]);
  if (routes?.error) found.push(["bad", "the newest rules are not in force", "#rules"]);
  for (const one of (gateways ?? []).filter((one) => !one.answered)) found.push(["bad", `${one.gateway_id ?? one.address} does not answer`, "#gateways"]);
  const odd = rows.filter((row) => row.health === "suspect" || (row.health !== "down" && row.breaker !== "closed"));
  if (odd.length) found.push(["odd", `${plural(odd.length, "backend does", "backends do")} not answer well`, BACKENDS]);
  found.push(...slow(rows));
  if (memory && memory.pressure !== "none") found.push(["bad", "memory is short", "#settings"]);
  const late = (workers ?? []).filter((worker) => worker.loop_lag_p99_us > LATE);
  if (late.length) found.push(["odd", `${plural(late.length, "worker is", "workers are")} late`, "#actors"]);
  if (traffic?.errors_per_second > MANY) found.push(["odd", `${short(traffic.errors_per_second)} errors a second go to players`]);
  else found.push(...lasting(points ?? [], refusals));
  const expires = gateway?.certificate_expires_seconds;
  const left = expires ? expires - Date.now() / 1000 : Infinity;
  if (left < 14 * DAY) found.push([left < 2 * DAY ? "bad" : "odd", left > 0 ? `a certificate ends in ${span(left)}` : "a certificate has ended"]);
  return found.sort(([one], [other]) => one.localeCompare(other));
}

/** Why a backend takes no new sessions; null: it takes them. */
function out(row) {
  const wanted = row.operator_state ?? "ready";
  if (wanted !== "ready") return wanted === "drain" ? "drained by an operator" : `in ${words(wanted)}`;
  return row.health === "down" ? "down" : row.health === "leaving" ? "leaving" : null;
}

/** Services none of whose backends takes sessions, which is what players notice first; then backends that are out while others are not. */
function without(rows) {
  const named = rows.filter((row) => row.in_rules);
  const found = [...new Set(named.map((row) => row.service))].map((service) => {
    const all = named.filter((row) => row.service === service);
    const gone = all.filter(out);
    if (gone.length === 0) return null;
    if (gone.length === all.length) return ["bad", `${service} has no backend that takes sessions: ${why(gone)}`, BACKENDS];
    const one = gone.length === 1 ? `${gone[0].endpoint} of ${service} is ${out(gone[0])}${since(gone[0])}` : `${gone.length} of ${all.length} backends of ${service} take no sessions: ${why(gone)}`;
    return ["odd", one, BACKENDS];
  });
  return found.filter(Boolean);
}

const since = ({ order, operator_state }) => (order && operator_state !== "ready" ? `, ${ago(order.since_seconds)}` : "");

function why(gone) {
  if (gone.length === 1) return `${gone[0].endpoint} is ${out(gone[0])}`;
  const reasons = new Map();
  for (const row of gone) reasons.set(out(row), (reasons.get(out(row)) ?? 0) + 1);
  return [...reasons].map(([reason, n]) => `${count(n)} ${reason}`).join(", ");
}

/** Tells whether players wait for a backend: those who are there, or newcomers. */
export const is_slow = (row) => Boolean(row.slow) || row.first_answer?.p99_us > SLOW;

/** How a slow backend is slow. */
function how_slow(row) {
  if (row.slow === "silent") return `nothing has come from it for ${span(row.silent_us / 1e6)}, though players send`;
  if (row.slow) return `half of its answers take ${time(row.answer.p50_us)}, usually ${time(row.usual_answer_us)}`;
  return `first answer ${time(row.first_answer.p99_us)}`;
}

function slow(rows) {
  const late = rows.filter(is_slow);
  if (late.length === 0) return [];
  const worst = late.find((row) => row.slow === "silent") ?? late.find((row) => row.slow) ?? late[0];
  if (late.length === 1) return [["odd", `${worst.endpoint} of ${worst.service} is slow: ${how_slow(worst)}`, BACKENDS]];
  return [["odd", `${late.length} backends are slow; ${worst.endpoint} of ${worst.service}: ${how_slow(worst)}`, BACKENDS]];
}

/** Errors that are few but do not end: what most of them say now is said too. */
function lasting(points, refusals) {
  const minutes = Math.floor(points.length / MINUTE);
  if (minutes < 5) return [];
  const newest = points.slice(-minutes * MINUTE);
  const sums = Array.from({ length: minutes }, (_, at) => newest.slice(at * MINUTE, (at + 1) * MINUTE).reduce((sum, point) => sum + point.errors_per_second, 0));
  if (sums.some((sum) => sum < LASTING)) return [];
  const since = Date.now() / 1000 - MINUTE;
  const of_late = (refusals?.rows ?? []).filter((row) => row.last_seconds > since).sort((one, other) => other.count - one.count)[0];
  const most = of_late ? `; the most frequent: ${[of_late.code, of_late.reason, of_late.service && `(${of_late.service})`].filter(Boolean).join(" ")}` : "";
  return [["odd", `players have got errors for ${minutes} minutes and more, ${count(sums.at(-1))} in the last one${most}`, "#sessions"]];
}

export function verdict() {
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
    while (list.children.length > found.length) list.lastChild.remove();
    while (list.children.length < found.length) list.append(h("li", {}, h("a")));
    found.forEach(([name, words, view], at) => {
      const item = list.children[at];
      look(item, name);
      say(item.firstChild, words);
      if (view) item.firstChild.setAttribute("href", view);
      else item.firstChild.removeAttribute("href");
    });
    const { gateway } = now;
    Object.assign(state, { id: gateway.gateway_id, sessions: count(now.traffic?.sessions ?? 0) });
    say(side, `up ${span(Date.now() / 1000 - gateway.start_time_seconds)}`);
    button.hidden = gateway.state !== "serving";
  };
  return { element, show };
}
