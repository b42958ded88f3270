"""Transports of players: raw frames or WebSocket messages, with or without TLS; and idle sessions that
come so."""

import os
import socket
import ssl
import struct
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Transport:
    """One of TRANSPORTS."""

    name: str
    # Frames in WebSocket messages; else raw.
    messages: bool
    tls: bool

    def load_options(self, directory):
        """Returns the arguments of the load generator."""
        options = ["--transport", "websocket" if self.messages else "tcp"]
        return options + (["--tls", "--ca", f"{directory}/ca.pem"] if self.tls else [])


TRANSPORTS = {
    each.name: each
    for each in (
        Transport("tcp", messages=False, tls=False),
        Transport("websocket", messages=True, tls=False),
        Transport("tls", messages=False, tls=True),
        Transport("wss", messages=True, tls=True),
    )
}


def make_certificates(directory, host):
    """ca.pem, and by it server.pem with server.key; both.pem holds these two, as HAProxy wants."""
    names = os.path.join(directory, "names")
    with open(names, "w", encoding="utf-8") as file:
        file.write(f"subjectAltName=IP:{host}\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for command in (
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=authority",
         "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=directory, check=True, capture_output=True)
    with open(os.path.join(directory, "both.pem"), "w", encoding="utf-8") as both:
        for name in ("server.pem", "server.key"):
            with open(os.path.join(directory, name), encoding="utf-8") as part:
                both.write(part.read())


class IdleSessions:
    """Sessions that were used once and then say nothing, ended at the end of a `with` block."""

    def __init__(self, address, transport, service, directory, timeout):
        self.address = address
        self.transport = transport
        self.timeout = timeout
        self.sockets = []
        self.tls = None
        if transport.tls:
            self.tls = ssl.create_default_context(cafile=f"{directory}/ca.pem")
        name, payload = service.encode(), bytes(64)
        # A DATA frame of the client protocol.
        header = struct.pack(
            ">HBBIIQQBBH", 0xA747, 1, 0, len(payload), 0, 0, 0, len(name), 0, 0
        )
        self.frame = header + name + payload
        # Behind the header, which carries a session_id in the answer.
        self.answer = name + payload

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.sockets:
            connection.close()

    def open(self, count):
        """Opens more sessions, each with one round trip of 64 bytes, so that it is a session."""
        for _ in range(count):
            connection = socket.create_connection(self.address, timeout=self.timeout)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_hostname=self.address[0])
            self.sockets.append(connection)
            self._exchange(connection)

    def _exchange(self, connection):
        length = len(self.frame)
        if self.transport.messages:
            self._upgrade(connection)
            # A binary message of less than 126 bytes, masked with zeros.
            connection.sendall(bytes([0x82, 0x80 | length]) + bytes(4) + self.frame)
            length += 2
        else:
            connection.sendall(self.frame)
        answer = b""
        while len(answer) < length:
            answer += self._read(connection, 65_536, answer)
        if not answer.endswith(self.answer):
            raise ConnectionError(f"{self.address} answered session {len(self.sockets)} wrongly")

    def _upgrade(self, connection):
        host = f"{self.address[0]}:{self.address[1]}"
        connection.sendall(
            f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            .encode()
        )
        head = b""
        # Nothing comes behind it before the first message was sent.
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(connection, 1, head)
        if b" 101 " not in head:
            raise ConnectionError(f"{self.address} is no WebSocket: {head!r}")

    def _read(self, connection, most, so_far):
        session = f"session {len(self.sockets)} (so far: {so_far!r})"
        try:
            piece = connection.recv(most)
        except TimeoutError as error:
            raise ConnectionError(f"{self.address} does not answer {session}") from error
        if not piece:
            raise ConnectionError(f"{self.address} closed {session}")
        return piece
