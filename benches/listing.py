#!/usr/bin/env python3
"""Measures what finding a user and listing all sessions cost a worker that has many, and another player meanwhile.

    benches/listing.py [--sessions 18000] [--workers 1] [--rounds 50] [--program target/release/game-gateway]

Each session has a user of its own. One more player sends a PING every millisecond. `busy` is the CPU time of the
busiest thread that carries traffic. Client and gateway are processes of their own, each below 20,000 files.
"""

import argparse, json, socket, struct, subprocess, tempfile, threading, time, urllib.request

HEADER = struct.Struct(">HBBIIQQBBH")
PLAYERS, ADMIN, BACKEND = 17421, 17422, 17423
CROWD, OTHER = "127.0.4.1", "127.0.5.1"
USERS = 1_000_000


def ask(path, method="GET", body=None):
    body = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{ADMIN}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read()


def sessions():
    lines = ask("/metrics").decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == "game_gateway_sessions")


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


def threads(process, but):
    """CPU time of each thread, in ms, but for those of these names."""
    tasks = subprocess.run(["ls", f"/proc/{process.pid}/task"], capture_output=True, text=True).stdout.split()
    times = {}
    for task in tasks:
        with open(f"/proc/{process.pid}/task/{task}/comm") as file:
            if file.read().strip() in but:
                continue
        with open(f"/proc/{process.pid}/task/{task}/schedstat") as file:
            times[task] = int(file.read().split()[0]) / 1e6
    return times


def find(users, number):
    """Looks one user up."""
    page = json.loads(ask(f"/api/v1/sessions?user_id={users[number * 7919 % len(users)]}"))
    assert len(page["sessions"]) == 1 and page["next_cursor"] is None, page


def ban(_users, number):
    """Bans a user whom nobody is."""
    ask("/api/v1/bans", "POST", {"user_id": str(number + 1)})


def whole():
    """Lists all sessions."""
    rows, cursor = [], ""
    while cursor is not None:
        page = json.loads(ask(f"/api/v1/sessions?limit=1000{cursor}"))
        rows += page["sessions"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return rows


def measure(name, pings, gateway, rounds, what):
    before, begin = threads(gateway, {"admin"}), time.perf_counter()
    took = []
    for number in range(rounds):
        start = time.perf_counter()
        what(number)
        took.append((time.perf_counter() - start) * 1000)
    end, after = time.perf_counter(), threads(gateway, {"admin"})
    busy = max(after[task] - before.get(task, 0) for task in after) / rounds
    idle = end - begin
    trips = pings.during(begin, end)
    took.sort()
    at = lambda share: trips[min(len(trips) - 1, int(len(trips) * share))]
    print(f"| {name} | {rounds} | {took[len(took) // 2]:.2f} | {busy:.2f} | {idle:.1f} | {at(0.5):.2f} | {at(0.99):.2f} "
          f"| {trips[-1]:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=18000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--program", default="target/release/game-gateway")
    args = parser.parse_args()
    folder = tempfile.mkdtemp()
    with open(f"{folder}/routes.json", "w") as file:
        rule = {"strategy": "round_robin", "endpoints": [f"127.0.0.1:{BACKEND}"]}
        json.dump({"rules": {"echo": rule}}, file)
    with open(f"{folder}/gateway.toml", "w") as file:
        file.write(f'gateway.id = "listing"\ngateway.workers = {args.workers}\nlisten.address = "127.0.0.1:{PLAYERS}"\n'
                   f'admin.address = "127.0.0.1:{ADMIN}"\nroutes.file = "{folder}/routes.json"\n'
                   'limits.memory = "1GiB"\nsession.idle_timeout = "30m"\nlisten.sniff_timeout = "10m"\n')
    gateway = subprocess.Popen([args.program, "serve", "--config", f"{folder}/gateway.toml"],
                               stdout=subprocess.DEVNULL, stderr=open(f"{folder}/log", "w"))
    load = subprocess.Popen([args.program, "loadtest", "--target", f"127.0.0.1:{PLAYERS}", "--with-backend",
                             f"127.0.0.1:{BACKEND}", "--sessions", str(args.sessions), "--bind", CROWD, "--think", "60s",
                             "--connect-rate", "3000", "--duration", "1h", "--user-base", str(USERS)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", ADMIN)) == 0)
        # Not every connection of so many succeeds.
        until(lambda: sessions() >= args.sessions * 0.99)
        time.sleep(5)
        crowd = sessions()
        pings = Pings()
        until(lambda: sessions() > crowd)
        users = [row["user_id"] for row in whole() if row["user_id"] != "0"]
        print(f"{crowd:.0f} sessions, {len(users)} users, workers: {args.workers}\n\n"
              "| what | times | answered after ms (median) | busy ms each | in s | PING p50 ms | p99 | most |\n"
              "| --- | --- | --- | --- | --- | --- | --- | --- |")
        time.sleep(1)
        measure("nothing", pings, gateway, 1, lambda _: time.sleep(5))
        measure("one user found", pings, gateway, args.rounds, lambda n: find(users, n))
        measure("a user banned whom nobody is", pings, gateway, args.rounds, lambda n: ban(users, n))
        measure("all sessions listed", pings, gateway, 5, lambda _: whole())
        measure("nothing", pings, gateway, 1, lambda _: time.sleep(5))
    finally:
        for process in (load, gateway):
            process.kill()
            process.wait()


main()
