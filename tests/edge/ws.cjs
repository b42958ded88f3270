// npm's ws as a player: frames together and in fragments, PING, an oversized message, a client's
// end. Prints "done" when all went as the protocol says.
const assert = require("node:assert");
const { once } = require("node:events");
const WebSocket = require("ws");

const DATA = 0;
const CLOSE = 6;
const uri = process.argv[2];

function frame(kind, service, payload) {
  const header = Buffer.alloc(32);
  header.writeUInt16BE(0xa747, 0);
  header.writeUInt8(1, 2);
  header.writeUInt8(kind, 3);
  header.writeUInt32BE(payload.length, 4);
  header.writeUInt8(service.length, 28);
  return Buffer.concat([header, Buffer.from(service), payload]);
}

async function connect() {
  // ws offers permessage-deflate by itself; the gateway declines.
  const socket = new WebSocket(uri, "ggp.v1");
  const messages = [];
  let wake = () => {};
  socket.on("message", (data, isBinary) => {
    assert(isBinary);
    messages.push(data);
    wake();
  });
  await once(socket, "open");
  assert.equal(socket.protocol, "ggp.v1");
  assert.equal(socket.extensions, "");
  const next = async () => {
    while (messages.length === 0) {
      await new Promise((resolve) => (wake = resolve));
    }
    return messages.shift();
  };
  const answer = async () => {
    const message = await next();
    assert.equal(message[3], DATA);
    return message.subarray(32 + message[28]);
  };
  return { socket, next, answer };
}

async function main() {
  const { socket, answer } = await connect();
  const large = Buffer.alloc(60_000, 7);
  const both = Buffer.concat([frame(DATA, "game", Buffer.from("one")), frame(DATA, "", large)]);
  socket.send(both.subarray(0, 40), { fin: false });
  socket.send(both.subarray(40));
  assert.equal((await answer()).toString(), "one");
  assert(large.equals(await answer()));

  socket.ping("are you there?");
  const [pong] = await once(socket, "pong");
  assert.equal(pong.toString(), "are you there?");

  socket.close(1000);
  assert.equal((await once(socket, "close"))[0], 1000);

  const greedy = await connect();
  greedy.socket.send(frame(DATA, "game", Buffer.alloc(1 << 20)));
  const close = await greedy.next();
  assert.equal(close[3], CLOSE);
  assert.equal(close.readUInt16BE(32 + close[28]), 413);
  assert.equal((await once(greedy.socket, "close"))[0], 1009);
  console.log("done");
}

main();
