"""The soak: see scripts/soak. One line for each result, a `-` line for each thing that is wrong."""

import argparse
import collections
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from soak_parts import (
    START_SECONDS, Backend, Balancer, Failed, Gateway, Redis, Started, free_port, wait_until,
)

# RSS in the last third of the run, in terms of that in the second one (medians): at most this factor.
MEMORY_FACTOR = 1.2
# Within this many seconds of the end everything is what it was.
SETTLE_SECONDS = 60
# Sessions on each gateway of which every worker and backend has some.
BUSY_SESSIONS = 40
# Pools of each gateway once all have begun: two services, two endpoints and two workers.
POOLS = 8
# A round of traffic; then others connect.
ROUND_SECONDS = 8
# Pauses between faults, and how long one lasts, in seconds.
PAUSES = (0.5, 3.0)
FAULTS = (0.5, 4.0)
KEY = "soak-soak-soak-soak-soak-soak-soak"
# Longer than a resume window, an idle link, and a file that is open for a moment.
STILL_SECONDS = 12
# After so many answers of /health Kubernetes ends a process; one may come late on a machine that is busy.
UNHEALTHY_IN_A_ROW = 3
# What no fault excuses.
NEVER = ("doubled", "reordered", "corrupted")


class Soak:
    def __init__(self, arguments, folder):
        self.program = str(Path(arguments.program).resolve())
        self.seconds = arguments.minutes * 60
        self.dice = random.Random(arguments.seed)
        self.folder = folder
        self.started = Started(folder)
        self.wrong = []
        self.totals = collections.Counter()
        self.faults = collections.Counter()
        self.end_at = None
        self.lock = threading.Lock()

    def set_up(self):
        self.backends = [Backend(self.started, self.program, f"backend-{n}") for n in (1, 2)]
        for backend in self.backends:
            backend.start()
        self.redis = Redis(self.started, self.folder)
        self.redis.start()
        self.certificate()
        self.routes_file = self.folder / "routes.json"
        self.set_routes(self.all_routes())
        redis = f'source = "redis"\n[redis]\nurl = "{self.redis.url}"'
        sources = {"a": f'source = "file"\nfile = "{self.routes_file}"', "b": redis}
        self.gateways = [
            Gateway(self.started, self.program, f"gateway-{name}", f"""
gateway.id = "soak-{name}"
gateway.workers = 2
listen.address = "127.0.0.1:0"
listen.tls.certificate = ["{self.folder}/cert.pem"]
listen.tls.key = ["{self.folder}/key.pem"]
admin.address = "127.0.0.1:0"
session.resume_window = "5s"
session.token_keys = ["{KEY}"]
backend.idle_timeout = "2s"
drain.accept_grace = "500ms"
peer.address = "127.0.0.1:{free_port()}"
log.level = "warn"
[routes]
{source}
""")
            for name, source in sources.items()
        ]
        for gateway in self.gateways:
            wait_until(f"{gateway.name} is ready", START_SECONDS, gateway.is_ready)
        self.balancer = Balancer(self.gateways)
        self.balancer.start()

    def certificate(self):
        names = "subjectAltName=IP:127.0.0.1"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        command += f" -subj /CN=soak -addext {names} -keyout key.pem -out cert.pem"
        subprocess.run(command.split(), cwd=self.folder, check=True, capture_output=True)

    def all_routes(self):
        return [backend.address for backend in self.backends]

    def set_routes(self, endpoints, strategy="round_robin"):
        rule = {"strategy": strategy, "endpoints": endpoints}
        realms = {str(realm): endpoints[realm % len(endpoints)] for realm in range(1, 1000)}
        document = {"rules": {"echo": rule, "zone": {"strategy": "realm_based"}}, "realms": realms}
        fresh = self.routes_file.with_suffix(".new")
        fresh.write_text(json.dumps(document))
        os.replace(fresh, self.routes_file)
        command = [self.program, "routes", "set", str(self.routes_file), "--yes"]
        command += ["--redis-url", self.redis.url, "--wait", "10s"]
        subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS)

    # Traffic.

    def load(self, target, seconds, *more):
        command = [self.program, "loadtest", "--target", target, "--json", "--warmup", "0s"]
        command += ["--duration", f"{seconds}s", "--think", "20ms", "--grace", "5s", *more]
        out = subprocess.run(
            command, cwd=self.folder, text=True, capture_output=True, timeout=seconds + 60
        )
        # Sessions that could not connect have no report, and are no leak.
        if not out.stdout.startswith("{"):
            return
        report = json.loads(out.stdout)
        with self.lock:
            for name in ("sent", "answered", "told", "lost", "moves", "gaps"):
                self.totals[name] += report.get(name, 0)
            for name in NEVER:
                if report.get(name, 0):
                    self.wrong.append(f"{report[name]} answers {name}: {' '.join(command)}")

    def kinds(self):
        tls = ["--tls", "--ca", "cert.pem"]
        balanced = f"127.0.0.1:{self.balancer.port}"
        every = "tcp,websocket,http"
        return [
            lambda s: self.load(balanced, s, "--transport", every, "--sessions", "30"),
            lambda s: self.load(balanced, s, "--transport", every, "--sessions", "30", *tls),
            lambda s: self.load(balanced, s, "--service", "zone", "--realm", "7", "--sessions", "30"),
            lambda s: self.load(balanced, s, "--service", "zone", "--realm", "8", "--sessions", "30"),
            lambda s: self.load(balanced, s, "--sessions", "30", "--expect-moves", "--resumable"),
            lambda s: self.load(
                balanced, s, "--transport", "websocket", "--sessions", "20",
                "--expect-moves", "--resumable", *tls,
            ),
            lambda s: self.load(balanced, s, "--sessions", "10", "--payload", "30000"),
        ]

    def warm_up(self):
        """Has everything begin that is there once for all: pools, and connections between gateways."""
        threads = [threading.Thread(target=kind, args=(ROUND_SECONDS,)) for kind in self.kinds()]
        for thread in threads:
            thread.start()
        for gateway in self.gateways:
            busy = lambda: gateway.metric("game_gateway_sessions") >= BUSY_SESSIONS
            wait_until(f"{gateway.name} is busy", START_SECONDS, busy)
        for gateway in self.gateways:
            self.drain(gateway)
        for thread in threads:
            thread.join()
        # Which worker a connection comes to is chance.
        deadline = time.monotonic() + START_SECONDS
        while any(g.counts()["actors of kind backend_pool"] < POOLS for g in self.gateways):
            if time.monotonic() > deadline:
                raise Failed("not every worker has met every backend")
            for kind in self.kinds()[:4]:
                kind(1)

    def drive(self, kind):
        while time.monotonic() < self.end_at:
            kind(ROUND_SECONDS)

    # Faults. Each ends what it has begun.

    def lasting(self):
        time.sleep(self.dice.uniform(*FAULTS))

    def backend_killed(self):
        backend = self.dice.choice(self.backends)
        backend.kill()
        self.lasting()
        backend.start()

    def backend_stopped(self):
        backend = self.dice.choice(self.backends)
        backend.process.send_signal(signal.SIGSTOP)
        self.lasting()
        backend.process.send_signal(signal.SIGCONT)

    def connections_cut(self):
        self.balancer.cut(self.dice.uniform(0.1, 1.0), self.dice)

    def routes_changed(self):
        endpoints = self.dice.sample(self.all_routes(), self.dice.randint(1, 2))
        self.set_routes(endpoints, self.dice.choice(["round_robin", "consistent_hash"]))
        self.lasting()
        self.set_routes(self.all_routes())

    def reloaded(self):
        self.dice.choice(self.gateways).process.send_signal(signal.SIGHUP)

    def drain_undone(self):
        self.drain(self.dice.choice(self.gateways))

    def drain(self, gateway):
        gateway.ask("/api/v1/drain", "POST")
        self.balancer.ready = [other for other in self.gateways if other is not gateway]
        self.lasting()
        gateway.ask("/api/v1/drain", "DELETE")
        wait_until(f"{gateway.name} is ready again", START_SECONDS, gateway.is_ready)
        self.balancer.ready = list(self.gateways)

    def redis_restarted(self):
        self.redis.restart()
        self.lasting()
        self.redis.start()

    def garbage(self):
        host, port = self.dice.choice(self.gateways).players.split(":")
        openings = [
            b"", b"\xa7\x47", b"\xa7\x47\x01\x00\xff\xff\xff\xff" + bytes(24), b"\x16\x03\x01",
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"GET /",
            b"PROXY TCP4 ", self.dice.randbytes(500),
        ]
        connections = []
        for _ in range(20):
            connection = socket.create_connection((host, int(port)), 5)
            connection.sendall(self.dice.choice(openings))
            connections.append(connection)
        self.lasting()
        for connection in connections:
            connection.close()

    def run_faults(self):
        faults = [
            self.backend_killed, self.backend_stopped, self.connections_cut, self.routes_changed,
            self.reloaded, self.drain_undone, self.redis_restarted, self.garbage,
        ]
        deck = []
        while time.monotonic() < self.end_at - FAULTS[1]:
            # Each comes once before any comes again.
            deck = deck or self.dice.sample(faults, len(faults))
            fault = deck.pop()
            fault()
            self.faults[fault.__name__.replace("_", " ")] += 1
            time.sleep(self.dice.uniform(*PAUSES))

    def watch(self):
        unhealthy = collections.Counter()
        while time.monotonic() < self.end_at:
            for gateway in self.gateways:
                gateway.memory.append(gateway.status("VmRSS") / 1024)
                try:
                    gateway.ask("/health", timeout=5)
                    unhealthy[gateway] = 0
                except OSError as error:
                    unhealthy[gateway] += 1
                    self.totals["times unhealthy"] += 1
                    if unhealthy[gateway] == UNHEALTHY_IN_A_ROW:
                        self.wrong.append(f"{gateway.name}: /health: {error}")
            time.sleep(1)

    # What must be so at the end.

    def settled(self):
        """The lowest counts of all gateways from when nobody plays any more and actors stay the same."""
        lowest, since = None, time.monotonic()
        deadline = since + SETTLE_SECONDS
        while time.monotonic() < deadline:
            now = [gateway.counts() for gateway in self.gateways]
            if lowest is None or any(self.differs(*pair) for pair in zip(now, lowest)):
                lowest, since = now, time.monotonic()
            lowest = [{n: min(was[n], c) for n, c in counts.items()} for counts, was in zip(now, lowest)]
            if time.monotonic() > since + STILL_SECONDS and not any(c["sessions"] for c in now):
                return lowest
            time.sleep(0.5)
        raise Failed(f"the counts do not settle: {lowest}")

    @staticmethod
    def differs(now, before):
        """Whether anything but files and threads differs; of these some come and go."""
        return any(now[name] != before.get(name) for name in now if name not in ("files", "threads"))

    def check_counts(self, first, last):
        for gateway, was, is_now in zip(self.gateways, first, last):
            for name, count in is_now.items():
                if count > was.get(name, 0):
                    self.wrong.append(f"{gateway.name}: {name}: {was.get(name, 0)} before, {count} now")

    def check_memory(self):
        for gateway in self.gateways:
            third = len(gateway.memory) // 3
            second = statistics.median(gateway.memory[third : 2 * third])
            last = statistics.median(gateway.memory[2 * third :])
            print(f"{gateway.name}: RSS {second:.1f} MiB in the second third, {last:.1f} in the last")
            if last > second * MEMORY_FACTOR:
                self.wrong.append(f"{gateway.name}: memory grew by more than {MEMORY_FACTOR}")

    def run(self):
        self.set_up()
        self.warm_up()
        first = self.settled()
        self.end_at = time.monotonic() + self.seconds
        threads = [threading.Thread(target=self.drive, args=(kind,)) for kind in self.kinds()]
        threads.append(threading.Thread(target=self.watch))
        for thread in threads:
            thread.start()
        try:
            self.run_faults()
        finally:
            self.end_at = min(self.end_at, time.monotonic() + FAULTS[1])
            for thread in threads:
                thread.join()
        last = self.settled()
        self.check_counts(first, last)
        self.check_memory()
        for gateway in self.gateways:
            panics = json.loads(gateway.ask("/api/v1/actors"))["kinds"]
            self.wrong += [f"{gateway.name}: a panic: {k}" for k in panics if k["panics"]]
        print(", ".join(f"{name} {count}" for name, count in sorted(self.totals.items())))
        print("faults: " + ", ".join(f"{name} {n}" for name, n in sorted(self.faults.items())))


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"soak: seed {arguments.seed}, {arguments.minutes:g} minutes", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(arguments, Path(folder))
        try:
            soak.run()
        except (Failed, OSError, subprocess.SubprocessError) as error:
            soak.wrong.append(f"{error}")
        finally:
            soak.started.end()
        for line in soak.wrong[:20]:
            print(f"- {line}")
        if soak.wrong:
            for log in sorted(soak.folder.glob("gateway-*.log")):
                print(f"== {log.name}\n" + "\n".join(log.read_text().splitlines()[-20:]))
    print(f"soak: {'failed' if soak.wrong else 'ok'}")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
