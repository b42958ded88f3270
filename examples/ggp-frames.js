// The frames of GGP/1's client protocol (docs/protocol.md, section 1) as bytes and back. No I/O.

export const Kind = Object.freeze({
  DATA: 0, OPENED: 1, RESUME: 2, PING: 3, PONG: 4, ERROR: 5, CLOSE: 6, GOAWAY: 7,
});
export const HEADER_BYTES = 32;

const MAGIC = 0xa747;
const VERSION = 1;
const MAX_SERVICE_BYTES = 64;
const SERVICE_NAME = /^[a-z0-9][a-z0-9._-]*$/;

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** Invalid frame; the bytes after it cannot be decoded. */
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

/** Decodes all frames of one message, a Uint8Array. Throws FrameError unless it holds whole frames. */
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

/** Encodes the payload of a CLOSE. */
export function encodeNotice(code, retryAfterMs = 0, words = "") {
  const tail = utf8.encode(words);
  const payload = new Uint8Array(6 + tail.length);
  const view = new DataView(payload.buffer);
  view.setUint16(0, code);
  view.setUint32(2, retryAfterMs);
  payload.set(tail, 6);
  return payload;
}

/** Decodes an ERROR or CLOSE. A short one is accepted: missing fields are 0 or empty. */
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

/** Decodes an OPENED; null if it is too short. */
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
