// Requests to the gateway that the page comes from, with the token of this tab.

const KEY = "game-gateway token";
/** Milliseconds without a byte after which a stream is taken for dead; a comment comes every 10 s. */
const SILENCE = 25_000;
/** Milliseconds before the first attempt to open a stream again, and the most. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

function headers(more = {}) {
  const sent = token.get();
  return sent ? { ...more, Authorization: `Bearer ${sent}` } : more;
}

async function failure(answer) {
  const body = await answer.json().catch(() => null);
  const { code = "unknown", message = `HTTP status ${answer.status}` } = body?.error ?? {};
  return new ApiError(answer.status, code, message);
}

/** Sends a request. Returns its JSON, or null where the answer has none. */
export async function ask(method, path, body) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const kind = body === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { method, headers: headers(kind), cache: "no-store", ...sent });
  } catch {
    throw new ApiError(0, "unreachable", "The gateway cannot be reached.");
  }
  if (!answer.ok) throw await failure(answer);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path) => ask("GET", path);

/** Writes a query; empty values are left out. */
export function query(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

let paths = null;

/** Tells whether this gateway has a request, by its own document; "DELETE /api/v1/bans/{id}" for example. */
export async function has(request) {
  paths ??= get("/api/openapi.json").then((document) => document.paths).catch(() => ((paths = null), {}));
  const [method, path] = request.split(" ");
  return Boolean((await paths)?.[path]?.[method.toLowerCase()]);
}

/** Tells whether a request takes a query parameter. */
export async function takes(path, parameter) {
  await has(`GET ${path}`);
  const parameters = (await paths)?.[path]?.get?.parameters ?? [];
  return parameters.some(({ name }) => name === parameter);
}

/** Reads server-sent events up to their end, or until nothing comes for too long. */
async function read(path, signal, seen, event) {
  const answer = await fetch(path, { headers: headers(seen ? { "Last-Event-ID": seen } : {}), cache: "no-store", signal });
  if (!answer.ok) throw await failure(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await inTime(reader.read());
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) parse(block, event);
  }
}

function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new ApiError(0, "silent", "Nothing comes from the gateway.")), SILENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function parse(block, event) {
  let [name, data, id] = ["message", "", ""];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
    else if (line.startsWith("id: ")) id = line.slice(4);
  }
  if (data) event(name, JSON.parse(data), id);
}

/**
 * Listens until it is closed, and connects again with back-off, behind the last event that has a number. `state` hears "open", or "lost" with the reason and the
 * milliseconds up to the next attempt. A token that is refused ends it.
 */
export function listen(path, event, state) {
  let [closed, wait, wake, seen] = [false, FIRST_WAIT, () => {}, ""];
  let attempt = new AbortController();
  (async () => {
    while (!closed) {
      attempt = new AbortController();
      let reason = "The connection to the gateway has ended.";
      try {
        await read(path, attempt.signal, seen, (name, data, id) => {
          [wait, seen] = [FIRST_WAIT, id || seen];
          if (name === "end") reason = "The gateway has stopped.";
          state("open");
          event(name, data, id);
        });
      } catch (error) {
        if (closed) return;
        reason = error instanceof ApiError ? error.message : "The gateway cannot be reached.";
        if ([401, 403, 404].includes(error.status)) return state("refused", error);
      }
      attempt.abort();
      if (closed) return;
      // Many pages do not come back in the same moment.
      const pause = wait * (0.5 + Math.random());
      state("lost", reason, pause);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, pause);
        wake = () => (clearTimeout(timer), resolve());
      });
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  })();
  return {
    close: () => {
      closed = true;
      attempt.abort();
      wake();
    },
    again: () => wake(),
  };
}
