#!/usr/bin/env python3
"""Measures what a ban costs a worker that has many sessions, and another player meanwhile.

    benches/ban.py [--sessions 18000] [--workers 1] [--rounds 20] [--program target/release/game-gateway]

Three bans: of a user and of a network that nobody has, so every client is only looked at, and of the network of all
sessions but one. That one sends a PING every millisecond. `busy` is the CPU time of the worker's thread.
"""

import argparse, json, resource, socket, struct, subprocess, sys, tempfile, threading, time, urllib.request

HEADER = struct.Struct(">HBBIIQQBBH")
PLAYERS, ADMIN, BACKEND = 17411, 17412, 17413
# Files of the load that are no session's.
LOAD_FILES = 64
CROWD, OTHER = "127.0.2.1", "127.0.3.1"


def ask(method, path, body=None):
    body = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{ADMIN}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read()


def metric(name):
    lines = ask("GET", "/metrics").decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def until(what):
    while not what():
        time.sleep(0.05)


class Pings:
    """Round trips of a player's PINGs, one each millisecond."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind((OTHER, 0))
        self.socket.connect(("127.0.0.1", PLAYERS))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(HEADER.pack(0xA747, 1, 0, 24, 0, 0, 0, 4, 0, 0) + b"echo" + bytes(24))
        self.trips = []
        threading.Thread(target=self.send, daemon=True).start()
        threading.Thread(target=self.receive, daemon=True).start()

    def send(self):
        due = time.perf_counter()
        while True:
            due += 0.001
            time.sleep(max(0, due - time.perf_counter()))
            self.socket.sendall(HEADER.pack(0xA747, 1, 3, 8, 0, 0, 0, 0, 0, 0) + struct.pack(">d", due))

    def receive(self):
        stream = self.socket.makefile("rb")
        while head := stream.read(HEADER.size):
            fields = HEADER.unpack(head)
            payload = stream.read(fields[7] + fields[3])
            if fields[2] == 4 and fields[3] == 8:
                self.trips.append((time.perf_counter(), struct.unpack(">d", payload)[0]))

    def during(self, begin, end):
        until(lambda: self.trips and self.trips[-1][1] >= end)
        return sorted((came - due) * 1000 for came, due in self.trips if begin <= due <= end)


def busy(process):
    """CPU time of the busiest thread that carries traffic, in ms."""
    tasks = subprocess.run(["ls", f"/proc/{process.pid}/task"], capture_output=True, text=True).stdout.split()
    times = {}
    for task in tasks:
        with open(f"/proc/{process.pid}/task/{task}/schedstat") as file:
            times[task] = int(file.read().split()[0]) / 1e6
    return times


def row(name, took, cpu, trips):
    at = lambda share: trips[min(len(trips) - 1, int(len(trips) * share))]
    print(f"| {name} | {took:.1f} | {cpu:.2f} | {at(0.5):.2f} | {at(0.99):.2f} | {trips[-1]:.2f} |", flush=True)


def measure(pings, gateway, body, ended):
    before, begin = busy(gateway), time.perf_counter()
    ask("POST", "/api/v1/bans", body)
    took = (time.perf_counter() - begin) * 1000
    if ended:
        until(lambda: metric("game_gateway_sessions") <= 1)
    else:
        time.sleep(0.02)
    end, after = time.perf_counter(), busy(gateway)
    cpu = max(after[task] - before.get(task, 0) for task in after)
    return took, cpu, pings.during(begin, end)


def ensure_room(sessions):
    """Ends with a message where the open-file limit does not allow so many sessions: they would never come."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min(metric("game_gateway_connections_limit") - 1, files - LOAD_FILES)
    if files != resource.RLIM_INFINITY and sessions > most:
        raise SystemExit(f"{sessions} sessions need more open files than the hard limit of {files} (ulimit -Hn): "
                         f"raise it, or say --sessions {max(0, int(most))}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=18000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--program", default="target/release/game-gateway")
    args = parser.parse_args()
    folder = tempfile.mkdtemp()
    with open(f"{folder}/routes.json", "w") as file:
        rule = {"strategy": "round_robin", "endpoints": [f"127.0.0.1:{BACKEND}"]}
        json.dump({"rules": {"echo": rule}}, file)
    with open(f"{folder}/gateway.toml", "w") as file:
        file.write(f'gateway.id = "ban"\ngateway.workers = {args.workers}\nlisten.address = "127.0.0.1:{PLAYERS}"\n'
                   f'admin.address = "127.0.0.1:{ADMIN}"\nroutes.file = "{folder}/routes.json"\n'
                   'limits.memory = "1GiB"\nsession.idle_timeout = "30m"\nlisten.sniff_timeout = "10m"\n')
    gateway = subprocess.Popen([args.program, "serve", "--config", f"{folder}/gateway.toml"],
                               stdout=subprocess.DEVNULL, stderr=open(f"{folder}/log", "w"))
    load = subprocess.Popen([args.program, "loadtest", "--target", f"127.0.0.1:{PLAYERS}", "--with-backend",
                             f"127.0.0.1:{BACKEND}", "--sessions", str(args.sessions), "--bind", CROWD, "--think", "60s",
                             "--connect-rate", "3000", "--duration", "1h"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", ADMIN)) == 0)
        ensure_room(args.sessions)
        # Not every connection of so many succeeds.
        while (sessions := metric("game_gateway_sessions")) < args.sessions * 0.99:
            connections = metric("game_gateway_connections")
            print(f"{connections:.0f} connections, {sessions:.0f} of {args.sessions} sessions", file=sys.stderr, flush=True)
            if load.poll() is not None:
                raise SystemExit(f"the load has ended with status {load.returncode}")
            time.sleep(2)
        time.sleep(5)
        crowd = metric("game_gateway_sessions")
        pings = Pings()
        until(lambda: metric("game_gateway_sessions") > crowd)
        print(f"{crowd:.0f} sessions, workers: {args.workers}\n")
        time.sleep(1)
        print("| ban | answered after ms | busy ms | ping p50 ms | p99 | most |\n| --- | --- | --- | --- | --- | --- |")
        begin = time.perf_counter()
        time.sleep(2)
        row("none, for 2 s", 0, 0, pings.during(begin, time.perf_counter()))
        for name, body in [("of a user whom nobody is", {"user_id": "1"}),
                           ("of a network in which nobody is", {"address": "10.0.0.0/8"})]:
            rounds = [measure(pings, gateway, body, False) for _ in range(args.rounds)]
            trips = sorted(trip for _, _, trips in rounds for trip in trips)
            count = len(rounds)
            row(f"{name}, {count} times", sum(r[0] for r in rounds) / count, sum(r[1] for r in rounds) / count, trips)
        row("of all of them", *measure(pings, gateway, {"address": f"{CROWD}/32"}, True))
    finally:
        for process in (load, gateway):
            process.kill()
            process.wait()


main()
