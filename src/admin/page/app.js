// The frame of the page: sign-in, live events, views, theme, keys.

import { announce, caller, drain, open, sentence } from "./act.js";
import { actors } from "./actors.js";
import { get, has, listen, token } from "./api.js";
import { POINTS } from "./chart.js";
import { gateways } from "./deployment.js";
import { cue, h, look, say, words } from "./dom.js";
import { overview } from "./overview.js";
import { rules } from "./rules.js";
import { session, sessions } from "./sessions.js";
import { settings } from "./settings.js";
import { one_trace, traces } from "./traces.js";
import { backends, bans } from "./views.js";

/** Milliseconds without news after which the page says so. */
const STALE = 5_000;
/** Milliseconds for which a page that nobody sees stays connected; a browser has few connections to one host. */
const HIDDEN = 60_000;

const VIEWS = { overview, backends, sessions, actors, rules, bans, traces, gateways, settings };
const DETAILS = { session, trace: one_trace };
const LEFT_OUT_WITHOUT = { traces: "GET /api/v1/traces", gateways: "GET /api/v1/gateways" };

const at = (id) => document.getElementById(id);
/** The newest data of each event, and the points of the charts. */
const now = { points: [] };
let [view, running, live, last, lost] = [null, null, null, 0, null];

// Theme.

const THEMES = ["auto", "light", "dark"];

function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem("game-gateway theme", name);
  say(at("theme"), { auto: "Auto", light: "Light", dark: "Dark" }[name]);
  at("theme").setAttribute("aria-label", `Colours: ${name}. Press for the next.`);
}

function next_theme() {
  const before = localStorage.getItem("game-gateway theme") ?? "auto";
  theme(THEMES[(THEMES.indexOf(before) + 1) % THEMES.length]);
}

// Sign-in.

async function begin() {
  try {
    Object.assign(caller, await get("/api/v1/whoami"));
  } catch (failure) {
    return failure.status === 401 ? sign_in(token.get() ? "The token is not known here." : "") : unreachable(failure);
  }
  at("role").hidden = false;
  say(at("role"), caller.token ? `${caller.token}${caller.role === "read" ? ", may only read" : ""}` : "no token needed");
  at("sign-out").hidden = !caller.token;
  at("views").hidden = false;
  await list_views();
  // Others may take their time to answer.
  caller.deployment = false;
  caller.known = has("GET /api/v1/gateways").then(async (has) => has && (caller.deployment = (await get("/api/v1/gateways")).configured)).catch(() => {});
  connect();
  route();
}

function sign_in(error) {
  stop();
  token.forget();
  const input = h("input", { type: "password", id: "token", required: true, autocomplete: "off", spellcheck: "false" });
  const send = (event) => {
    event.preventDefault();
    // A header takes nothing else.
    if (!/^[\x21-\x7e]+$/.test(input.value.trim())) return sign_in("A token has no spaces, and only ASCII characters.");
    token.set(input.value.trim());
    begin();
  };
  at("content").replaceChildren(h("section", { class: "card sign-in", "aria-labelledby": "sign-in" }, h("h2", { id: "sign-in" }, "Sign in"),
    h("p", { class: "note" }, "With a token of this gateway: admin.token or one of admin.tokens. It is kept for this tab alone."),
    h("form", { onsubmit: send }, h("label", { class: "field" }, h("span", {}, "Token"), input),
      h("p", { class: "error", role: "alert" }, error), h("button", { class: "main", type: "submit" }, "Sign in"))));
  input.focus();
}

function unreachable(failure) {
  stop();
  at("content").replaceChildren(h("section", { class: "card sign-in" }, h("h2", {}, "No answer"), h("p", { class: "error", role: "alert" }, sentence(failure.message)),
    h("div", { class: "buttons" }, h("button", { class: "main", type: "button", onclick: begin }, "Try again"))));
}

function stop() {
  live?.close();
  running?.stop?.();
  [live, running, view] = [null, null, null];
  for (const id of ["views", "role", "sign-out", "live", "state"]) at(id).hidden = true;
  document.body.classList.remove("stale");
}

// Live events.

function connect() {
  live?.close();
  live = listen("/api/v1/events", heard, state);
}

function heard(name, data) {
  last = Date.now();
  if (name === "history") now.points = data.points;
  else if (name === "traffic") now.points = [...now.points, data].slice(-POINTS);
  now[name] = data;
  // One drawing for the events of a second, which come together.
  heard.due ??= setTimeout(() => ((heard.due = null), draw()), 30);
}

function state(is, reason, pause) {
  if (is === "refused") {
    if (reason.status === 401) return sign_in("The token is not known here any more.");
    lost = sentence(reason.message);
  } else if (is === "lost") {
    lost ??= "";
    lost = `${reason} Trying again in ${Math.ceil(pause / 1000)} s.`;
  } else if (lost !== null) {
    lost = null;
    announce("Live again.");
  }
  freshness();
}

/** Says how old what is shown is. */
function freshness() {
  const age = Date.now() - last;
  const stale = last > 0 && (lost !== null || age > STALE);
  if (stale && !document.body.classList.contains("stale")) announce(lost ?? "No news from the gateway. What is shown is old.");
  document.body.classList.toggle("stale", stale);
  at("live").hidden = last === 0 && lost === null;
  look(at("live"), stale || lost ? "live stale" : "live");
  const seconds = Math.round(age / 1000);
  say(at("live").lastChild, lost !== null ? `${lost}${last ? ` As of ${seconds} s ago.` : ""}` : stale ? `no news for ${seconds} s` : "live");
}

function draw() {
  const { gateway } = now;
  if (gateway) {
    say(at("gateway-id"), gateway.gateway_id);
    say(at("version"), `version ${gateway.version}`);
    at("state").hidden = false;
    const well = gateway.state === "serving" && gateway.reasons.length === 0;
    look(at("state"), `pill ${well ? "good" : gateway.state === "serving" ? "bad" : "odd"}`);
    const text = gateway.state === "serving" && !well ? `not ready: ${gateway.reasons.join(", ")}` : words(gateway.state);
    if (at("state").textContent && at("state").textContent !== text) announce(`The gateway is ${text}.`);
    say(at("state"), text);
    title();
  }
  view?.show?.(now);
  freshness();
}

function title() {
  const id = now.gateway?.gateway_id;
  document.title = [view?.title, id, "game-gateway"].filter(Boolean).join(" · ");
}

// Views, by the part behind the #.

async function list_views() {
  const names = [];
  for (const name of Object.keys(VIEWS)) {
    if (!LEFT_OUT_WITHOUT[name] || (await has(LEFT_OUT_WITHOUT[name]))) names.push(name);
  }
  at("views").replaceChildren(...names.map((name) => h("a", { href: `#${name}` }, name.charAt(0).toUpperCase() + name.slice(1))));
}

function route() {
  if (at("views").hidden) return;
  const [name, rest = ""] = location.hash.slice(1).split("/");
  const make = VIEWS[name] ?? DETAILS[name] ?? overview;
  running?.stop?.();
  let argument = "";
  try {
    argument = decodeURIComponent(rest);
  } catch {
    // Not a link of this page.
  }
  const moves = view !== null;
  view = make(argument);
  const current = view.parent ?? (VIEWS[name] ? name : "overview");
  for (const link of at("views").children) {
    if (link.hash === `#${current}`) {
      link.setAttribute("aria-current", "page");
      const row = at("views");
      row.scrollLeft = link.offsetLeft - row.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
    } else link.removeAttribute("aria-current");
  }
  at("content").replaceChildren(view.element);
  view.show?.(now);
  running = view.start?.() ?? null;
  title();
  if (searching) at("search")?.focus();
  else if (moves) at("content").focus({ preventScroll: true });
  searching = false;
  window.scrollTo(0, 0);
}

// Keys.

/** The search is to have the focus as soon as it is there. */
let searching = false;
const keys = { on: localStorage.getItem("game-gateway keys") !== "off" };

function show_keys() {
  const list = [...at("views").children].map((link, place) => [String(place + 1), link.textContent]);
  const all = [...list, ["/", "Search sessions"], ["t", "Light or dark"], ["d", "Drain"], ["?", "These keys"]];
  const toggle = h("input", { type: "checkbox", checked: keys.on, onchange: () => {
    keys.on = toggle.checked;
    localStorage.setItem("game-gateway keys", keys.on ? "on" : "off");
  } });
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, h("div", { class: "stack" }, h("h2", { id: "dialog-title" }, "Keys"),
    h("dl", { class: "facts" }, all.flatMap(([key, does]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)])),
    h("label", { class: "check" }, toggle, "Single keys do this"),
    h("div", { class: "buttons" }, h("button", { class: "main", type: "button", onclick: () => dialog.close() }, "Close"))));
  open(dialog);
}

function pressed(event) {
  const writes = event.target.closest?.("input, select, textarea, dialog");
  if (!keys.on || writes || event.ctrlKey || event.metaKey || event.altKey) return;
  const link = at("views").children[Number(event.key) - 1];
  if (event.key === "?") show_keys();
  else if (event.key === "t") next_theme();
  else if (at("views").hidden) return;
  else if (link) location.hash = link.hash;
  else if (event.key === "/") {
    if (view?.title === "Sessions") at("search").focus();
    else [searching, location.hash] = [true, "#sessions"];
  } else if (event.key === "d" && caller.role === "operate" && now.gateway?.state === "serving") {
    drain(now.gateway.gateway_id, now.traffic?.sessions ?? 0);
  } else return;
  event.preventDefault();
}

let hidden = null;

function visible() {
  clearTimeout(hidden);
  if (document.visibilityState === "hidden") {
    hidden = setTimeout(() => {
      live?.close();
      live = null;
    }, HIDDEN);
  } else if (live === null && view !== null) connect();
  else live?.again();
}

cue(at("views"), at("content"));
theme(localStorage.getItem("game-gateway theme") ?? "auto");
at("theme").addEventListener("click", next_theme);
at("keys").addEventListener("click", show_keys);
at("sign-out").addEventListener("click", () => sign_in(""));
at("live").addEventListener("click", () => live?.again());
addEventListener("hashchange", route);
addEventListener("keydown", pressed);
document.addEventListener("visibilitychange", visible);
setInterval(freshness, 1_000);
begin();
