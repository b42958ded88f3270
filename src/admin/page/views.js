// More views: backends, bans. Each asks for itself while it is shown.

import { action, confirm, lift, make_ban, sentence, where } from "./act.js";
import { get } from "./api.js";
import { ago, bytes, card, count, h, say, segments, span, table, time } from "./dom.js";
import { backend_columns, backend_key, evacuation, state_buttons } from "./overview.js";
import { is_slow } from "./verdict.js";

/** Milliseconds between two looks of a view that the live events do not feed. */
const LOOK = 5_000;

/**
 * Calls a function now and every few seconds until it is stopped; its failures are written into a paragraph. While nobody sees the page it waits, unless
 * it is to go on; then it is called as soon as somebody does.
 */
export function repeat(error, load, { pause = LOOK, unseen = false } = {}) {
  let [timer, stopped] = [null, false];
  const next = () => {
    if (stopped) return;
    if (document.visibilityState !== "hidden" || unseen) again();
    else document.addEventListener("visibilitychange", next, { once: true });
  };
  const again = async () => {
    clearTimeout(timer);
    try {
      await load();
      say(error, "");
    } catch (failure) {
      say(error, sentence(failure.message));
    }
    if (!stopped) timer = setTimeout(next, pause);
  };
  again();
  return { now: again, stop: () => ((stopped = true), clearTimeout(timer)) };
}

/** Makes the paragraph for what goes wrong. */
export const problem = () => h("p", { class: "error", role: "alert" });

/** Who wants a backend's state and why, or else its last error; how far it has been emptied. */
const state_note = (row) => [
  row.order ? `by ${row.order.by}, ${ago(row.order.since_seconds)}${row.order.reason ? `: ${row.order.reason}` : ""}` : row.last_error,
  row.ping_age_us > 1e6 && `a PING waits for ${time(row.ping_age_us)}`,
  row.silent_us > 1e6 ? `nothing has come for ${span(row.silent_us / 1e6)}, though players send` : row.awaited_us > 1e6 && `a player's frame waits for ${span(row.awaited_us / 1e6)}`,
  evacuation(row),
].filter(Boolean).join("; ");

export function backends() {
  let choice = "all";
  let last = null;
  const rows = table("Backends", [
    ...backend_columns(state_note),
    { name: "Queued", class: "number", by: (row) => row.queued_bytes, text: (row) => bytes(row.queued_bytes) },
    { name: "From it", class: "number", by: (row) => row.bytes_in, text: (row) => bytes(row.bytes_in) },
    { name: "To it", class: "number", by: (row) => row.bytes_out, text: (row) => bytes(row.bytes_out) },
    state_buttons,
  ], { key: backend_key, row: (row) => (row.in_rules ? "" : "faint"), empty: "None.", sort: true });
  const note = h("p", { class: "note" });
  const draw = () => {
    if (!last) return;
    const well = (row) => row.health === "up" && row.breaker === "closed" && (row.operator_state ?? "ready") === "ready" && !is_slow(row);
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

export function bans() {
  const error = problem();
  const rows = table("Bans", [
    { name: "Who", class: "mono", text: (row) => row.address ?? `user ${row.user_id}` },
    { name: "Ends", text: (row) => (row.remaining_seconds === null ? "when it is lifted" : `in ${span(row.remaining_seconds)}`) },
    { name: "Refused", class: "number", by: (row) => row.refusals, text: (row) => count(row.refusals) },
    { name: "Ended sessions", class: "number", by: (row) => row.ended_sessions, text: (row) => count(row.ended_sessions) },
    { name: "Reason", class: "wrap", text: (row) => row.reason || "–" },
    { name: "By", class: "wrap note", text: (row) => `${row.by}, ${ago(row.since_seconds)}` },
    { name: "Actions", class: "actions", unseen: true, node: (item) => action("Lift", {}, () => lift(item()).then((done) => done && looking?.now())), update: (node, row) => node.setAttribute("aria-label", `Lift the ban of ${row.id}`) },
  ], { key: (row) => row.id, empty: "Nobody is banned.", sort: true });
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
