// examples/ggp.js against the bytes of docs/protocol.md, and a session against a WebSocket that
// this test plays. Run by tests/browser/, or: node --test tests/javascript/
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const file = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
// Older versions of Node.js lack it.
globalThis.CustomEvent ??= class extends Event {
  constructor(name, { detail }) {
    super(name);
    this.detail = detail;
  }
};
const {
  FrameError, GameSession, HEADER_BYTES, Kind, decodeFrames, decodeNotice, decodeOpened, encodeFrame, encodeNotice,
} = await import("../../examples/ggp.js");

const document = file("docs/protocol.md");
const bytes = (text) => new TextEncoder().encode(text);
const text = (payload) => new TextDecoder().decode(payload);
const hex = (digits) => Uint8Array.from(digits.replace(/\s/g, "").match(/../g), (pair) => parseInt(pair, 16));

/** The client's frames of the transcripts: what the line before them says, and their bytes. */
function* transcripts() {
  for (const [, block] of document.matchAll(/```transcript\n(.*?)```/gs)) {
    for (const [, head, digits] of block.matchAll(/^(?:C>G|G>C)  (.*)\n((?: {5}.*\n)+)/gm)) {
      const [, kind, fields, words] = head.match(/^(\w+)(.*?)(?: "(.*)")?$/);
      const named = Object.fromEntries([...fields.matchAll(/(\w+)=("[^"]*"|\S+)/g)].map(([, k, v]) => [k, v]));
      yield { kind: Kind[kind], words: words ?? "", named, bytes: hex(digits) };
    }
  }
}

/** What the document says of a frame, as encodeFrame() wants it. */
function described({ kind, words, named }) {
  let payload = bytes(words);
  if (kind === Kind.ERROR || kind === Kind.CLOSE) {
    payload = encodeNotice(Number(named.code), Number(named.retry_after ?? 0), words);
  }
  return {
    kind,
    flags: Number(named.flags ?? 0),
    realmId: Number(named.realm ?? 0),
    userId: BigInt(named.user ?? 0),
    sessionId: BigInt(`0x${named.session ?? 0}`),
    service: named.service ?? "",
    payload,
  };
}

test("every frame of the document's transcripts, both ways", () => {
  const kinds = new Set();
  for (const line of transcripts()) {
    const [frame, ...more] = decodeFrames(line.bytes);
    assert.deepEqual(more, []);
    assert.deepEqual(encodeFrame(frame), line.bytes);
    kinds.add(line.kind);
    if (line.kind === Kind.OPENED) {
      assert.deepEqual(decodeOpened(frame.payload), {
        received: BigInt(line.named.received), idleTimeoutMs: Number(line.named.idle_timeout_ms), token: bytes(""),
      });
      continue;
    }
    assert.deepEqual(frame, described(line));
    if (line.kind === Kind.ERROR || line.kind === Kind.CLOSE) {
      assert.deepEqual(decodeNotice(frame.payload), { code: Number(line.named.code), retryAfterMs: 0, text: line.words });
    }
  }
  const expected = [Kind.DATA, Kind.OPENED, Kind.PING, Kind.PONG, Kind.ERROR, Kind.CLOSE];
  assert.deepEqual([...kinds].sort(), expected.sort());
});

test("ids beyond 2^53 survive", () => {
  const sessionId = 0xffff_ffff_ffff_ffffn;
  const userId = 2n ** 53n + 1n;
  const [frame] = decodeFrames(encodeFrame({ kind: Kind.DATA, sessionId, userId }));
  assert.deepEqual([frame.sessionId, frame.userId], [sessionId, userId]);
});

test("a message holds whole frames or none", () => {
  const frame = encodeFrame({ kind: Kind.DATA, service: "game", payload: bytes("one") });
  const two = Uint8Array.from([...frame, ...frame]);
  assert.equal(decodeFrames(two).length, 2);
  for (let cut = 1; cut < frame.length; cut += 1) {
    assert.throws(() => decodeFrames(frame.subarray(0, cut)), FrameError);
  }
  for (const [at, value] of [[0, 0xa6], [1, 0], [2, 2], [28, 65], [32, 0x5f]]) {
    const bad = frame.slice();
    bad[at] = value;
    assert.throws(() => decodeFrames(bad), FrameError, `byte ${at}`);
  }
  assert.throws(() => encodeFrame({ kind: Kind.DATA, service: "Game" }), RangeError);
  assert.throws(() => encodeFrame({ kind: Kind.DATA, service: "x".repeat(65) }), RangeError);
});

test("a short CLOSE is taken", () => {
  assert.deepEqual(decodeNotice(bytes("")), { code: 0, retryAfterMs: 0, text: "" });
  assert.deepEqual(decodeNotice(hex("01F7")), { code: 503, retryAfterMs: 0, text: "" });
  assert.deepEqual(decodeNotice(encodeNotice(503, 1500, "full")), { code: 503, retryAfterMs: 1500, text: "full" });
  assert.equal(decodeOpened(new Uint8Array(11)), null);
});

/** The other end of a session. */
class Wire extends EventTarget {
  static newest;
  bufferedAmount = 0;
  sent = [];
  closed = false;

  constructor(url, protocol) {
    super();
    Object.assign(this, { url, protocol });
    Wire.newest = this;
  }
  send(message) {
    this.sent.push(...decodeFrames(message));
  }
  close() {
    if (!this.closed) {
      this.closed = true;
      this.dispatchEvent(new Event("close"));
    }
  }
  opened() {
    this.dispatchEvent(new Event("open"));
  }
  comes(...frames) {
    const message = Uint8Array.from(frames.flatMap((frame) => [...encodeFrame(frame)]));
    this.dispatchEvent(new MessageEvent("message", { data: message.buffer }));
  }
}

/** A session, its wire, and the list of its events as they come. */
async function session(options = {}) {
  const connecting = GameSession.connect("ws://gateway/", { WebSocket: Wire, pingMs: 0, ...options });
  const wire = Wire.newest;
  wire.opened();
  const playing = await connecting;
  const events = [];
  for (const name of ["data", "error", "gap", "pong", "goaway", "end"]) {
    playing.addEventListener(name, ({ detail }) => events.push([name, detail]));
  }
  return { playing, wire, events };
}

test("a session sends as whom it is told, and learns its id", async () => {
  const { playing, wire, events } = await session({ service: "game", realmId: 2, userId: 7n });
  assert.deepEqual([wire.protocol, wire.binaryType], ["ggp.v1", "arraybuffer"]);
  playing.send(bytes("one"));
  wire.comes({ kind: Kind.DATA, service: "game", realmId: 2, sessionId: 99n, payload: bytes("two") });
  playing.send(bytes("three"), { service: "chat" });
  const [first, second] = wire.sent;
  assert.deepEqual([first.service, first.realmId, first.userId, first.sessionId], ["game", 2, 7n, 0n]);
  assert.deepEqual([second.service, second.sessionId, text(second.payload)], ["chat", 99n, "three"]);
  assert.deepEqual(events, [["data", { service: "game", realmId: 2, payload: bytes("two") }]]);
  assert.equal(playing.sessionId, 99n);
});

test("what the gateway says", async () => {
  const { wire, events, playing } = await session();
  wire.comes(
    { kind: Kind.PING, payload: bytes("you?") },
    { kind: Kind.OPENED, payload: new Uint8Array(12) },
    { kind: Kind.ERROR, service: "chat", payload: encodeNotice(404, 0, "no rule") },
    { kind: 99 },
    { kind: Kind.GOAWAY, payload: hex("000003E8") },
    { kind: Kind.CLOSE, payload: encodeNotice(503, 1500, "drains") },
    { kind: Kind.DATA, payload: bytes("behind the end") },
  );
  assert.deepEqual(wire.sent.map(({ kind, payload }) => [kind, text(payload)]), [[Kind.PONG, "you?"]]);
  assert.deepEqual(events, [
    ["error", { service: "chat", code: 404, retryAfterMs: 0, text: "no rule" }],
    ["goaway", { milliseconds: 1000 }],
    ["end", { code: 503, retryAfterMs: 1500, text: "drains" }],
  ]);
  assert.ok(wire.closed && playing.hasEnded);
  assert.throws(() => playing.send(bytes("late")), /has ended/);
});

test("each way to end is told once", async () => {
  const left = await session();
  left.playing.close();
  left.playing.close();
  assert.deepEqual(left.wire.sent.map(({ kind, payload }) => [kind, payload]), [[Kind.CLOSE, encodeNotice(0)]]);
  assert.deepEqual(left.events.map(([name, { code }]) => [name, code]), [["end", 0]]);

  const lost = await session();
  lost.wire.close();
  assert.deepEqual(lost.events.map(([name, { code }]) => [name, code]), [["end", null]]);

  const broken = await session();
  broken.wire.dispatchEvent(new MessageEvent("message", { data: "text" }));
  assert.deepEqual(broken.events.map(([name, { code }]) => [name, code]), [["end", 400]]);
  assert.equal(decodeNotice(broken.wire.sent[0].payload).code, 400);

  const refused = GameSession.connect("ws://nobody/", { WebSocket: Wire });
  Wire.newest.close();
  await assert.rejects(refused, /no connection to ws:\/\/nobody\//);
});

test("what waits for the network is bounded", async () => {
  const { playing, wire } = await session();
  wire.bufferedAmount = 1 << 20;
  assert.throws(() => playing.send(bytes("x")), RangeError);
  assert.throws(() => playing.ping(new Uint8Array(126)), RangeError);
  wire.bufferedAmount = 0;
  playing.ping(bytes("?"));
  wire.comes({ kind: Kind.PONG, payload: bytes("?") });
  assert.equal(wire.sent.length, 1);
});

/** Time that passes when it is told to. */
function clock(t) {
  const { setTimeout, clearTimeout } = globalThis;
  t.after(() => Object.assign(globalThis, { setTimeout, clearTimeout }));
  let now = 0;
  let last = 0;
  const timers = new Map();
  globalThis.setTimeout = (run, wait) => {
    timers.set((last += 1), { run, due: now + wait });
    return last;
  };
  globalThis.clearTimeout = (id) => timers.delete(id);
  return (milliseconds) => {
    const until = now + milliseconds;
    for (;;) {
      const due = [...timers].filter(([, timer]) => timer.due <= until).sort(([, a], [, b]) => a.due - b.due)[0];
      if (due === undefined) {
        break;
      }
      timers.delete(due[0]);
      now = due[1].due;
      due[1].run();
    }
    now = until;
  };
}

/** An OPENED that acknowledges this many DATA. */
function opened(received, idleTimeout = "00007530") {
  const count = received.toString(16).padStart(16, "0");
  return { kind: Kind.OPENED, payload: Uint8Array.from([...hex(count), ...hex(idleTimeout), 1, 2, 3]) };
}

/** The gateway answers the newest PING. */
function pong(wire) {
  wire.comes({ kind: Kind.PONG, payload: wire.sent.findLast(({ kind }) => kind === Kind.PING).payload });
}

test("an idle session shows signs of life", async (t) => {
  const tick = clock(t);
  const { playing, wire } = await session({ pingMs: 15_000 });
  tick(14_999);
  assert.equal(wire.sent.length, 0);
  tick(1);
  assert.equal(wire.sent[0].kind, Kind.PING);
  pong(wire);
  // An idle timeout of 30 s: a third of it from now on, whatever is heard.
  wire.comes(opened(0));
  tick(9_999);
  wire.comes({ kind: Kind.DATA });
  tick(1);
  assert.equal(wire.sent.length, 2);
  playing.close();
  tick(100_000);
  assert.equal(wire.sent.length, 3, "PING, PING, CLOSE");
});

test("a path that is silent while something is awaited is given up after ten seconds", async (t) => {
  const tick = clock(t);
  const { playing, wire } = await session({ service: "game", pingMs: 15_000, firstWaitMs: 0 });
  const interrupted = [];
  playing.addEventListener("interrupted", () => interrupted.push("interrupted"));
  playing.send(bytes("one"));
  wire.comes(opened(1, "000493E0"));
  tick(14_000);
  playing.send(bytes("two"));
  tick(5_000);
  assert.equal(wire.sent.at(-1).kind, Kind.PING);
  tick(4_000);
  // The gateway's own PONG: it holds the client back.
  wire.comes({ kind: Kind.PONG });
  tick(9_999);
  assert.deepEqual([wire.closed, interrupted], [false, []]);
  tick(1);
  assert.deepEqual([wire.closed, interrupted], [true, ["interrupted"]]);
});

test("a RESUME waits while its gateway says that it lives", async (t) => {
  const tick = clock(t);
  const { playing, wire } = await session({ service: "game", pingMs: 15_000, firstWaitMs: 0 });
  playing.send(bytes("one"));
  wire.comes(opened(1, "000493E0"));
  wire.close();
  tick(0);
  const [next, resumed] = [Wire.newest, []];
  playing.addEventListener("resumed", ({ detail }) => resumed.push(detail));
  next.opened();
  await Promise.resolve().then(() => {}).then(() => {});
  assert.equal(next.sent[0].kind, Kind.RESUME);
  for (let seconds = 0; seconds < 20; seconds += 5) {
    tick(5_000);
    next.comes({ kind: Kind.PONG });
  }
  assert.ok(!next.closed);
  next.comes(opened(1, "000493E0"));
  assert.deepEqual(resumed, [{ gap: false }]);
  // The same without a word is given up.
  next.close();
  tick(0);
  const last = Wire.newest;
  last.opened();
  await Promise.resolve().then(() => {}).then(() => {});
  tick(10_000);
  assert.ok(last.closed);
});

test("the header is as long as the document says", () => {
  assert.equal(encodeFrame({ kind: Kind.PING }).length, HEADER_BYTES);
});
