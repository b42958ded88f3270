// Actions: asked about first, with what will happen; what goes wrong is said where it was asked.

import { ask } from "./api.js";
import { h, say } from "./dom.js";

/** What the holder of the token may do, and whether this gateway knows others (once `known` is settled); set at sign-in. */
export const caller = { token: null, role: "operate", deployment: false, known: Promise.resolve() };

/** The path of a request that all gateways shall answer, where there are others. */
export const everywhere = (path) => (caller.deployment ? `${path}${path.includes("?") ? "&" : "?"}deployment=true` : path);

export const mayChange = () => caller.role === "operate";

/** A button that changes something: disabled, with the reason, for those who may only read. */
export function action(text, properties, press) {
  const denied = mayChange() ? {} : { disabled: true, title: `The token ${caller.token ?? ""} may only read.` };
  return h("button", { type: "button", ...properties, ...denied, onclick: press }, text);
}

/** Tells screen readers something, once. */
export function announce(text) {
  say(document.getElementById("said"), text);
}

/** Shows a dialog until it is closed, then gives the focus back. */
export function open(dialog) {
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks whether something shall be done, and does it. `what` is texts and elements; `fields` are inputs by name: {label, value, hint, pattern}; `run` gets
 * what was filled in. Resolves with its result, or undefined if it was not wanted.
 */
export function confirm({ title, what, button, danger = false, fields = {}, run }) {
  return new Promise((resolve) => {
    let result;
    const inputs = Object.entries(fields).map(([name, field]) => [name, input(field)]);
    const error = h("p", { class: "error", role: "alert" });
    const go = h("button", { class: danger ? "main danger" : "main", type: "submit" }, button);
    const send = async (event) => {
      event.preventDefault();
      [go.disabled, error.textContent] = [true, ""];
      try {
        const given = Object.fromEntries(inputs.map(([name, element]) => [name, element.value.trim()]));
        result = (await run(given)) ?? null;
        dialog.close();
      } catch (failure) {
        error.textContent = sentence(failure.message);
        go.disabled = false;
      }
    };
    const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const labels = inputs.map(([name, element]) => h("label", { class: "field" }, h("span", {}, fields[name].label), element));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, h("form", { onsubmit: send },
      h("h2", { id: "dialog-title" }, title), ...[what].flat().map((part) => (part instanceof Node ? part : h("p", {}, part))), labels, error,
      h("div", { class: "buttons" }, cancel, go)));
    dialog.addEventListener("close", () => resolve(result));
    open(dialog);
    (inputs[0]?.[1] ?? (danger ? cancel : go)).focus();
  });
}

function input({ value = "", hint, choices, required }) {
  if (choices) {
    return h("select", {}, choices.map(([name, text]) => h("option", { value: name, selected: name === value }, text)));
  }
  return h("input", { value, placeholder: hint, required, autocomplete: "off", spellcheck: "false" });
}

/** Begins with a capital, unless with the name of something, and ends with a full stop. */
export function sentence(text) {
  const begun = /^[a-z]+[\s,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

const LASTS = { label: "For how long (empty: until it is lifted)", hint: "10m, 2h, 7d as 168h" };
const REASON = { label: "Reason, for other operators", hint: "" };

/** The choice between this gateway and all, where there are others. */
export const where = () => (caller.deployment ? { where: { label: "Where", value: "all", choices: [["all", "On all gateways"], ["here", "On this gateway"]] } } : {});

/** Sends a change to this gateway, or to all; then it fails if not every one has done it. */
export async function change(method, path, body, given) {
  if (given.where !== "all") return ask(method, path, body);
  const done = await ask(method, everywhere(path), body);
  // What is not there need not be taken away.
  const gone = (one) => method === "DELETE" && one.status === 404;
  const bad = done.gateways.filter((one) => !one.answered || (one.status >= 300 && !gone(one)));
  if (bad.length) {
    const who = bad.map((one) => `${one.gateway_id ?? one.address}: ${one.why_not ?? one.answer?.error?.message ?? one.status}`);
    const failure = new Error(`Not on all gateways. The others have done it. ${who.join("; ")}`);
    throw Object.assign(failure, { partial: bad.length < done.gateways.length });
  }
  return done;
}

/** Bans an address or user, after a question. */
export function ban({ user_id = "", address = "" }) {
  const whom = user_id ? `user ${user_id}` : address;
  return confirm({
    title: `Ban ${whom}?`,
    what: `Sessions that ${user_id ? "this user" : "this address"} has here end at once, and no new one starts.`,
    button: "Ban",
    danger: true,
    fields: { for: LASTS, reason: REASON, ...where() },
    run: (given) => make_ban(user_id ? { user_id } : { address }, given),
  });
}

export async function make_ban(who, { for: time, reason, ...given }) {
  const made = await change("POST", "/api/v1/bans", { ...who, ...(time && { for: time }), ...(reason && { reason }) }, given);
  announce("Banned.");
  return made;
}

/** Lifts a ban, after a question. */
export function lift(row) {
  const path = `/api/v1/bans/${encodeURIComponent(row.id)}`;
  return confirm({
    title: `Lift the ban of ${row.address ?? `user ${row.user_id}`}?`,
    what: "They can connect again at once.",
    button: "Lift the ban",
    fields: where(),
    run: (given) => change("DELETE", path, undefined, given).then(() => true),
  });
}

/** Ends a session, after a question. */
export function kick(session) {
  const user = session.user_id === "0" ? "a user who is not known" : `user ${session.user_id}`;
  return confirm({
    title: "Kick this session?",
    what: `Session ${session.session_id} of ${user} ends with code 440. The player may connect again: to keep somebody away, ban the user or address.`,
    button: "Kick",
    danger: true,
    run: async () => {
      await ask("DELETE", everywhere(`/api/v1/sessions/${encodeURIComponent(session.global_id)}`));
      announce("The session has been kicked.");
      return true;
    },
  });
}

/** Begins a drain, after a question. */
export function drain(gateway, sessions) {
  return confirm({
    title: `Drain ${gateway}?`,
    what: [
      "It stops being ready, and soon takes no new sessions. Players who can resume are asked to go to another gateway; the others may stay until the window ends.",
      `${sessions} sessions are here now. It can be undone.`,
    ],
    button: "Drain",
    danger: true,
    fields: { window: { label: "Window (empty: as configured)", hint: "30s, 10m" } },
    run: async ({ window }) => {
      const begun = await ask("POST", "/api/v1/drain", window ? { window } : undefined);
      announce("The drain has begun.");
      return begun;
    },
  });
}

export function undo_drain() {
  return confirm({
    title: "Undo the drain?",
    what: "The gateway takes new sessions again. Players who have gone stay where they are.",
    button: "Undo the drain",
    run: async () => {
      const undone = await ask("DELETE", "/api/v1/drain");
      announce("The drain is undone.");
      return undone;
    },
  });
}

const STATES = {
  ready: ["Put it back into service?", "It takes new sessions again.", "Back into service"],
  drain: ["Drain this backend?", "It takes no new sessions. Those that it has stay.", "Drain"],
  move: ["Move the sessions of this backend away?", "It takes no new sessions, and those that it has go on at other backends, with their state: their players notice a little delay. Those that cannot be moved stay.", "Move away"],
  maintenance: ["Take this backend out for maintenance?", "It takes no new sessions, and those that it has end: their players are sent to another backend with the next thing that they do.", "Take it out"],
};

/** Puts a backend into a state, after a question. */
export function backend_state(row, state) {
  const [title, what, button] = STATES[state];
  const path = `/api/v1/backends/${encodeURIComponent(row.order?.address ?? row.endpoint)}/state`;
  const lasts = state === "ready" ? {} : { for: { ...LASTS, label: "For how long (empty: until it is put back)" }, reason: REASON };
  const fields = { ...lasts, ...where() };
  const wanted = state === "move" ? { state: "drain", move: true } : { state };
  return confirm({
    title,
    what: [`${row.endpoint}, in all its services. ${plural_sessions(row.sessions)} there in ${row.service}${row.seen ? "" : " on this gateway"}.`, what],
    button,
    danger: state === "maintenance",
    fields,
    run: async ({ for: time, reason, ...given }) => {
      await change("PUT", path, { ...wanted, ...(time && { for: time }), ...(reason && { reason }) }, given);
      announce(`${row.endpoint}: ${state === "move" ? "its sessions move away" : state}.`);
      return true;
    },
  });
}

const plural_sessions = (n) => (n === 1 ? "1 session is" : `${n} sessions are`);
