#!/usr/bin/env python3
"""A minimal useful backend for game-gateway: GGP/1's link protocol (docs/protocol.md, section 2).

Every DATA is echoed to its session. Some do more:
  bind USER REALM   tells the gateway who the session is, before the echo
  all TEXT          goes to every session of the service instead
  bye               ends the session with code 0
"""
import argparse
import asyncio
import json
import re
import struct
import sys
from types import SimpleNamespace

HEADER = struct.Struct(">IBBHQ")  # payload_len, kind, flags, reserved, session_id
DATA, HELLO, OPEN, CLOSE, PING, PONG, BIND, MULTICAST, GOAWAY, SUSPEND, ACCEPT = range(11)
NORMAL, LEAVES_LINK, UNKNOWN_SESSION, STALE_OPEN, NOT_HERE = 0, 307, 404, 410, 421
RESUMED = 1  # a flag of OPEN
BIND_COMMAND = re.compile(rb"bind (\d{1,19}) (\d{1,9})")  # fits a u64 and a u32
MAX_PAYLOAD = 16 * 1024 * 1024  # bytes; a link that announces more is closed

sessions = {}  # (service_type, session_id) -> gateway, epoch, link (None: it has none)


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

    def send(self, kind, session_id=0, payload=b""):
        self.writer.write(HEADER.pack(len(payload), kind, 0, 0, session_id) + payload)

    def close(self, session_id, code):
        self.send(CLOSE, session_id, struct.pack(">HI", code, 0))

    def take(self, kind, session_id, payload):
        key = (self.service, session_id)
        session = sessions.get(key)
        here = session and session.link is self  # else a newer OPEN stands elsewhere
        if kind == PING:
            self.send(PONG, 0, payload)
        elif kind == OPEN:
            self.take_open(key, session, payload)
        elif kind == DATA and session and session.link:  # else it ended while this was on its way
            self.take_data(key, session, payload)
        elif kind == CLOSE and payload[:2] == struct.pack(">H", LEAVES_LINK):
            self.close(session_id, LEAVES_LINK)
            if here:
                self.leave(key, session)
        elif kind == CLOSE and payload[:2] == struct.pack(">H", NOT_HERE):
            if here:  # its gateway does not have it; else it goes on elsewhere
                self.leave(key, session)
        elif kind == CLOSE and session and session.link in (self, None):
            del sessions[key]
        elif kind == SUSPEND and here:
            suspend(key, session, struct.unpack(">I", payload)[0])

    def leave(self, key, session):
        session.link = None
        suspend(key, session, self.window)

    def take_open(self, key, old, payload):
        _realm, _user, _transport, flags, epoch = struct.unpack_from(">IQBBI", payload)
        if old and (epoch < old.epoch or epoch == old.epoch and self.gateway != old.gateway):
            return self.close(key[1], STALE_OPEN)
        if flags & RESUMED:
            if not old:
                return self.close(key[1], UNKNOWN_SESSION)
            self.send(ACCEPT, key[1], struct.pack(">I", epoch))
        sessions[key] = SimpleNamespace(gateway=self.gateway, epoch=epoch, link=self)

    def take_data(self, key, session, payload):
        if payload == b"bye":
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
    for key, session in sessions.items():
        if link and session.link is link:
            link.leave(key, session)


async def main():
    parser = argparse.ArgumentParser(description="An echo backend for game-gateway.")
    parser.add_argument("--port", type=int, default=9001, help="0: any free one")
    server = await asyncio.start_server(serve_link, "127.0.0.1", parser.parse_args().port)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
