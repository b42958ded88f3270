// GGP/1's client protocol (docs/protocol.md, section 1) over WebSocket, for browsers and whatever
// else has WebSocket and EventTarget. A plain ES module: nothing to build.
//
//   import { GameSession } from "./ggp.js";
//   const session = await GameSession.connect("wss://play.example.com/", { service: "game", realmId: 1 });
//   session.addEventListener("data", ({ detail }) => console.log(detail.service, detail.payload));
//   session.addEventListener("end", ({ detail }) => console.log("over:", detail.code, detail.text));
//   session.send(new TextEncoder().encode("north"));

import { FrameError, Kind, decodeFrames, decodeNotice, decodeOpened, encodeFrame, encodeNotice } from "./ggp-frames.js";

export * from "./ggp-frames.js";

const MAX_PING_BYTES = 125;
const SUBPROTOCOL = "ggp.v1";
const NORMAL = 0;
const MALFORMED = 400;
/** Silence after which PING asks for a sign of life, in ms: while something is awaited, and while nothing is. */
const HEARTBEAT_MS = 5_000;
const PING_MS = 15_000;
/** Silence while something is awaited, after which the connection counts as lost, in ms (protocol 1.2). */
const DEAD_MS = 10_000;
/** Timeout of connecting, and of the answer to a RESUME by a gateway that says meanwhile that it lives, in ms. */
const CONNECT_MS = 10_000;
const RESUME_MS = 30_000;
/** Maximum random wait before a reconnect: at first, and at most, in ms (protocol 1.4). */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 30_000;
/** Time for which a lost session tries to resume, in ms. */
const GIVE_UP_MS = 120_000;
/** Maximum of unacknowledged DATA, in bytes; send() refuses more. */
const MAX_KEPT_BYTES = 1 << 20;
/** Codes of a CLOSE that ends only the connection of a resumable session. */
const ONLY_THE_CONNECTION = new Set([205, 408, 500, 503, 507]);
const UNAVAILABLE = 503;
const RESUMABLE = 1;
const GAP = 2;
/** Maximum delay of timers, in ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * A session with a gateway: one ordered stream of answers, and one end. It outlives its connection:
 * it comes back after a broken one, and moves when the gateway asks it to (protocol 3.2, 3.3).
 *
 * | event  | `detail` | |
 * | ------ | -------- | --- |
 * | `data` | `{ service, realmId, payload }` | a response, in order, without duplicates, and without losses since the last `gap` |
 * | `error` | `{ service, code, retryAfterMs, text }` | something was refused; the session goes on |
 * | `interrupted` | `{}` | the connection is lost; `resumed` or `end` follows |
 * | `resumed` | `{ gap }` | the session goes on over another connection |
 * | `gap`  | `{}` | frames in either direction may be missing here; the session goes on |
 * | `pong` | `{ payload }` | the answer to ping() |
 * | `goaway` | `{ milliseconds }` | so much time is left before the gateway closes; the session moves by itself |
 * | `end`  | `{ code, retryAfterMs, text }` | the last event, once. `code` is null where the connection was lost and could not be resumed: then what came last is not known |
 */
export class GameSession extends EventTarget {
  #url;
  #options;
  #sessionId = 0n;
  #ended = false;
  /** Resume token; empty: cannot be resumed. */
  #token = new Uint8Array();
  /** DATA received from the gateway, and acknowledged by it, since the beginning or the last gap. */
  #taken = 0;
  #acknowledged = 0;
  /** Unacknowledged DATA, as bytes; the number written to any connection, and to this one. */
  #kept = [];
  #keptBytes = 0;
  #written = 0;
  #current = 0;
  /** The connection in use, and the one on which RESUME was sent. */
  #socket = null;
  #next = null;
  /** Frames received on the one in use since then. */
  #held = [];
  /** Pending PINGs: the bytes, and the DATA that the PONG acknowledges; null for the application's own. */
  #pings = [];
  #nextPing = 0;
  #pingMs;
  #waitMs;
  #begun = false;
  #lastService = "";
  #timers = { keepAlive: 0, ask: 0, dead: 0, attempt: 0, giveUp: 0 };
  /** Silence that the gateway tolerates, in ms; 0: not known. */
  #idleTimeoutMs = 0;

  /**
   * Connects. The session starts with the first send(). Options: `service`, `realmId` and `userId`,
   * the defaults of send(); `resumable`, true by default; `pingMs`, the silence after which an idle session
   * sends PING, 0 disables that and what follows from it; `heartbeatMs`, the same while something is awaited;
   * `connectMs`, the timeout of connecting; `firstWaitMs`, the maximum
   * random wait before the first reconnect; `WebSocket`, another implementation.
   */
  static async connect(url, options = {}) {
    const session = new GameSession(url, options);
    session.#use(await dial(url, options));
    return session;
  }

  /** Use GameSession.connect(). */
  constructor(url, options) {
    super();
    this.#url = url;
    this.#options = options;
    this.#pingMs = options.pingMs ?? PING_MS;
    this.#waitMs = options.firstWaitMs ?? FIRST_WAIT_MS;
  }

  /** Session id; 0n until the gateway has sent it. */
  get sessionId() {
    return this.#sessionId;
  }

  get hasEnded() {
    return this.#ended;
  }

  /**
   * Sends one DATA, a Uint8Array: now, or when the session has come back. Throws where the session
   * has ended, and RangeError where too much waits: then nothing was sent.
   */
  send(payload, { service, realmId, userId } = {}) {
    if (this.#ended) {
      throw new Error("the session has ended");
    }
    const waiting = Math.max(this.#keptBytes, this.#socket?.bufferedAmount ?? 0);
    if (waiting + payload.length > MAX_KEPT_BYTES) {
      throw new RangeError("too much waits for the network");
    }
    const options = this.#options;
    this.#lastService = service ?? options.service ?? this.#lastService;
    const frame = encodeFrame({
      kind: Kind.DATA,
      flags: this.#begun || options.resumable === false ? 0 : RESUMABLE,
      service: this.#lastService,
      realmId: realmId ?? options.realmId ?? 0,
      userId: userId ?? options.userId ?? 0n,
      sessionId: this.#sessionId,
      payload,
    });
    this.#begun = true;
    this.#kept.push(frame);
    this.#keptBytes += frame.length;
    this.#feed();
  }

  /** Sends a PING of at most 125 bytes; its answer is the event `pong`. Lost with its connection. */
  ping(payload = new Uint8Array()) {
    if (payload.length > MAX_PING_BYTES) {
      throw new RangeError(`a PING of ${payload.length} bytes, at most ${MAX_PING_BYTES}`);
    }
    if (this.#ended) {
      throw new Error("the session has ended");
    }
    if (this.#socket !== null && this.#next === null) {
      this.#pings.push({ key: payload.join(), mark: null });
      this.#say({ kind: Kind.PING, payload });
    }
  }

  /** Ends the session with CLOSE. */
  close() {
    if (!this.#ended) {
      this.#leave(NORMAL, "");
    }
  }

  /** Starts to use a connection. */
  #use(socket) {
    this.#socket = socket;
    this.#pings = [];
    clearTimeout(this.#timers.giveUp);
    this.#timers.giveUp = 0;
    this.#waitMs = this.#options.firstWaitMs ?? FIRST_WAIT_MS;
    socket.addEventListener("message", ({ data }) => this.#message(socket, data));
    socket.addEventListener("close", () => this.#lost(socket, 0));
    this.#feed();
    this.#listen();
    this.#keepAlive();
  }

  #message(socket, data) {
    try {
      if (!(data instanceof ArrayBuffer)) {
        throw new FrameError("a text message");
      }
      for (const frame of decodeFrames(new Uint8Array(data))) {
        if (this.#ended) {
          return;
        }
        if (socket === this.#next) {
          this.#answered(frame);
        } else if (socket === this.#socket && this.#next !== null) {
          this.#held.push(frame);
        } else if (socket === this.#socket) {
          this.#take(frame);
        }
      }
    } catch (error) {
      if (!(error instanceof FrameError)) {
        throw error;
      }
      this.#leave(MALFORMED, error.message);
    }
  }

  /** Sends the DATA that the connection in use lacks. */
  #feed() {
    if (this.#socket === null || this.#next !== null) {
      return;
    }
    const awaited = this.#awaits();
    while (this.#current < this.#kept.length) {
      this.#socket.send(this.#kept[this.#current]);
      this.#current += 1;
    }
    if (!awaited && this.#awaits()) {
      this.#listen();
    }
    this.#written = Math.max(this.#written, this.#current);
    if (this.#options.resumable === false) {
      this.#acknowledge(this.#acknowledged + this.#current);
    } else if (this.#keptBytes > MAX_KEPT_BYTES / 2 && this.#pings.every(({ mark }) => mark === null)) {
      this.#pingOnce();
    }
  }

  /** Sends a PING whose PONG acknowledges all DATA before it. */
  #pingOnce() {
    if (this.#socket === null || this.#next !== null) {
      return;
    }
    // Told apart by its bytes from the empty PONG of a gateway that only says that it lives.
    const payload = new TextEncoder().encode(`ggp.js ${(this.#nextPing += 1)}`);
    this.#pings.push({ key: payload.join(), mark: this.#acknowledged + this.#current });
    this.#say({ kind: Kind.PING, payload });
    this.#doubt();
  }

  /** Returns whether DATA is not acknowledged, or a PING is not answered. */
  #awaits() {
    return (this.#options.resumable !== false && this.#current > 0) || this.#pings.length > 0;
  }

  /** Begins to measure silence, because something was heard or is awaited now. */
  #listen() {
    this.#stopListening();
    if (this.#pingMs === 0 || this.#ended || this.#socket === null || this.#next !== null) {
      return;
    }
    const heartbeatMs = this.#options.heartbeatMs ?? HEARTBEAT_MS;
    const awaits = this.#awaits();
    this.#timers.ask = setTimeout(() => this.#pingOnce(), awaits ? heartbeatMs : this.#pingMs);
    if (awaits) {
      this.#doubt();
    }
  }

  #stopListening() {
    clearTimeout(this.#timers.ask);
    clearTimeout(this.#timers.dead);
    this.#timers.dead = 0;
  }

  /** Gives the connection up where nothing at all is heard from now on. */
  #doubt() {
    if (this.#timers.dead === 0 && this.#pingMs > 0) {
      const socket = this.#socket;
      // Its close event would come when the browser has given up too.
      this.#timers.dead = setTimeout(() => this.#lost(socket, 0), DEAD_MS);
    }
  }

  /** Handles the acknowledgement of this many DATA. */
  #acknowledge(count) {
    const known = Math.min(Math.max(count - this.#acknowledged, 0), this.#written);
    for (const frame of this.#kept.splice(0, known)) {
      this.#keptBytes -= frame.length;
    }
    this.#acknowledged += known;
    this.#written -= known;
    this.#current = Math.max(this.#current - known, 0);
  }

  #say(frame) {
    this.#socket?.send(encodeFrame({ ...frame, sessionId: this.#sessionId }));
  }

  /** Handles a frame on the connection in use. */
  #take({ kind, service, realmId, sessionId, payload }) {
    if (sessionId !== 0n) {
      this.#sessionId = sessionId;
    }
    this.#handle(kind, service, realmId, payload);
    this.#listen();
  }

  #handle(kind, service, realmId, payload) {
    switch (kind) {
      case Kind.DATA:
        this.#taken += 1;
        this.#emit("data", { service, realmId, payload });
        break;
      case Kind.PING:
        this.#say({ kind: Kind.PONG, payload });
        break;
      case Kind.PONG: {
        const key = payload.join();
        const at = this.#pings.findIndex((ping) => ping.key === key);
        if (at < 0) {
          break; // the gateway's own: it lives
        }
        const { mark } = this.#pings[at];
        this.#pings.splice(0, at + 1);
        if (mark === null) {
          this.#emit("pong", { payload });
        } else {
          this.#acknowledge(mark);
        }
        break;
      }
      case Kind.ERROR:
        this.#emit("error", { service, ...decodeNotice(payload) });
        break;
      case Kind.CLOSE:
        this.#closed(decodeNotice(payload));
        break;
      case Kind.OPENED:
        this.#opened(decodeOpened(payload));
        break;
      case Kind.GOAWAY:
        if (payload.length >= 4) {
          const milliseconds = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
          this.#emit("goaway", { milliseconds });
          if (this.#token.length > 0 && this.#timers.attempt === 0) {
            this.#attemptIn(0); // at once: the gateway spreads its clients itself
          }
        }
        break;
      // A kind of a later version.
      default:
    }
  }

  #opened(opened) {
    if (opened === null) {
      return;
    }
    this.#token = opened.token;
    this.#acknowledge(Number(opened.received));
    this.#idleTimeoutMs = opened.idleTimeoutMs;
    this.#keepAlive();
  }

  #closed(why) {
    if (this.#token.length > 0 && ONLY_THE_CONNECTION.has(why.code)) {
      this.#lost(this.#socket, why.retryAfterMs);
    } else {
      this.#end(why);
    }
  }

  /** Handles the loss of a connection, or abandons it. */
  #lost(socket, retryAfterMs) {
    if (this.#ended || (socket !== this.#socket && socket !== this.#next)) {
      return;
    }
    if (socket === this.#next) {
      this.#next = null;
    } else {
      this.#socket = null;
      this.#stopListening();
      if (this.#token.length === 0) {
        this.#end({ code: null, retryAfterMs: 0, text: "the connection was lost" });
        return;
      }
      this.#emit("interrupted", {});
      const gaveUp = { code: null, retryAfterMs: 0, text: "no gateway took the session back in time" };
      this.#timers.giveUp = setTimeout(() => this.#end(gaveUp), GIVE_UP_MS);
    }
    socket.close();
    if (this.#next === null) {
      this.#tryAgain(retryAfterMs);
    }
  }

  #tryAgain(retryAfterMs) {
    const wait = retryAfterMs > 0 ? retryAfterMs : Math.random() * this.#waitMs;
    this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
    this.#attemptIn(wait);
  }

  #attemptIn(wait) {
    clearTimeout(this.#timers.attempt);
    this.#timers.attempt = setTimeout(() => this.#attempt(), Math.min(wait, MAX_TIMER_MS));
  }

  /** Reconnects, and sends RESUME. */
  async #attempt() {
    let socket;
    try {
      socket = await dial(this.#url, this.#options);
    } catch {
      this.#timers.attempt = 0;
      if (!this.#ended) {
        this.#tryAgain(0);
      }
      return;
    }
    this.#timers.attempt = 0;
    if (this.#ended) {
      socket.close();
      return;
    }
    // From here on the old connection is sent nothing, and what it brings is held back.
    this.#next = socket;
    this.#stopListening();
    const giveUp = () => {
      clearTimeout(silent);
      clearTimeout(late);
      if (socket === this.#next) {
        this.#lost(socket, 0);
        this.#deliverHeld();
      }
    };
    let silent = setTimeout(giveUp, DEAD_MS);
    const late = setTimeout(giveUp, RESUME_MS);
    socket.addEventListener("message", ({ data }) => {
      clearTimeout(silent);
      if (socket === this.#next) {
        // A PONG only says that the gateway lives: it is no answer.
        silent = setTimeout(giveUp, DEAD_MS);
        this.#message(socket, data);
      }
      if (socket !== this.#next) {
        clearTimeout(silent);
        clearTimeout(late);
      }
    });
    socket.addEventListener("close", giveUp);
    const payload = new Uint8Array(8 + this.#token.length);
    new DataView(payload.buffer).setBigUint64(0, BigInt(this.#taken));
    payload.set(this.#token, 8);
    socket.send(encodeFrame({ kind: Kind.RESUME, sessionId: this.#sessionId, payload }));
  }

  /** Handles the first frame on the connection that RESUME was sent on. */
  #answered({ kind, flags, payload }) {
    const socket = this.#next;
    if (kind === Kind.OPENED) {
      const opened = decodeOpened(payload);
      if (opened === null) {
        throw new FrameError("an OPENED that is too short");
      }
      const gap = (flags & GAP) !== 0;
      if (gap) {
        this.#acknowledge(this.#acknowledged + this.#written);
        [this.#taken, this.#acknowledged] = [0, 0];
      }
      this.#current = 0;
      this.#held = [];
      this.#next = null;
      this.#socket?.close();
      this.#opened(opened);
      this.#current = 0;
      this.#use(socket);
      this.#emit("resumed", { gap });
      if (gap) {
        this.#emit("gap", {});
      }
    } else if (kind === Kind.CLOSE) {
      const why = decodeNotice(payload);
      if (why.code !== UNAVAILABLE) {
        this.#end(why);
        return;
      }
      // The old connection goes on, if it still stands: with what it has brought meanwhile.
      this.#lost(socket, why.retryAfterMs);
      this.#deliverHeld();
    }
  }

  #deliverHeld() {
    const held = this.#held;
    this.#held = [];
    for (const frame of held) {
      if (!this.#ended) {
        this.#take(frame);
      }
    }
    this.#feed();
    this.#listen();
  }

  /** Sends CLOSE, and ends. */
  #leave(code, words) {
    this.#say({ kind: Kind.CLOSE, payload: encodeNotice(code, 0, words) });
    this.#end({ code, retryAfterMs: 0, text: words });
  }

  #end(why) {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    Object.values(this.#timers).forEach(clearTimeout);
    this.#socket?.close();
    this.#next?.close();
    this.#emit("end", why);
  }

  /** Schedules the next PING that the gateway wants to hear, whatever it says itself. */
  #keepAlive() {
    clearTimeout(this.#timers.keepAlive);
    if (this.#pingMs > 0 && this.#idleTimeoutMs > 0 && !this.#ended) {
      this.#timers.keepAlive = setTimeout(() => {
        this.#pingOnce();
        this.#keepAlive();
      }, Math.min(this.#idleTimeoutMs / 3, MAX_TIMER_MS));
    }
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Opens a WebSocket. */
function dial(url, { WebSocket = globalThis.WebSocket, connectMs = CONNECT_MS }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    const fail = () => {
      clearTimeout(timer);
      reject(new Error(`no connection to ${url}`));
    };
    const timer = setTimeout(() => socket.close(), connectMs);
    // An error is followed by a close, which says all that there is to know.
    socket.addEventListener("error", () => {});
    socket.addEventListener("close", fail, { once: true });
    socket.addEventListener("open", () => {
      clearTimeout(timer);
      socket.removeEventListener("close", fail);
      resolve(socket);
    }, { once: true });
  });
}
