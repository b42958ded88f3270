#!/usr/bin/env python3
"""Measures what operators' looks at a gateway cost it, and its players.

    benches/operators.py [watched|traced|listed|each ...] [--rounds 5] [--seconds 8] [--program target/release/game-gateway]

watched  512 sessions, each with one frame of 64 B under way, and 100 one-shot sessions a second, whose ends are lines of the
         access log. Each second /metrics is scraped, all actors, sessions, backends, talkers, refusals and the rest
         are listed, and the page's stream of events is read; against none of it, and no access log.
traced   10,000 sessions with users of their own, 10,000 frames a second. One user is traced, its events are read.
listed   18,000 sessions, 6,000 frames a second. All of them are listed again and again, without a pause.
each     2,000 sessions, 200 frames a second. What each request costs, read to its last page, of which thread, and how long one
         question holds the worker up.

One gateway with one worker, one load for all of a case; the rounds alternate (without, with; with, without). The figures are
CPU time of the whole process for each frame of players, and round trips of one more player's DATA (one under
way, at most 500 a second, by a script, so with its own delays), and ratios of the same round. Client and gateway are processes of their own, each
below 20,000 files.
"""

import argparse, json, multiprocessing, os, re, socket, statistics, struct, subprocess, sys, tempfile, threading, time, urllib.request

HEADER = struct.Struct(">HBBIIQQBBH")
PLAYERS, ADMIN, BACKEND = 17431, 17432, 17433
OTHER_PLAYERS, OTHER_ADMIN = 17441, 17442
CROWD, OTHER = "127.0.6.1", "127.0.7.1"
USERS = 1_000_000


def ask(path, method="GET", body=None, port=None):
    body = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port or ADMIN}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read()


def metric(name):
    lines = ask("/metrics").decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def until(what):
    while not what():
        time.sleep(0.05)


def pages(path, port=None):
    """Reads all pages of a list; returns the bytes."""
    read, cursor = 0, ""
    while cursor is not None:
        page = ask(f"{path}{'&' if '?' in path else '?'}limit=1000{cursor}", port=port)
        read += len(page)
        found = re.search(rb'"next_cursor":"([^"]+)"', page)
        cursor = f"&cursor={found[1].decode()}" if found else None
    return read


class Probe:
    """Round trips of one player's DATA, one under way and at most 500 a second, in a process of its own: a thread of this one
    would wait for up to 5 ms whenever another one reads a list."""

    def __init__(self):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(other,), daemon=True)
        self.process.start()

    def stop(self):
        self.process.terminate()
        self.process.join()

    @staticmethod
    def run(pipe):
        connection = socket.socket()
        connection.bind((OTHER, 0))
        connection.connect(("127.0.0.1", PLAYERS))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream, due, trips, wanted = connection.makefile("rb"), time.perf_counter(), [], None
        while True:
            due = max(due + 0.002, time.perf_counter())
            time.sleep(max(0, due - time.perf_counter()))
            sent = time.perf_counter()
            connection.sendall(HEADER.pack(0xA747, 1, 0, 64, 0, 0, 0, 4, 0, 0) + b"echo" + bytes(64))
            fields = HEADER.unpack(stream.read(HEADER.size))
            stream.read(fields[7] + fields[3])
            if fields[2] != 0:
                sys.exit(f"the probe got a frame of kind {fields[2]}")
            trips.append((sent, (time.perf_counter() - sent) * 1000))
            wanted = wanted or (pipe.recv() if pipe.poll() else None)
            if wanted and sent >= wanted[1]:
                pipe.send(sorted(trip for at, trip in trips if wanted[0] <= at <= wanted[1]))
                trips, wanted = [], None

    def during(self, begin, end):
        self.pipe.send((begin, end))
        return self.pipe.recv()


class Repeated:
    """Calls a function in a thread, each second or without a pause, until it is stopped."""

    def __init__(self, what, pause=1.0):
        self.stopped, self.times = threading.Event(), 0
        self.thread = threading.Thread(target=self.run, args=(what, pause), daemon=True)
        self.thread.start()

    def run(self, what, pause):
        due = time.perf_counter()
        while not self.stopped.is_set():
            what()
            self.times += 1
            due = max(due + pause, time.perf_counter())
            self.stopped.wait(due - time.perf_counter())

    def stop(self):
        self.stopped.set()
        self.thread.join()


class Stream:
    """Reads server-sent events until it is stopped."""

    def __init__(self, path, port=ADMIN):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.read = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while data := self.socket.recv(65536):
            self.read += len(data)

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()


class Watched:
    """What a wall of dashboards does. Who looks takes both cores from the load, wherever he looks: so without it he looks at
    another gateway with as many sessions, which are quiet."""

    load = ["--sessions", "512", "--payload", "64", "--in-flight", "1"]
    more = ["--transport", "http", "--sessions", "8", "--rate", "100"]
    sessions = 512

    def begin(self, port=ADMIN):
        self.port = port
        ask("/api/v1/log-level", "PUT", {"level": "info"}, port)
        self.parts = [Stream("/api/v1/events", port), Repeated(self.look)]

    def look(self):
        for path in ("/metrics", "/api/v1/actors", "/api/v1/actors/busiest", "/api/v1/backends", "/api/v1/top-talkers", "/api/v1/refusals",
                     "/api/v1/bans", "/api/v1/memory", "/api/v1/routes", "/api/v1/info", "/api/v1/limits", "/api/v1/traces"):
            ask(path, port=self.port)
        for kind in ("client", "link", "backend_pool", "router", "worker"):
            pages(f"/api/v1/actors?kind={kind}", self.port)
        pages("/api/v1/sessions", self.port)

    def end(self):
        for part in self.parts:
            part.stop()
        ask("/api/v1/log-level", "PUT", {"level": "info,game_gateway::access=off"}, self.port)


class Traced:
    """One user is followed."""

    load = ["--sessions", "10000", "--rate", "10000", "--user-base", str(USERS), "--connect-rate", "2000"]
    more = None
    sessions = 10000

    def begin(self):
        wish = {"user_id": str(USERS + 4711), "for": "1h"}
        self.id = json.loads(ask("/api/v1/traces", "POST", wish))["id"]
        self.stream = Stream(f"/api/v1/traces/{self.id}/events")

    def end(self):
        if not self.stream.read:
            sys.exit("the trace has recorded nothing")
        ask(f"/api/v1/traces/{self.id}", "DELETE")
        self.stream.stop()


class Listed:
    """Everybody is listed again and again."""

    load = ["--sessions", "18000", "--rate", "6000", "--user-base", str(USERS), "--connect-rate", "3000"]
    more = None
    sessions = 18000
    listings = 0

    def begin(self):
        self.part = Repeated(lambda: pages("/api/v1/sessions"), 0)

    def end(self):
        self.part.stop()
        Listed.listings += self.part.times


class Each:
    """One request after the other."""

    load = ["--sessions", "2000", "--rate", "200", "--user-base", str(USERS), "--connect-rate", "2000"]
    more = None
    sessions = 2000
    paths = ("/metrics", "/api/v1/info", "/api/v1/actors", "/api/v1/actors/busiest", "/api/v1/backends", "/api/v1/top-talkers", "/api/v1/refusals",
             "/api/v1/memory", "/api/v1/routes", "/api/v1/limits", "/api/v1/sessions", "/api/v1/actors?kind=client", "/api/v1/actors?kind=link")


CASES = {"watched": Watched, "traced": Traced, "listed": Listed, "each": Each}


def spent(gateway):
    """Returns the CPU time of the admin API's thread and of all others, in µs."""
    sums = [0, 0]
    for thread in os.listdir(f"/proc/{gateway.pid}/task"):
        with open(f"/proc/{gateway.pid}/task/{thread}/comm") as name, open(f"/proc/{gateway.pid}/task/{thread}/schedstat") as figures:
            sums[name.read().strip() != "admin"] += int(figures.read().split()[0]) / 1000
    return sums


def costs(gateway, look, times):
    """Returns what a look costs, as `spent`, and beside it the bytes of the last one."""
    begin, before, read = time.perf_counter(), spent(gateway), 0
    for _ in range(times):
        read = look()
    after, passed = spent(gateway), time.perf_counter() - begin
    return [(b - a) / times for a, b in zip(before, after)] + [read, passed / times]


def each(gateway):
    """Prints what each request costs, less what passes in the same time without one."""
    idle = costs(gateway, lambda: time.sleep(5), 1)
    print("\n| request | KB | CPU µs of the admin API's thread | of all others |\n| --- | ---: | ---: | ---: |")
    for path in Each.paths:
        look = (lambda: pages(path)) if path.endswith("sessions") or "kind" in path else (lambda: len(ask(path)))
        look()
        admin, others, read, took = costs(gateway, look, 30)
        print(f"| `{path}` | {read / 1000:.1f} | {admin - idle[0] / 5 * took:.0f} | {others - idle[1] / 5 * took:.0f} |", flush=True)
    stream = Stream("/api/v1/events")
    time.sleep(2)
    admin, others = costs(gateway, lambda: time.sleep(12), 1)[:2]
    stream.stop()
    print(f"| a second of `/api/v1/events` | | {admin / 12 - idle[0] / 5:.0f} | {others / 12 - idle[1] / 5:.0f} |\n")
    for kind in json.loads(ask("/api/v1/actors"))["kinds"]:
        for row in kind["handlers"] if kind["kind"] == "worker" else []:
            if row["message"].startswith("List"):
                print(row["message"], row["recent"])


def window(gateway, probe, seconds):
    """Returns of one window CPU µs for each frame, of the whole process and without the admin API's thread, p50 and p99 in ms."""
    frames, used, begin = metric("game_gateway_client_in_frames_total"), spent(gateway), time.perf_counter()
    time.sleep(seconds)
    used, end = [after - before for before, after in zip(used, spent(gateway))], time.perf_counter()
    frames = metric("game_gateway_client_in_frames_total") - frames
    trips = probe.during(begin, end)
    return sum(used) / frames, used[1] / frames, trips[len(trips) // 2], trips[int(len(trips) * 0.99)]


def run(name, args):
    case, folder = CASES[name](), tempfile.mkdtemp()
    with open(f"{folder}/routes.json", "w") as file:
        json.dump({"rules": {"echo": {"strategy": "round_robin", "endpoints": [f"127.0.0.1:{BACKEND}"]}}}, file)
    for players, admin in ((PLAYERS, ADMIN), (OTHER_PLAYERS, OTHER_ADMIN)):
        with open(f"{folder}/{admin}.toml", "w") as file:
            file.write(f'gateway.id = "operators"\ngateway.workers = 1\nlisten.address = "127.0.0.1:{players}"\n'
                   f'admin.address = "127.0.0.1:{admin}"\nroutes.file = "{folder}/routes.json"\n'
                   'limits.memory = "1GiB"\nsession.idle_timeout = "30m"\nlisten.sniff_timeout = "10m"\n')
    started = [subprocess.Popen([args.program, "serve", "--config", f"{folder}/{port}.toml"],
                                stdout=subprocess.DEVNULL, stderr=open(f"{folder}/{port}.log", "w")) for port in (ADMIN, OTHER_ADMIN)]
    gateway = started[0]
    try:
        for port in (ADMIN, OTHER_ADMIN):
            until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        ask("/api/v1/log-level", "PUT", {"level": "info,game_gateway::access=off"})
        target = [args.program, "loadtest", "--target", f"127.0.0.1:{PLAYERS}", "--duration", "2h"]
        started.append(subprocess.Popen([args.program, "loadtest", "--backend-only", f"127.0.0.1:{BACKEND}"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for options in (case.load, case.more):
            if options:
                started.append(subprocess.Popen(target + ["--bind", CROWD] + options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        if name == "watched":
            quiet = [args.program, "loadtest", "--target", f"127.0.0.1:{OTHER_PLAYERS}", "--duration", "2h", "--rate", "10"]
            started.append(subprocess.Popen(quiet + case.load[:2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        # Not every connection of so many succeeds.
        until(lambda: metric("game_gateway_sessions") >= case.sessions * 0.99)
        if name == "each":
            return each(gateway)
        probe = Probe()
        time.sleep(5)
        without, within = [], []
        for number in range(args.rounds):
            for looked in (number % 2 == 1, number % 2 == 0):
                if looked:
                    case.begin()
                elif name == "watched":
                    case.begin(OTHER_ADMIN)
                # So that what begins it is not counted.
                time.sleep(1)
                (within if looked else without).append(window(gateway, probe, args.seconds))
                if looked or name == "watched":
                    case.end()
                    time.sleep(1)
        count = metric("game_gateway_sessions")
        probe.stop()
    finally:
        for process in started:
            process.kill()
            process.wait()
    report(name, count, without, within)
    if name == "listed":
        print(f"\n{Listed.listings * 18000:,} rows were listed.")


def report(name, count, without, within):
    print(f"\n{name}, {count:.0f} sessions, {len(without)} rounds\n\n"
          "| | without | with | ratio in a round: median | lowest to highest |\n| --- | ---: | ---: | ---: | --- |")
    for at, what in enumerate(("CPU µs a frame", "the same without the admin API's thread", "p50 ms", "p99 ms")):
        one, other = [row[at] for row in without], [row[at] for row in within]
        ratios = sorted(b / a for a, b in zip(one, other))
        print(f"| {what} | {statistics.median(one):.2f} | {statistics.median(other):.2f} | {statistics.median(ratios):.3f} "
              f"| {ratios[0]:.2f} to {ratios[-1]:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} [all]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--program", default="target/release/game-gateway")
    args = parser.parse_args()
    for name in args.cases or CASES:
        if name not in CASES:
            parser.error(f"no case {name}")
        run(name, args)


main()
