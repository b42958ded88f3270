#!/usr/bin/env python3
"""A minimal useful backend for game-gateway: GGP/1's link protocol (docs/protocol.md, section 2).

Every DATA is echoed to its session. Some do more:
  bind USER REALM   tells the gateway who the session is, before the echo
  all TEXT          goes to every session of the service instead
  bye               ends the session with code 0
  count             is answered with how many frames the session has sent, wherever it was then
  assign SERVICE ENDPOINT   says where that service of this session goes
  transfer [ENDPOINT]       has the session taken to another backend, its count with it
The last two are answered with "moved CODE", unless the session is another backend's by then. On SIGTERM all sessions are
moved to other backends; then it ends. With --control a cluster asks over HTTP: GET /ready, and GET /leave, which is
answered when all sessions are elsewhere.
"""
import argparse
import asyncio
import json
import re
import signal
import struct
import sys
import time
from types import SimpleNamespace

HEADER = struct.Struct(">IBBHQ")  # payload_len, kind, flags, reserved, session_id
DATA, HELLO, OPEN, CLOSE, PING, PONG, BIND, MULTICAST, GOAWAY, SUSPEND, ACCEPT = range(11)
BOUND, FEATURES, ASSIGN, TRANSFER, MOVED = range(11, 16)
NORMAL, LEAVES_LINK, MALFORMED, UNKNOWN_SESSION, STALE_OPEN, NOT_HERE = 0, 307, 400, 404, 410, 421
RESUMED, TRANSFERRED = 1, 8  # flags of OPEN
BIND_COMMAND = re.compile(rb"bind (\d{1,19}) (\d{1,9})")  # fits a u64 and a u32
ASSIGN_COMMAND = re.compile(rb"assign [a-z0-9._-]{1,64} [!-~]{1,255}")
TRANSFER_COMMAND = re.compile(rb"transfer( [!-~]{1,255})?")
MAX_PAYLOAD = 16 * 1024 * 1024  # bytes; a link that announces more is closed

LEAVE_SECONDS = 20  # for its sessions to be moved
HTTP_SECONDS = 5  # for the head of a request

sessions = {}  # (service_type, session_id) -> gateway, epoch, link (None: it has none), count, departing
links = set()
leaving = None  # the payload of GOAWAY, once it leaves


def on_transfer(session):
    """Returns the session's state: it goes on at another backend, if that one will have it."""
    return struct.pack(">Q", session.count)


def on_arrival(session, state):
    """Takes a session over from another backend. Returns a code to refuse it with, None to take it."""
    if len(state) != 8:
        return MALFORMED
    (session.count,) = struct.unpack(">Q", state)


def leave(move):
    """Takes no new sessions any more. Those that it has are moved to others, or else go on here."""
    global leaving
    leaving = b"\1" if move else b""
    for link in links:
        link.send(GOAWAY, 0, leaving)


async def empty():
    """Waits until no session is left and every gateway has taken all that was said. Returns how many are left."""
    end, asked = time.monotonic() + LEAVE_SECONDS, False
    while time.monotonic() < end:
        if not sessions and not asked:
            # A gateway that has not heard of GOAWAY yet may just have opened a session.
            for link in links:
                link.unanswered += 1
                link.send(PING)
        elif not sessions and not any(link.unanswered for link in links):
            break
        asked = not sessions
        await asyncio.sleep(0.05)
    return len(sessions)


def suspend(key, session, milliseconds):
    """Forgets the session after a while. With a link it may still be sent to: the gateway keeps that."""
    # Unless another OPEN has replaced the value in the meantime.
    forget = lambda: sessions.get(key) is session and sessions.pop(key)
    asyncio.get_running_loop().call_later(milliseconds / 1000, forget)


class Link:
    def __init__(self, writer, hello):
        self.writer, self.window = writer, hello["resume_window_ms"]
        self.service, self.gateway = hello["service_type"], hello["gateway_id"]
        # A gateway whose host is gone sends no FIN: only its silence tells. Seconds; None: for ever.
        self.patience = 3 * hello.get("ping_interval_ms", 0) / 1000 or None
        self.features_told = False
        self.unanswered = 0  # PINGs of this side
        links.add(self)
        if leaving is not None:
            self.send(GOAWAY, 0, leaving)

    def send(self, kind, session_id=0, payload=b""):
        self.writer.write(HEADER.pack(len(payload), kind, 0, 0, session_id) + payload)

    def close(self, session_id, code, text=b""):
        self.send(CLOSE, session_id, struct.pack(">HI", code, 0) + text)

    def assign(self, session_id, service, endpoint):
        texts = (bytes([len(text)]) + text for text in (service, endpoint))
        self.send(ASSIGN, session_id, b"".join(texts))

    def transfer(self, session_id, endpoint=b""):
        self.send(TRANSFER, session_id, bytes([len(endpoint)]) + endpoint)

    def take(self, kind, session_id, payload):
        key = (self.service, session_id)
        session = sessions.get(key)
        here = session and session.link is self  # else a newer OPEN stands elsewhere
        if kind == PING:
            self.send(PONG, 0, payload)
            if not self.features_told:
                self.features_told = True
                self.send(FEATURES, 0, b'{"features":["transfer"]}')
        elif kind == PONG:
            self.unanswered = max(self.unanswered - 1, 0)
        elif kind == OPEN:
            self.take_open(key, session, payload)
        elif kind == DATA and session and session.link:  # else it ended while this was on its way
            self.take_data(key, session, payload)
        elif kind == CLOSE and payload[:2] == struct.pack(">H", LEAVES_LINK):
            moves = payload[6:] == b"move"
            if here or moves and session and session.gateway == self.gateway:
                self.close(session_id, LEAVES_LINK, on_transfer(session) if moves else b"")
                session.departing = moves  # kept, for it may come back
                self.leave(key, session)
            elif not moves:
                self.close(session_id, LEAVES_LINK)
            elif session:
                self.close(session_id, STALE_OPEN)  # another gateway's by now: there is no state to give
        elif kind == CLOSE and payload[:2] == struct.pack(">H", NOT_HERE):
            if here:  # its gateway does not have it; else it goes on elsewhere
                self.leave(key, session)
        elif kind == CLOSE and session and session.link in (self, None):
            del sessions[key]
        elif kind == SUSPEND and here:
            suspend(key, session, struct.unpack(">I", payload)[0])
        elif kind == MOVED and session and session.gateway == self.gateway:
            (code,) = struct.unpack(">H", payload)
            if session.departing and code == NORMAL:
                del sessions[key]  # another backend's
            elif session.link:
                session.link.send(DATA, session_id, b"moved %d" % code)

    def leave(self, key, session):
        session.link = None
        suspend(key, session, self.window)

    def take_open(self, key, old, payload):
        _realm, _user, _transport, flags, epoch, text = struct.unpack_from(">IQBBIB", payload)
        if old and (epoch < old.epoch or epoch == old.epoch and self.gateway != old.gateway):
            return self.close(key[1], STALE_OPEN)
        count = old.count if old else 0
        session = SimpleNamespace(gateway=self.gateway, epoch=epoch, link=self, count=count, departing=False)
        if flags & TRANSFERRED:
            at = struct.calcsize(">IQBBIB") + text  # behind the client's address
            if code := on_arrival(session, payload[at + 1 + payload[at]:]):
                sessions.pop(key, None)
                return self.close(key[1], code)
        elif flags & RESUMED and not old:
            return self.close(key[1], UNKNOWN_SESSION)
        if flags & (RESUMED | TRANSFERRED):
            self.send(ACCEPT, key[1], struct.pack(">I", epoch))
        sessions[key] = session

    def take_data(self, key, session, payload):
        session.count += 1
        if payload == b"count":
            session.link.send(DATA, key[1], b"%d" % session.count)
        elif ASSIGN_COMMAND.fullmatch(payload):
            session.link.assign(key[1], *payload.split()[1:])
        elif TRANSFER_COMMAND.fullmatch(payload):
            session.link.transfer(key[1], *payload.split()[1:])
        elif payload == b"bye":
            session.link.close(key[1], NORMAL)
            del sessions[key]
        elif payload.startswith(b"all "):
            # One for each link that has sessions of this service: a gateway knows only its own.
            for link in {s.link for s in sessions.values() if s.link and s.link.service == self.service}:
                ids = [session_id for (_, session_id), s in sessions.items() if s.link is link]
                link.send(MULTICAST, 0, struct.pack(f">I{len(ids)}Q", len(ids), *ids) + payload)
        else:
            if bind := BIND_COMMAND.fullmatch(payload):
                session.link.send(BIND, key[1], struct.pack(">QI", int(bind[1]), int(bind[2])))
            session.link.send(DATA, key[1], payload)


async def read(reader, count, patience):
    """Reads this many bytes. Whatever comes is a sign of life."""
    read = b""
    while len(read) < count:
        more = await asyncio.wait_for(reader.read(count - len(read)), patience)
        if not more:
            raise EOFError("it was closed")
        read += more
    return read


async def serve_link(reader, writer):
    link = None
    try:
        while True:
            patience = link and link.patience
            length, kind, _, _, session_id = HEADER.unpack(await read(reader, HEADER.size, patience))
            if length > MAX_PAYLOAD or (kind == HELLO) != (link is None):
                raise ValueError(f"payload too large: {length} bytes in a frame of kind {kind}")
            payload = await read(reader, length, patience)
            if link:
                link.take(kind, session_id, payload)
                await writer.drain()
            else:
                link = Link(writer, json.loads(payload))
    except (EOFError, ConnectionError, asyncio.TimeoutError, KeyError, TypeError, ValueError, struct.error) as error:
        print(f"link lost: {error!r}", file=sys.stderr)
    writer.close()
    links.discard(link)
    for key, session in sessions.items():
        if link and session.link is link:
            link.leave(key, session)


async def serve_control(reader, writer):
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HTTP_SECONDS)
        status, text = b"404 Not Found", b"expected /ready or /leave"
        if head.startswith(b"GET /ready "):
            status, text = (b"503 Service Unavailable", b"leaving") if leaving is not None else (b"200 OK", b"ready")
        elif head.startswith(b"GET /leave "):
            leave(move=True)
            left = await empty()
            status, text = b"504 Gateway Timeout" if left else b"200 OK", b"%d sessions left" % left
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(text), text))
        await writer.drain()
    except (EOFError, ConnectionError, asyncio.LimitOverrunError, asyncio.TimeoutError):
        pass  # nobody to answer
    writer.close()


async def main():
    parser = argparse.ArgumentParser(description="An echo backend for game-gateway.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9001, help="0: any free one")
    parser.add_argument("--control", type=int, metavar="PORT", help="for a cluster's requests over HTTP")
    options = parser.parse_args()
    server = await asyncio.start_server(serve_link, options.host, options.port)
    if options.control is not None:
        control = await asyncio.start_server(serve_control, options.host, options.control)
        print("control on %s:%d" % control.sockets[0].getsockname()[:2], flush=True)
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    print("listening on %s:%d" % server.sockets[0].getsockname()[:2], flush=True)
    await terminated.wait()
    leave(move=True)
    left = await empty()
    for link in links:
        link.writer.close()
    while links:
        await asyncio.sleep(0)
    print("%d sessions cut off" % left, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
