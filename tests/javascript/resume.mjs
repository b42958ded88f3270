// examples/ggp.js over connections that somebody cuts: numbers go out and must come back in order,
// none lost and none twice. Run by tests/resume, with the gateway's URL; npm's ws lies below $TOOLS.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { GameSession } from "../../examples/ggp.js";

const WebSocket = createRequire(`${process.env.TOOLS}/`)("ws");
const [url, count] = [process.argv[2], Number(process.argv[3])];
const IN_FLIGHT = 8;

globalThis.CustomEvent ??= class extends Event {
  constructor(name, { detail }) {
    super(name);
    this.detail = detail;
  }
};

const number = (value) => {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, value);
  return payload;
};

const session = await GameSession.connect(url, { service: "game", userId: 42n, WebSocket, firstWaitMs: 5 });
let [sent, answered, resumed] = [0, 0, 0];
const send = () => {
  while (sent < count && sent < answered + IN_FLIGHT) {
    session.send(number(sent));
    sent += 1;
  }
};
session.addEventListener("resumed", ({ detail }) => {
  assert.equal(detail.gap, false);
  resumed += 1;
});
session.addEventListener("error", ({ detail }) => assert.fail(JSON.stringify(detail)));
session.addEventListener("data", ({ detail: { payload } }) => {
  assert.equal(new DataView(payload.buffer, payload.byteOffset).getUint32(0), answered);
  answered += 1;
  if (answered === count) {
    session.close();
  } else {
    send();
  }
});
session.addEventListener("end", ({ detail }) => {
  assert.equal(detail.code, 0, JSON.stringify(detail));
  assert.equal(answered, count);
  console.log(`exact, resumed ${resumed} times`);
  process.exit(0);
});
send();
