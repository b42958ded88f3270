// examples/ggp.js with more frames than it may keep, to a service that says nothing until the last one: what PONG
// acknowledges is forgotten. Run by tests/resume, with the gateway's URL and a count; npm's ws lies below
// $TOOLS, and node needs --expose-gc.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { GameSession } from "../../examples/ggp.js";

const WebSocket = createRequire(`${process.env.TOOLS}/`)("ws");
const [url, count] = [process.argv[2], Number(process.argv[3])];
const PAYLOAD_BYTES = 100;
/** Frames between two looks at the memory. */
const LOOK = 10_000;
/** Bound of what the client owns beyond what it owned when it began: 1 MiB of frames, each with an object of its own,
 * once to be sent again and once on its way into the socket. All frames would be more than 30 MiB. */
const BOUND = 12 << 20;

globalThis.CustomEvent ??= class extends Event {
  constructor(name, { detail }) {
    super(name);
    this.detail = detail;
  }
};

const owned = () => {
  globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};
const once = (session, name) =>
  new Promise((resolve) => session.addEventListener(name, ({ detail }) => resolve(detail), { once: true }));

const session = await GameSession.connect(url, { service: "game", userId: 42n, WebSocket });
session.addEventListener("interrupted", () => assert.fail("interrupted"));
session.addEventListener("error", ({ detail }) => assert.fail(JSON.stringify(detail)));
const answer = once(session, "data");
const before = owned();
let [waits, most] = [0, 0];
for (let n = 0; n < count; n += 1) {
  const payload = new Uint8Array(PAYLOAD_BYTES);
  new DataView(payload.buffer).setUint32(0, n);
  for (;;) {
    try {
      session.send(payload);
      break;
    } catch (error) {
      assert.ok(error instanceof RangeError, error);
      waits += 1;
      session.ping();
      await once(session, "pong");
    }
  }
  if (n % LOOK === 0) {
    most = Math.max(most, owned() - before);
  }
}
const { payload } = await answer;
assert.equal(new DataView(payload.buffer, payload.byteOffset).getUint32(0), count);
session.ping();
await once(session, "pong");
const kept = owned() - before;
assert.ok(most <= BOUND && kept <= BOUND, `${most} bytes at the most, ${kept} at the end`);
session.close();
console.log(`${count} frames, waited ${waits} times, ${most} bytes at the most`);
process.exit(0);
