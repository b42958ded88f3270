#!/usr/bin/env python3
"""A rolling upgrade under load: three gateways behind HAProxy, each of them in turn told to go by
SIGTERM and replaced, while `loadtest --expect-moves` plays. Needs HAProxy; everything is on loopback.
"""
import argparse
import json
import os
import pathlib
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HOST = "127.0.0.1"
BALANCER, BACKEND = 7200, 7201
# Of the first gateway; the next ones' are one higher each.
PLAYERS, ADMIN, PEER = 7210, 7220, 7230
GATEWAYS = 3
KEY = "0123456789abcdef0123456789abcdef"
START_SECONDS = 15
# Between the moment a new gateway is ready and the next one's turn, in seconds.
PAUSE = 3
MAX_CLIENTS = 6_000

HAPROXY = """
global
  maxconn 8000
  nbthread 1
defaults
  mode tcp
  timeout connect 1s
  timeout client 120s
  timeout server 120s
  timeout check 1s
  retries 3
  option redispatch
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
        upgrade = Upgrade(options, pathlib.Path(directory))
        try:
            report = upgrade.run()
        finally:
            upgrade.stop()
    print(f"{cpu()}, {os.cpu_count()} cores, kernel {platform.release()}.")
    print(f"{GATEWAYS} gateways with one worker each, drain.window {options.window}, "
          f"HAProxy in front; every gateway replaced once.\n")
    print("| | |\n| --- | ---: |")
    for name, value in rows(report):
        print(f"| {name} | {value} |")
    return 0 if report["ok"] else 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition(".")[0] + ".")
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--gateway", metavar="FILE", default=root / "target/release/game-gateway",
                        help="the gateway's binary [%(default)s]")
    parser.add_argument("--clients", type=int, default=3000, metavar="N", help="players [3000]")
    parser.add_argument("--window", default="10s", metavar="DURATION", help="drain.window [10s]")
    parser.add_argument("--think", default="500ms", metavar="DURATION",
                        help="between an answer and the next frame [500ms]")
    options = parser.parse_args()
    if not 1 <= options.clients <= MAX_CLIENTS:
        parser.error(f"--clients is at most {MAX_CLIENTS}")
    return options


class Upgrade:
    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.programs = []

    def run(self):
        gateway = str(self.options.gateway)
        self.spawn("backend", [gateway, "loadtest", "--backend-only", f"{HOST}:{BACKEND}"])
        listening(BACKEND)
        rules = {"rules": {"echo": {"strategy": "round_robin", "endpoints": [f"{HOST}:{BACKEND}"]}}}
        (self.directory / "routes.json").write_text(json.dumps(rules), encoding="utf-8")
        gateways = [self.start(number, 0) for number in range(GATEWAYS)]
        servers = "".join(f"  server gw{n} {HOST}:{PLAYERS + n} port {ADMIN + n}\n"
                          for n in range(GATEWAYS))
        config = self.directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(address=f"{HOST}:{BALANCER}", servers=servers), encoding="utf-8")
        self.spawn("haproxy", ["haproxy", "-db", "-q", "-f", str(config)])
        listening(BALANCER)
        load = self.load()
        time.sleep(self.options.clients / 500 + PAUSE)
        for number in range(GATEWAYS):
            gateways[number].send_signal(signal.SIGTERM)
            if gateways[number].wait(120):
                raise SystemExit(f"gateway {number} ended with {gateways[number].returncode}")
            gateways[number] = self.start(number, 1)
            print(f"gateway {number} is replaced", file=sys.stderr)
            time.sleep(PAUSE)
        # The load ends when it has been told so, or on its own.
        out, _ = load.communicate(timeout=180)
        return json.loads(out)

    def load(self):
        seconds = GATEWAYS * (duration(self.options.window) + PAUSE + 4) + PAUSE
        command = [str(self.options.gateway), "loadtest", "--target", f"{HOST}:{BALANCER}",
                   "--expect-moves", "--sessions", str(self.options.clients), "--think", self.options.think,
                   "--transport", "tcp,websocket", "--connect-rate", "500/s",
                   "--duration", f"{seconds:.0f}s", "--json"]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.programs.append(load)
        return load

    def start(self, number, generation):
        config = self.directory / f"gw{number}.toml"
        config.write_text(
            f'gateway = {{ id = "gw-{number}-{generation}", workers = 1 }}\n'
            f'listen.address = "{HOST}:{PLAYERS + number}"\n'
            f'admin.address = "{HOST}:{ADMIN + number}"\n'
            f'peer.address = "{HOST}:{PEER + number}"\n'
            f'session.token_keys = ["{KEY}"]\n'
            f'routes.file = "{self.directory / "routes.json"}"\n'
            f'drain = {{ window = "{self.options.window}", accept_grace = "1s" }}\n', encoding="utf-8")
        gateway = self.spawn(f"gw{number}-{generation}",
                             [str(self.options.gateway), "serve", "--config", str(config)])
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{ADMIN + number}/ready", timeout=1):
                    return gateway
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"gateway {number} is not ready")

    def spawn(self, name, command):
        with open(self.directory / f"{name}.log", "w", encoding="utf-8") as log:
            program = subprocess.Popen(command, stdout=log, stderr=log)
        self.programs.append(program)
        return program

    def stop(self):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
                program.wait()


def listening(port):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((HOST, port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


def duration(text):
    for unit, seconds in (("ms", 0.001), ("s", 1), ("m", 60)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * seconds
    raise SystemExit(f"{text} is no duration")


def cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def rows(report):
    moves, silence = report["moves_per_session"], report["longest_silence_ms"]
    yield "players, TCP and WebSocket in turns", report["sessions"]
    yield "frames sent, answered", f"{report['sent']}, {report['answered']}"
    for name in ("lost", "doubled", "reordered", "corrupted", "gaps"):
        yield name, report[name]
    yield "sessions that ended early", sum(report["ended_early"].values())
    yield "moves", report["moves"]
    yield "moves of a player: p50, p99, most", f"{moves['p50']:.0f}, {moves['p99']:.0f}, {moves['max']:.0f}"
    yield ("longest silence of a player: p50, p99, most",
           f"{silence['p50']:.0f}, {silence['p99']:.0f}, {silence['max']:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
