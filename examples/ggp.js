// GGP/1's client protocol (docs/protocol.md, section 1) over WebSocket, for browsers and whatever
// else has WebSocket and EventTarget. A plain ES module: nothing to build, nothing else to load.
//
//   import { GameSession } from "./ggp.js";
//   const session = await GameSession.connect("wss://play.example.com/", { service: "game", realmId: 1 });
//   session.addEventListener("data", ({ detail }) => console.log(detail.service, detail.payload));
//   session.addEventListener("end", ({ detail }) => console.log("over:", detail.code, detail.text));
//   session.send(new TextEncoder().encode("north"));

export const Kind = Object.freeze({
  DATA: 0, OPENED: 1, RESUME: 2, PING: 3, PONG: 4, ERROR: 5, CLOSE: 6, GOAWAY: 7,
});
export const HEADER_BYTES = 32;

const MAGIC = 0xa747;
const VERSION = 1;
const MAX_SERVICE_BYTES = 64;
const MAX_PING_BYTES = 125;
const SERVICE_NAME = /^[a-z0-9][a-z0-9._-]*$/;
const SUBPROTOCOL = "ggp.v1";
const NORMAL = 0;
const MALFORMED = 400;
/** What may wait for the network, in bytes; send() refuses more. */
const MAX_WAITING_BYTES = 1 << 20;
/** Between two PINGs of an idle session, in ms: well below a third of the default idle timeout. */
const PING_MS = 60_000;
/** How long connecting may take, in ms. */
const CONNECT_MS = 10_000;
/** The longest that timers can wait, in ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** What came is no frame; nothing behind it can be understood. */
export class FrameError extends Error {}

/**
 * One frame as bytes. `userId` and `sessionId` are BigInt (numbers end at 2^53); what is left out
 * is 0 or empty.
 */
export function encodeFrame({
  kind, flags = 0, realmId = 0, userId = 0n, sessionId = 0n, service = "", payload = new Uint8Array(),
}) {
  const name = utf8.encode(service);
  if (name.length > MAX_SERVICE_BYTES || (service !== "" && !SERVICE_NAME.test(service))) {
    throw new RangeError(`${JSON.stringify(service)} is no service name`);
  }
  const bytes = new Uint8Array(HEADER_BYTES + name.length + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, MAGIC);
  view.setUint8(2, VERSION);
  view.setUint8(3, kind);
  view.setUint32(4, payload.length);
  view.setUint32(8, realmId);
  view.setBigUint64(12, BigInt(userId));
  view.setBigUint64(20, BigInt(sessionId));
  view.setUint8(28, name.length);
  view.setUint8(29, flags);
  bytes.set(name, HEADER_BYTES);
  bytes.set(payload, HEADER_BYTES + name.length);
  return bytes;
}

/** All frames of one message, a Uint8Array. Throws FrameError where it does not hold whole frames. */
export function decodeFrames(bytes) {
  const frames = [];
  for (let at = 0; at < bytes.length;) {
    const frame = decodeFrame(bytes.subarray(at));
    frames.push(frame);
    at += HEADER_BYTES + frame.service.length + frame.payload.length;
  }
  return frames;
}

function decodeFrame(bytes) {
  if (bytes.length < HEADER_BYTES) {
    throw new FrameError("less than a header");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(0) !== MAGIC || view.getUint8(2) !== VERSION) {
    throw new FrameError("not a frame of this protocol");
  }
  const nameEnd = HEADER_BYTES + view.getUint8(28);
  const end = nameEnd + view.getUint32(4);
  if (nameEnd - HEADER_BYTES > MAX_SERVICE_BYTES || end > bytes.length) {
    throw new FrameError("a frame that is cut off");
  }
  const service = text.decode(bytes.subarray(HEADER_BYTES, nameEnd));
  if (service !== "" && !SERVICE_NAME.test(service)) {
    throw new FrameError("a bad service name");
  }
  return {
    kind: view.getUint8(3),
    flags: view.getUint8(29),
    realmId: view.getUint32(8),
    userId: view.getBigUint64(12),
    sessionId: view.getBigUint64(20),
    service,
    payload: bytes.slice(nameEnd, end),
  };
}

/** The payload of a CLOSE. */
export function encodeNotice(code, retryAfterMs = 0, words = "") {
  const tail = utf8.encode(words);
  const payload = new Uint8Array(6 + tail.length);
  const view = new DataView(payload.buffer);
  view.setUint16(0, code);
  view.setUint32(2, retryAfterMs);
  payload.set(tail, 6);
  return payload;
}

/** What an ERROR or CLOSE says. One that is too short is taken: what is missing is 0 or empty. */
export function decodeNotice(payload) {
  const fixed = new Uint8Array(6);
  fixed.set(payload.subarray(0, 6));
  const view = new DataView(fixed.buffer);
  return {
    code: view.getUint16(0),
    retryAfterMs: view.getUint32(2),
    text: text.decode(payload.subarray(6)),
  };
}

/** What an OPENED says; null where it is too short. */
export function decodeOpened(payload) {
  if (payload.length < 12) {
    return null;
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    received: view.getBigUint64(0),
    idleTimeoutMs: view.getUint32(8),
    token: payload.slice(12),
  };
}

/**
 * A session with a gateway: one ordered stream of answers, and one end.
 *
 * | event  | `detail` | |
 * | ------ | -------- | --- |
 * | `data` | `{ service, realmId, payload }` | an answer, in order, none twice |
 * | `error` | `{ service, code, retryAfterMs, text }` | something was refused; the session goes on |
 * | `gap`  | `{}` | frames in either direction may be missing here; the session goes on |
 * | `pong` | `{ payload }` | the answer to ping() |
 * | `goaway` | `{ milliseconds }` | so much time is left before the gateway closes |
 * | `end`  | `{ code, retryAfterMs, text }` | the last event, once. `code` is null where the connection was lost without a word: then what came last is not known |
 *
 * The events do not depend on which connection they came over: `gap` is for sessions that outlive
 * a connection, which this version does not do yet.
 */
export class GameSession extends EventTarget {
  #socket;
  #options;
  #sessionId = 0n;
  #ended = false;
  #pingTimer = 0;
  #pingMs;

  /**
   * Connects. The session starts with the first send(). Options: `service`, `realmId` and `userId`
   * of what is sent (send() may name others); `pingMs` between two PINGs of an idle session, 0:
   * none; `connectMs` for the connection to be made; `WebSocket`, where there is another one.
   */
  static connect(url, options = {}) {
    const { WebSocket = globalThis.WebSocket, connectMs = CONNECT_MS } = options;
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, SUBPROTOCOL);
      socket.binaryType = "arraybuffer";
      const fail = () => {
        clearTimeout(timer);
        reject(new Error(`no connection to ${url}`));
      };
      const timer = setTimeout(() => socket.close(), connectMs);
      socket.addEventListener("close", fail, { once: true });
      socket.addEventListener("open", () => {
        clearTimeout(timer);
        socket.removeEventListener("close", fail);
        resolve(new GameSession(socket, options));
      }, { once: true });
    });
  }

  /** Use GameSession.connect(). */
  constructor(socket, options) {
    super();
    this.#socket = socket;
    this.#options = options;
    this.#pingMs = options.pingMs ?? PING_MS;
    socket.addEventListener("message", (event) => this.#take(event.data));
    socket.addEventListener("close", () => {
      this.#end({ code: null, retryAfterMs: 0, text: "the connection was lost" });
    });
    this.#keepAlive();
  }

  /** 0n until the gateway has told it. */
  get sessionId() {
    return this.#sessionId;
  }

  get hasEnded() {
    return this.#ended;
  }

  /**
   * Sends one DATA, a Uint8Array. Throws where the session has ended, and RangeError where too much
   * waits for the network: then nothing was sent.
   */
  send(payload, { service, realmId, userId } = {}) {
    const options = this.#options;
    this.#write({
      kind: Kind.DATA,
      service: service ?? options.service ?? "",
      realmId: realmId ?? options.realmId ?? 0,
      userId: userId ?? options.userId ?? 0n,
      payload,
    });
  }

  /** Sends a PING of at most 125 bytes; its answer is the event `pong`. */
  ping(payload = new Uint8Array()) {
    if (payload.length > MAX_PING_BYTES) {
      throw new RangeError(`a PING of ${payload.length} bytes, at most ${MAX_PING_BYTES}`);
    }
    this.#write({ kind: Kind.PING, payload });
  }

  /** Ends the session in order. */
  close() {
    if (!this.#ended) {
      this.#leave(NORMAL, "");
    }
  }

  #write(frame) {
    if (this.#ended) {
      throw new Error("the session has ended");
    }
    if (this.#socket.bufferedAmount + frame.payload.length > MAX_WAITING_BYTES) {
      throw new RangeError("too much waits for the network");
    }
    this.#socket.send(encodeFrame({ ...frame, sessionId: this.#sessionId }));
    this.#keepAlive();
  }

  #take(data) {
    if (this.#ended) {
      return;
    }
    try {
      if (!(data instanceof ArrayBuffer)) {
        throw new FrameError("a text message");
      }
      for (const frame of decodeFrames(new Uint8Array(data))) {
        this.#takeFrame(frame);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) {
        throw error;
      }
      this.#leave(MALFORMED, error.message);
    }
  }

  #takeFrame({ kind, service, realmId, sessionId, payload }) {
    if (this.#ended) {
      return;
    }
    if (sessionId !== 0n) {
      this.#sessionId = sessionId;
    }
    switch (kind) {
      case Kind.DATA:
        this.#emit("data", { service, realmId, payload });
        break;
      case Kind.PING:
        this.#write({ kind: Kind.PONG, payload });
        break;
      case Kind.PONG:
        this.#emit("pong", { payload });
        break;
      case Kind.ERROR:
        this.#emit("error", { service, ...decodeNotice(payload) });
        break;
      case Kind.CLOSE:
        this.#end(decodeNotice(payload));
        break;
      case Kind.OPENED: {
        const opened = decodeOpened(payload);
        if (opened !== null && opened.idleTimeoutMs > 0 && this.#pingMs > 0) {
          this.#pingMs = Math.min(this.#pingMs, opened.idleTimeoutMs / 3);
          this.#keepAlive();
        }
        break;
      }
      case Kind.GOAWAY:
        if (payload.length >= 4) {
          const view = new DataView(payload.buffer, payload.byteOffset);
          this.#emit("goaway", { milliseconds: view.getUint32(0) });
        }
        break;
      // A kind of a later version.
      default:
    }
  }

  /** Says CLOSE, and ends. */
  #leave(code, words) {
    this.#socket.send(encodeFrame({
      kind: Kind.CLOSE, sessionId: this.#sessionId, payload: encodeNotice(code, 0, words),
    }));
    this.#end({ code, retryAfterMs: 0, text: words });
  }

  #end(why) {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    clearTimeout(this.#pingTimer);
    this.#socket.close();
    this.#emit("end", why);
  }

  /** The next PING is due so long after what was sent last. */
  #keepAlive() {
    clearTimeout(this.#pingTimer);
    if (this.#pingMs > 0 && !this.#ended) {
      const wait = Math.min(this.#pingMs, MAX_TIMER_MS);
      this.#pingTimer = setTimeout(() => {
        // With much waiting for the network a PING would come too late to be of use.
        if (this.#socket.bufferedAmount < MAX_WAITING_BYTES) {
          this.ping();
        }
      }, wait);
    }
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
