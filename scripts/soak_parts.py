"""What a soak is made of: gateways, backends, Redis, and a balancer that cuts connections."""

import asyncio
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

START_SECONDS = 30


class Failed(Exception):
    """The soak cannot go on."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(what, seconds, is_so):
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.1)
    return answer


class Started:
    """Processes that this run has started, all of which end with it."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def start(self, name, command):
        log = open(self.folder / f"{name}.log", "ab")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
        )
        log.close()
        self.processes = [p for p in self.processes if p.poll() is None] + [process]
        return process

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


class Backend:
    def __init__(self, started, program, name):
        self.started, self.name = started, name
        self.address = f"127.0.0.1:{free_port()}"
        self.command = [program, "loadtest", "--backend-only", self.address]
        self.process = None

    def start(self):
        self.process = self.started.start(self.name, self.command)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Redis:
    def __init__(self, started, folder):
        self.started, self.port = started, free_port()
        self.command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        self.command += ["--dir", str(folder), "--save", "", "--daemonize", "no"]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None

    def start(self):
        self.process = self.started.start("redis", self.command)
        wait_until("Redis", START_SECONDS, lambda: self.ask("PING").startswith(b"+PONG"))

    def ask(self, command):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(100)
        except OSError:
            return b""

    def restart(self):
        self.ask("SAVE")
        self.process.terminate()
        self.process.wait()


class Gateway:
    def __init__(self, started, program, name, config):
        self.name = name
        file = started.folder / f"{name}.toml"
        file.write_text(config)
        self.log = started.folder / f"{name}.log"
        self.process = started.start(name, [program, "serve", "--config", str(file)])
        marker = "game-gateway ready: players on "
        line = wait_until(
            f"{name} starts",
            START_SECONDS,
            lambda: self.process.poll() is not None
            or [l for l in self.log.read_text().splitlines() if l.startswith(marker)],
        )
        if line is True:
            raise Failed(f"{name} has ended: {self.process.returncode}")
        line = line[0]
        players, admin = line.removeprefix(marker).split(", admin on ")
        self.players, self.admin = players, admin.strip()
        self.memory = []

    def ask(self, path, method="GET", timeout=10):
        request = urllib.request.Request(f"http://{self.admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read().decode()

    def is_ready(self):
        try:
            return bool(self.ask("/ready", timeout=2))
        except OSError:
            return False

    def metric(self, name):
        values = [line.rsplit(" ", 1) for line in self.ask("/metrics").splitlines()]
        return sum(int(value) for label, value in values if label.split("{")[0] == name)

    def status(self, name):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split(f"{name}:")[1].split()[0])

    def counts(self):
        kinds = json.loads(self.ask("/api/v1/actors"))["kinds"]
        counts = {f"actors of kind {kind['kind']}": kind["live"] for kind in kinds}
        for name in ("sessions", "connections", "links"):
            counts[name] = self.metric(f"game_gateway_{name}")
        counts["files"] = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        counts["threads"] = self.status("Threads")
        return counts


class Balancer(threading.Thread):
    """Passes connections on to gateways that are ready, and cuts them."""

    def __init__(self, gateways):
        super().__init__(daemon=True)
        self.gateways, self.ready = gateways, list(gateways)
        self.loop = asyncio.new_event_loop()
        self.writers = set()
        self.passed = 0
        self.port = free_port()

    def run(self):
        asyncio.set_event_loop(self.loop)
        serve = asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.loop.run_until_complete(serve)
        self.loop.run_forever()

    async def serve(self, reader, writer):
        self.passed += 1
        gateway = self.ready[self.passed % len(self.ready)]
        host, port = gateway.players.split(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        self.writers |= {writer, far_writer}
        await asyncio.gather(self.copy(reader, far_writer), self.copy(far_reader, writer))
        self.writers -= {writer, far_writer}

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()
        except OSError:
            writer.transport.abort()

    def cut(self, share, dice):
        def abort():
            for writer in list(self.writers):
                if dice.random() < share:
                    writer.transport.abort()

        self.loop.call_soon_threadsafe(abort)
