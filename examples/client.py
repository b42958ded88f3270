#!/usr/bin/env python3
"""The smallest useful client for game-gateway: GGP/1's client protocol (docs/protocol.md, section 1).

Sends DATA to a service that echoes, and checks each answer. Exit code 0: all were answered.
"""
import argparse
import socket
import ssl
import struct
import sys

# magic, version, kind, payload_len, realm_id, user_id, session_id, service_len, flags, reserved
HEADER = struct.Struct(">HBBIIQQBBH")
MAGIC, VERSION = 0xA747, 1
DATA, OPENED, RESUME, PING, PONG, ERROR, CLOSE, GOAWAY = range(8)
NORMAL = 0
MAX_PAYLOAD = 16 * 1024 * 1024  # bytes; no gateway sends more
PATIENCE = 10  # seconds without a byte from the gateway


class Failed(Exception):
    """Why not everything was answered, in one line."""


class Connection:
    def __init__(self, address, service, realm, user, tls=None):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self.service, self.realm, self.user = service.encode(), realm, user
        self.session_id = 0  # the gateway's first answer says it

    def send(self, kind, payload=b""):
        header = HEADER.pack(MAGIC, VERSION, kind, len(payload), self.realm, self.user,
                             self.session_id, len(self.service), 0, 0)
        self.socket.sendall(header + self.service + payload)

    def read(self, length):
        data = bytearray()
        while len(data) < length:
            chunk = self.socket.recv(length - len(data))
            if not chunk:
                raise Failed("the gateway closed the connection without a CLOSE")
            data += chunk
        return bytes(data)

    def receive(self):
        """The next frame as (kind, payload). Answers PING; ERROR and CLOSE are failures."""
        while True:
            magic, version, kind, length, _realm, _user, session_id, service_len, _flags, _ = \
                HEADER.unpack(self.read(HEADER.size))
            if (magic, version) != (MAGIC, VERSION) or length > MAX_PAYLOAD:
                raise Failed("what the gateway sent is not a frame")
            service, payload = self.read(service_len).decode(), self.read(length)
            self.session_id = session_id or self.session_id
            if kind in (ERROR, CLOSE):
                # A shorter one is taken: what is missing is 0 or empty.
                code, retry_after = struct.unpack(">HI", payload[:6].ljust(6, b"\0"))
                raise Failed(f"{'ERROR' if kind == ERROR else 'CLOSE'} {code} {service}".rstrip()
                             + f": {payload[6:].decode(errors='replace')}"
                             + (f" (try again in {retry_after} ms)" if retry_after else ""))
            if kind == PING:
                self.send(PONG, payload)
            elif kind in (DATA, PONG):
                return kind, payload

    def expect(self, kind, payload):
        answer = self.receive()
        if answer != (kind, payload):
            raise Failed(f"sent {payload!r}, but the answer is {answer[1]!r} of kind {answer[0]}")


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
    parser.add_argument("--realm", type=int, default=0, help="realm_id, 0: none")
    parser.add_argument("--user", type=int, default=0, help="user_id, 0: none")
    parser.add_argument("--count", type=int, default=10, help="how many messages")
    parser.add_argument("--tls", action="store_true", help="inside TLS")
    parser.add_argument("--ca", help="PEM file: whose certificates are trusted; without it the system's")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    try:
        tls = ssl.create_default_context(cafile=options.ca) if options.tls else None
        address = (host.strip("[]"), int(port))
        connection = Connection(address, options.service, options.realm, options.user, tls)
        with connection.socket:
            play(connection, options.count)
    except (Failed, OSError, ValueError, struct.error) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    print(f"{options.count} of {options.count} answered in session {connection.session_id}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
