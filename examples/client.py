#!/usr/bin/env python3
"""The smallest useful client for game-gateway: GGP/1's client protocol (docs/protocol.md, section 1).

Sends DATA to a service that echoes, and checks each answer. Exit code 0: all were answered.
With --resumable its session outlives its connection: the least that a client must do for that is the
class Session (docs/protocol.md, section 3.2).
"""
import argparse
import random
import socket
import ssl
import struct
import sys
import time

# magic, version, kind, payload_len, realm_id, user_id, session_id, service_len, flags, reserved
HEADER = struct.Struct(">HBBIIQQBBH")
MAGIC, VERSION = 0xA747, 1
DATA, OPENED, RESUME, PING, PONG, ERROR, CLOSE, GOAWAY = range(8)
FLAG_RESUMABLE, FLAG_GAP = 1, 2
NORMAL, TIMEOUT, INTERNAL, UNAVAILABLE, TOO_SLOW = 0, 408, 500, 503, 507
REPLACED = 205  # another connection has resumed the session, perhaps one that this client gave up
MAY_RESUME = (REPLACED, TIMEOUT, INTERNAL, UNAVAILABLE, TOO_SLOW)
ATTEMPTS = 20  # to resume; with BACKOFF that is longer than most gateways keep a session
BACKOFF = (0.1, 3.0)  # seconds before the second attempt, doubling, and the most
MAX_PAYLOAD = 16 * 1024 * 1024  # bytes; no gateway sends more
PATIENCE = 10  # seconds without a byte from the gateway
MARK = b"taken:"  # a PING that begins so is acknowledged by its PONG, with all DATA before it (1.2)
MARK_EVERY, MAX_KEPT = 64, 1024  # DATA frames between two marks, and the most that are kept


class Failed(Exception):
    """Reason for which not everything was answered, in one line."""


class Closed(Failed):
    """The gateway sent CLOSE."""

    def __init__(self, code, retry_after, text):
        super().__init__(text)
        self.code, self.retry_after = code, retry_after


class Connection:
    def __init__(self, address, service, realm, user, tls=None):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self.service, self.realm, self.user = service.encode(), realm, user
        self.session_id = 0  # known from the gateway's first answer

    def send(self, kind, payload=b"", flags=0):
        header = HEADER.pack(MAGIC, VERSION, kind, len(payload), self.realm, self.user,
                             self.session_id, len(self.service), flags, 0)
        self.socket.sendall(header + self.service + payload)

    def read(self, length):
        data = bytearray()
        while len(data) < length:
            chunk = self.socket.recv(length - len(data))
            if not chunk:
                raise ConnectionError("the gateway closed the connection without a CLOSE")
            data += chunk
        return bytes(data)

    def frame(self):
        """Returns the next frame as (kind, flags, payload). ERROR and CLOSE are failures."""
        magic, version, kind, length, _realm, _user, session_id, service_len, flags, _ = \
            HEADER.unpack(self.read(HEADER.size))
        if (magic, version) != (MAGIC, VERSION) or length > MAX_PAYLOAD:
            raise Failed("what the gateway sent is not a frame")
        service, payload = self.read(service_len).decode(), self.read(length)
        self.session_id = session_id or self.session_id
        if kind in (ERROR, CLOSE):
            # A shorter one is accepted: missing fields are 0 or empty.
            code, retry_after = struct.unpack(">HI", payload[:6].ljust(6, b"\0"))
            text = (f"{'ERROR' if kind == ERROR else 'CLOSE'} {code} {service}".rstrip()
                    + f": {payload[6:].decode(errors='replace')}"
                    + (f" (try again in {retry_after} ms)" if retry_after else ""))
            raise Closed(code, retry_after, text) if kind == CLOSE else Failed(text)
        return kind, flags, payload

    def receive(self):
        """Returns the next DATA or PONG as (kind, payload). Answers PING."""
        while True:
            kind, _flags, payload = self.frame()
            if kind == PING:
                self.send(PONG, payload)
            elif kind == DATA or kind == PONG and payload:  # an empty one only says that it lives
                return kind, payload

    def expect(self, kind, payload):
        answer = self.receive()
        if answer != (kind, payload):
            raise Failed(f"sent {payload!r}, but the answer is {answer[1]!r} of kind {answer[0]}")


class Session:
    """A session that outlives its connection. `connect` makes a new one, to whatever gateway."""

    def __init__(self, connect):
        self.connect, self.connection = connect, connect()
        self.token, self.session_id, self.idle = b"", 0, PATIENCE
        self.taken = 0  # DATA frames that came
        self.sent, self.unconfirmed = 0, []  # DATA frames sent, and those that may have been lost
        self.ping = None  # of the application's, not answered yet
        self.resumes = self.gaps = 0

    def send(self, kind, payload=b""):
        if kind == DATA:
            if len(self.unconfirmed) >= MAX_KEPT:
                raise Failed(f"{MAX_KEPT} frames wait for an acknowledgement: receive first")
            self.sent += 1
            self.unconfirmed.append(payload)
        elif kind == PING:
            self.ping = payload
        try:
            # The flag counts on the frame that starts the session; later it is ignored.
            self.connection.send(kind, payload, FLAG_RESUMABLE if kind == DATA else 0)
            if kind == DATA and self.sent % MARK_EVERY == 0:
                self.connection.send(PING, MARK + struct.pack(">Q", self.sent))
        except OSError:
            self.resume()  # which sends it again

    def receive(self):
        pinged = False
        while True:
            try:
                self.connection.socket.settimeout(min(PATIENCE, self.idle / 3))
                kind, flags, payload = self.connection.frame()
            except TimeoutError:
                if pinged:
                    self.resume()
                else:
                    self.connection.send(PING, b"alive?")
                pinged = not pinged
                continue
            except OSError:
                self.resume()
                continue
            except Closed as closed:
                if closed.code not in MAY_RESUME or not self.token:
                    raise
                self.resume(closed.retry_after)
                continue
            pinged = False
            if kind == OPENED:
                self.opened(payload)
            elif kind == GOAWAY:
                # The session waits for the next connection; nothing is read here any more.
                self.resume()
            elif kind == PING:
                self.send(PONG, payload)
            elif kind == DATA:
                self.taken += 1
                return kind, payload
            elif kind == PONG and payload.startswith(MARK):
                self.confirmed(struct.unpack(">Q", payload[len(MARK):])[0])
            elif (kind, payload) == (PONG, self.ping):
                self.ping = None
                return kind, payload

    expect = Connection.expect

    def opened(self, payload):
        """Takes a newer token. Returns the gateway's count, and keeps only the frames that it lacks."""
        received, idle_ms = struct.unpack(">QI", payload[:12])
        self.token, self.idle = payload[12:], idle_ms / 1000
        self.session_id = self.connection.session_id
        self.confirmed(received)

    def confirmed(self, received):
        """Forgets the DATA frames up to this one: the gateway has them."""
        lacking = self.sent - received
        self.unconfirmed = self.unconfirmed[len(self.unconfirmed) - lacking:] if lacking > 0 else []

    def resume(self, retry_after=0):
        """Goes on over another connection: lost frames are sent again, both ways."""
        if not self.token:
            raise Failed("the connection is lost, and the session cannot be resumed")
        self.connection.socket.close()
        wait = BACKOFF[0]
        for _ in range(ATTEMPTS):
            time.sleep(retry_after / 1000)
            try:
                connection = self.connect()
                connection.session_id = self.session_id
                connection.send(RESUME, struct.pack(">Q", self.taken) + self.token)
                kind, flags, payload = connection.frame()
                while kind == PONG:  # the gateway lives, and waits for others (1.2)
                    kind, flags, payload = connection.frame()
                if kind != OPENED:
                    raise Failed(f"RESUME is answered with kind {kind}")
                self.connection, self.resumes = connection, self.resumes + 1
                if flags & FLAG_GAP:
                    # Frames may be missing, and nobody knows which: both sides count from 0.
                    self.gaps, self.taken, self.sent, self.unconfirmed = self.gaps + 1, 0, 0, []
                self.opened(payload)
                for lacking in self.unconfirmed:
                    connection.send(DATA, lacking)
                if self.ping is not None:
                    connection.send(PING, self.ping)
                return
            except OSError:
                retry_after = wait * 1000 * random.uniform(0.5, 1)
            except Closed as closed:
                if closed.code != UNAVAILABLE:
                    raise
                retry_after = closed.retry_after or wait * 1000 * random.uniform(0.5, 1)
            wait = min(2 * wait, BACKOFF[1])
        raise Failed("the session could not be resumed")


def play(connection, count):
    for number in range(1, count + 1):
        message = b"message %d of %d" % (number, count)
        connection.send(DATA, message)
        connection.expect(DATA, message)
    connection.send(PING, b"still there?")
    connection.expect(PONG, b"still there?")
    connection.send(CLOSE, struct.pack(">HI", NORMAL, 0))


def main():
    parser = argparse.ArgumentParser(description="A client for game-gateway and an echo backend.")
    parser.add_argument("address", help="the gateway, host:port")
    parser.add_argument("--service", default="game")
    parser.add_argument("--realm", type=int, default=0, help="realm_id; 0 sends none")
    parser.add_argument("--user", type=int, default=0, help="user_id; 0 sends none")
    parser.add_argument("--count", type=int, default=10, help="how many messages")
    parser.add_argument("--resumable", action="store_true", help="a session that outlives its connection")
    parser.add_argument("--tls", action="store_true", help="inside TLS")
    parser.add_argument("--ca", help="CA certificates to trust, a PEM file; default: the system's")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    try:
        tls = ssl.create_default_context(cafile=options.ca) if options.tls else None
        address = (host.strip("[]"), int(port))
        connect = lambda: Connection(address, options.service, options.realm, options.user, tls)
        connection = Session(connect) if options.resumable else connect()
        play(connection, options.count)
    except (Failed, OSError, ValueError, struct.error) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    moved = f", resumed {connection.resumes} times, {connection.gaps} gaps" if options.resumable else ""
    print(f"{options.count} of {options.count} answered in session {connection.session_id}{moved}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
