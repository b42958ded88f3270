#!/usr/bin/env python3
"""Upgrades of game servers under load: two gateways behind HAProxy, three servers with matches of ten, each server in turn
told to go by SIGTERM (GOAWAY 01) and replaced, while `loadtest --expect-moves` plays. Then the price of a move: memory
while a thousand are under way, and how many one gateway makes in a second. Needs HAProxy; everything is on loopback.
"""
import argparse
import http.client
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HOST = "127.0.0.1"
BALANCER = 7300
# Of the first one; the next ones' are one higher each.
PLAYERS, ADMIN, PEER, SERVER = 7310, 7320, 7330, 7340
GATEWAYS, SERVERS = 2, 3
SERVICE, MATCH = "game", 10
KEY = "0123456789abcdef0123456789abcdef"
START_SECONDS = 15
# Limit for sessions to come, for a server to go, and for the load to end.
PATIENCE_SECONDS = 120
# Between two upgrades, in which the usual CPU time is measured.
PAUSE = 3
MAX_CLIENTS = 6_000
RATE = "200/s"
# Idle players begin when all are connected, which must not take longer than a gateway waits for first bytes (5 s).
IDLE_RATE = "2000/s"
# Under way at a time, at a server that does not answer. A gateway allows 1,024 for each endpoint.
FROZEN_MOVES = 1_000
TICK = 1 / os.sysconf("SC_CLK_TCK")

HAPROXY = """
global
  maxconn 8000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout check 1s
frontend players
  bind {address}
  maxconn 8000
  default_backend gateways
backend gateways
  balance leastconn
  option httpchk GET /ready
  http-check expect status 200
  default-server check inter 200ms fall 1 rise 1
{servers}
"""


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(options, pathlib.Path(directory))
        try:
            report, plain, upgrades = bench.upgrade()
            bench.stop()
            price, frozen = bench.price()
        finally:
            bench.stop()
    print(f"{cpu_name()}, {os.cpu_count()} cores, kernel {platform.release()}.")
    print(f"{GATEWAYS} gateways with one worker each, {SERVERS} servers, matches of {MATCH}, HAProxy in front; "
          "every server replaced once.\n")
    print("| | |\n| --- | ---: |")
    for name, value in rows(report, plain, upgrades, frozen, price):
        print(f"| {name} | {value} |")
    exact = plain["lost"] + plain["doubled"] + plain["reordered"] + plain["corrupted"] == 0
    return 0 if report["ok"] and exact else 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] + ".")
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--gateway", metavar="FILE", default=root / "target/release/game-gateway",
                        help="the gateway's binary [%(default)s]")
    parser.add_argument("--clients", type=int, default=3000, metavar="N",
                        help="players whose sessions can be resumed [3000]")
    parser.add_argument("--plain", type=int, default=300, metavar="N", help="players whose sessions cannot [300]")
    parser.add_argument("--think", default="1s", metavar="DURATION",
                        help="between an answer and the next frame [1s]")
    options = parser.parse_args()
    if not MATCH <= options.clients <= MAX_CLIENTS or not 1 <= options.plain <= MAX_CLIENTS:
        parser.error(f"--clients and --plain are at most {MAX_CLIENTS}")
    return options


class Bench:
    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.programs, self.runs = [], 0

    def upgrade(self):
        """Has every server replaced while all play; returns the reports, and the price of each upgrade."""
        servers = [self.server(number) for number in range(SERVERS)]
        gateways = [self.gateway(number, SERVERS) for number in range(GATEWAYS)]
        self.haproxy()
        expects = ["--expect-moves", "--match-size", str(MATCH), "--transport", "tcp,websocket"]
        load = self.load(self.options.clients, *expects)
        plain = self.load(self.options.plain)
        self.until_sessions(range(GATEWAYS), self.options.clients + self.options.plain)
        upgrades = []
        for number in range(SERVERS):
            upgrades.append(self.replace(servers, number, gateways))
            print(f"server {number} is replaced: {upgrades[-1]}", file=sys.stderr)
        time.sleep(PAUSE)
        return self.report(load), self.report(plain), upgrades

    def replace(self, servers, number, gateways):
        usual, spent = self.usual(gateways), spent_by(gateways)
        begin = time.monotonic()
        moved = self.retire(servers[number])
        seconds = time.monotonic() - begin
        cpu = spent_by(gateways) - spent - usual * seconds
        servers[number] = self.server(number)
        return {"moved": moved, "seconds": seconds, "cpu": cpu}

    def usual(self, gateways):
        """Returns the CPU time that they take in a second; a pause."""
        begin, spent = time.monotonic(), spent_by(gateways)
        time.sleep(PAUSE)
        return (spent_by(gateways) - spent) / (time.monotonic() - begin)

    def retire(self, server):
        """Has a server leave; returns how many sessions it has given away."""
        server.send_signal(signal.SIGTERM)
        if server.wait(PATIENCE_SECONDS):
            raise SystemExit(f"a server ended with {server.returncode}")
        log = (self.directory / f"{server.name}.log").read_text(encoding="utf-8")
        if "\n0 sessions cut off\n" not in log:
            raise SystemExit(f"not all sessions were moved:\n{log}")
        return int(re.search(r"moved_away: (\d+)", log)[1])

    def freeze(self, server, address, gateway):
        """Has a thousand sessions moved to a server that does not answer for a while; returns what they take."""
        sessions = some_sessions()
        before = self.memory(gateway)
        server.send_signal(signal.SIGSTOP)
        admin = http.client.HTTPConnection(HOST, ADMIN, timeout=10)
        for session in sessions:
            wish = json.dumps({"service": SERVICE, "endpoint": address})
            admin.request("POST", f"/api/v1/sessions/{session}/assign", wish, {"Content-Type": "application/json"})
            answer = admin.getresponse()
            if answer.status != 200:
                raise SystemExit(f"not assigned: {answer.read().decode()}")
            answer.read()
        under_way, frozen = metric(0, "game_gateway_moves_under_way"), self.memory(gateway)
        server.send_signal(signal.SIGCONT)
        until("the moves end", lambda: metric(0, "game_gateway_moves_under_way") == 0)
        return {"under_way": under_way, "before": before, "then": frozen, "after": self.memory(gateway)}

    def memory(self, gateway):
        budget = get(0, "/api/v1/memory")
        return {"resident": resident(gateway), "held": budget["held_bytes"], "peak": budget["peak_bytes"]}

    def price(self):
        """Has all sessions of a server, which are idle, moved by one gateway; returns what that takes."""
        servers = [self.server(number) for number in range(2)]
        gateway = self.gateway(0, 2)
        # One match, and so all at one server.
        idle = ["--idle", "--resumable", "--realm", "1"]
        self.load(self.options.clients, *idle, rate=IDLE_RATE, target=f"{HOST}:{PLAYERS}")
        self.until_sessions([0], self.options.clients)
        time.sleep(PAUSE)
        first = max(range(2), key=sessions_at)
        spent, begin = spent_by([gateway]), time.monotonic()
        moved = self.retire(servers[first])
        seconds = time.monotonic() - begin
        price = {"moved": moved, "seconds": seconds, "cpu": spent_by([gateway]) - spent}
        servers[first] = self.server(first)
        until("the server is up again", lambda: backend(first)["health"] == "up")
        return price, self.freeze(servers[first], f"{HOST}:{SERVER + first}", gateway)

    def server(self, number):
        address = f"{HOST}:{SERVER + number}"
        server = self.spawn("server", [str(self.options.gateway), "loadtest", "--backend-only", address,
                                       "--service", SERVICE, "--pushes", "1s"])
        listening(SERVER + number)
        return server

    def gateway(self, number, servers):
        endpoints = [f"{HOST}:{SERVER + n}" for n in range(servers)]
        rule = {"strategy": "consistent_hash", "hash_key": "realm_id", "endpoints": endpoints}
        routes = self.directory / f"routes-{servers}.json"
        routes.write_text(json.dumps({"rules": {SERVICE: rule}}), encoding="utf-8")
        config = self.directory / f"gw{number}.toml"
        config.write_text(
            f'gateway = {{ id = "gw-{number}", workers = 1 }}\n'
            f'listen.address = "{HOST}:{PLAYERS + number}"\n'
            f'admin.address = "{HOST}:{ADMIN + number}"\n'
            f'peer.address = "{HOST}:{PEER + number}"\n'
            f'session.token_keys = ["{KEY}"]\n'
            # A server that is frozen for a while is waited for.
            'backend.connect_timeout = "10s"\n'
            f'routes.file = "{routes}"\n', encoding="utf-8")
        gateway = self.spawn(f"gw{number}", [str(self.options.gateway), "serve", "--config", str(config)])
        ready(ADMIN + number)
        return gateway

    def haproxy(self):
        servers = "".join(f"  server gw{n} {HOST}:{PLAYERS + n} port {ADMIN + n}\n" for n in range(GATEWAYS))
        config = self.directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(address=f"{HOST}:{BALANCER}", servers=servers), encoding="utf-8")
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        if not program:
            raise SystemExit("haproxy is missing")
        self.spawn("haproxy", [program, "-db", "-q", "-f", str(config)])
        listening(BALANCER)

    def load(self, sessions, *more, rate=RATE, target=f"{HOST}:{BALANCER}"):
        command = [str(self.options.gateway), "loadtest", "--target", target, "--service", SERVICE,
                   "--sessions", str(sessions), "--connect-rate", rate, "--warmup", "0ms",
                   "--duration", "10m", "--grace", "30s", "--json", *more]
        if "--idle" not in more:
            command += ["--think", self.options.think]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.programs.append(load)
        return load

    def report(self, load):
        load.send_signal(signal.SIGINT)
        out, _ = load.communicate(timeout=PATIENCE_SECONDS)
        return json.loads(out)

    def until_sessions(self, gateways, sessions):
        count = lambda: sum(metric(number, "game_gateway_sessions") for number in gateways)
        until(f"{sessions} sessions have come", lambda: count() >= sessions)

    def spawn(self, name, command):
        self.runs += 1
        name = f"{name}-{self.runs}"
        with open(self.directory / f"{name}.log", "w", encoding="utf-8") as log:
            program = subprocess.Popen(command, stdout=log, stderr=log)
        program.name = name
        self.programs.append(program)
        return program

    def stop(self):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
            program.wait()
        self.programs.clear()


def until(what, holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not so: {what}")
        time.sleep(0.1)


def some_sessions():
    """Returns the ids of a thousand sessions of the first gateway."""
    found, cursor = [], ""
    while len(found) < FROZEN_MOVES:
        page = get(0, f"/api/v1/sessions?limit=500&service={SERVICE}{cursor}")
        found += [session["session_id"] for session in page["sessions"]]
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    return found[:FROZEN_MOVES]


def backend(number):
    backends = get(0, "/api/v1/backends")["backends"]
    return next(b for b in backends if b["endpoint"] == f"{HOST}:{SERVER + number}")


def sessions_at(number):
    return backend(number)["sessions"]


def get(number, path):
    with urllib.request.urlopen(f"http://{HOST}:{ADMIN + number}{path}", timeout=10) as answer:
        return json.load(answer)


def metric(number, name):
    with urllib.request.urlopen(f"http://{HOST}:{ADMIN + number}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return int(re.search(rf"^{name} (\d+)$", text, re.MULTILINE)[1])


def listening(port):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((HOST, port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")


def ready(port):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nobody is ready on port {port}")


def spent_by(programs):
    """Returns the CPU time that processes have taken, in seconds."""
    ticks = 0
    for program in programs:
        text = pathlib.Path(f"/proc/{program.pid}/stat").read_text(encoding="utf-8")
        fields = text.rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK


def resident(program):
    text = pathlib.Path(f"/proc/{program.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def rows(report, plain, upgrades, frozen, price):
    silence = report["longest_silence_ms"]
    yield "players, TCP and WebSocket in turns", report["sessions"]
    yield "frames sent, answered", f"{report['sent']}, {report['answered']}"
    for name in ("lost", "doubled", "reordered", "corrupted", "gaps", "errors"):
        yield name, report[name]
    yield "players whose state is as they know it", report["states_same"]
    yield "numbered frames that servers have sent unasked", report["pushes"]
    yield ("longest silence of a player: p50, p99, most",
           f"{silence['p50']:.0f}, {silence['p99']:.0f}, {silence['max']:.0f} ms")
    yield "players whose sessions cannot be resumed", plain["sessions"]
    yield ("their frames lost, doubled, reordered",
           f"{plain['lost']}, {plain['doubled']}, {plain['reordered']}")
    for number, upgrade in enumerate(upgrades, 1):
        yield (f"server {number}: sessions moved, until it has ended",
               f"{upgrade['moved']}, {upgrade['seconds'] * 1000:.0f} ms")
    moved = sum(upgrade["moved"] for upgrade in upgrades)
    yield ("CPU time of both gateways for a move, beside the load",
           f"{sum(upgrade['cpu'] for upgrade in upgrades) / moved * 1e6:.0f} µs")
    before, then, after = frozen["before"], frozen["then"], frozen["after"]
    yield "moves under way at a server that does not answer", frozen["under_way"]
    yield ("resident memory of their gateway before, then, and when they have ended",
           ", ".join(f"{memory['resident'] / 2**20:.1f}" for memory in (before, then, after)) + " MiB")
    yield ("its queues and buffers likewise, and at most",
           ", ".join(f"{memory['held'] / 2**20:.1f}" for memory in (before, then, after))
           + f", {after['peak'] / 2**20:.1f} MiB")
    yield ("one gateway, idle players: moves, in a second",
           f"{price['moved']}, {price['moved'] / price['seconds']:.0f}")
    yield "its CPU time for a move", f"{price['cpu'] / price['moved'] * 1e6:.0f} µs"


if __name__ == "__main__":
    sys.exit(main())
