#!/usr/bin/env python3
"""Shows how the gateway's cost of a frame grows with connections, services, endpoints, realms and idle sessions.

    sudo benches/growth.py [connections|services|endpoints|realms|sessions ...]

Each case has sizes, of which the smallest is what the others are compared with. In each round every size runs once, with a
gateway freshly started, each round another one first. The figure is the gateway's CPU time in a window of the
load, for each frame of players in that window; so connecting is not in it. What is measured and how to read it:
docs/benchmarks.md. Prints a Markdown table and writes a plot, docs/images/growth.svg.
"""

import contextlib
import pathlib
import statistics
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from typing import Callable

import peers
import plot
import stage
import transports

TCP = transports.TRANSPORTS["tcp"]
# Connections of the load, where their number is not what grows; and where that is how many have links of their own.
CONNECTIONS, FEW_CONNECTIONS = 512, 64
# Connections a second that the load generator makes.
CONNECT_RATE = 4000
# Time for what connecting needed to be over, in seconds.
WARM_SECONDS = 1.0
# Beyond this a load that has not begun counts as stuck, in seconds.
PATIENCE_SECONDS = 120
# Of so many sessions that connect at once some fail on a busy machine.
ENOUGH = 0.99
# So many connections take longer than the default allows between connecting and the first frame.
SETTINGS = {"GATEWAY__LISTEN__SNIFF_TIMEOUT": "10m"}
# Where echo backends of all addresses of 127.0.0.0/8 listen.
ANY_BACKEND = ("0.0.0.0", peers.LINK_BACKEND[1])
# Idle sessions of one client process, which may have 20,000 files; as many processes as are needed.
IDLE_OF_A_PROCESS = 6000


@dataclass(frozen=True)
class Growth:
    """Something that grows: its sizes, routes of a size, and the load generator's options."""

    sizes: list
    rules: Callable = lambda size: peers.GATEWAY_RULES
    load: Callable = lambda size: []
    connections: Callable = lambda size: CONNECTIONS
    idle: Callable = lambda size: 0


def many_services(size):
    rule = peers.rule(peers.LINK_BACKEND)
    return {"rules": {name: rule for name in service_names(size)}}


def service_names(size):
    return [f"{peers.SERVICE}{number}" for number in range(size)]


def many_endpoints(size):
    port = peers.LINK_BACKEND[1]
    endpoints = [f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}:{port}"
                 for number in range(1, size + 1)]
    return {"rules": {peers.SERVICE: {"strategy": "round_robin", "endpoints": endpoints}}}


def many_realms(size):
    endpoint = "{}:{}".format(*peers.LINK_BACKEND)
    return {"rules": {peers.SERVICE: {"strategy": "realm_based"}},
            "realms": {str(number): endpoint for number in range(1, size + 1)}}


CASES = {
    "connections": Growth([64, 256, 1024, 4096, 16384], connections=lambda size: size),
    # Sessions of all services, in turns.
    "services": Growth([1, 10, 100, 1000], many_services, connections=lambda size: FEW_CONNECTIONS,
                       load=lambda size: ["--service", ",".join(service_names(size))]),
    "endpoints": Growth([1, 10, 100, 1000, 10_000], many_endpoints, connections=lambda size: FEW_CONNECTIONS),
    # Sessions of as many realms as there are sessions, if there are.
    "realms": Growth([1, 1000, 100_000, 1_000_000], many_realms,
                     load=lambda size: ["--realm", "1", "--realms", str(size)]),
    "sessions": Growth([0, 1000, 4000, 18_000], connections=lambda size: FEW_CONNECTIONS, idle=lambda size: size),
}


def main():
    options = stage.parser(__doc__.partition("\n")[0], rounds=5, seconds=3)
    options.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} [all]")
    options.add_argument("--largest", type=stage.positive, metavar="N", help="leaves larger sizes out")
    options.add_argument("--plot", metavar="FILE", default=str(stage.ROOT / "docs/images/growth.svg"),
                         help="where the plot goes [%(default)s]")
    arguments = options.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        options.error(f"{', '.join(unknown)}: expected {', '.join(CASES)}")
    stage.require(options, arguments, [])
    stage.perform(arguments, run)


def run(arguments, directory):
    runs = []
    for name in arguments.cases or CASES:
        for number, size in stage.turns(arguments.rounds, sizes_of(arguments, CASES[name])):
            measured = measure(arguments, directory, CASES[name], size)
            runs.append({"case": name, "size": size, "round": number, **measured})
            stage.progress(f"{name:11} {size:9,}: {measured['cpu_us']:6.2f} µs a frame,"
                           f" {measured['rate']:9,.0f} frames/s")
    summary = [row for name in arguments.cases or CASES for row in summarise(arguments, runs, name)]
    result = {"machine": stage.machine(arguments), "rows": summary, "runs": runs}
    pathlib.Path(arguments.plot).write_text(plot.growth(summary), encoding="utf-8")
    stage.publish(arguments, markdown(arguments, result), result)


def sizes_of(arguments, growth):
    return [size for size in growth.sizes if not arguments.largest or size <= arguments.largest] or growth.sizes[:1]


def measure(arguments, directory, growth, size):
    """One gateway, freshly started, under one load."""
    connections, idle = growth.connections(size), growth.idle(size)
    with (
        peers.echo_backend(arguments.gateway, "link", directory, ANY_BACKEND),
        peers.gateway(arguments.gateway, arguments.threads, directory, TCP, rules=growth.rules(size),
                      settings=SETTINGS) as gateway,
        contextlib.ExitStack() as clients,
    ):
        empty = gateway.anonymous_bytes()
        crowd = [clients.enter_context(client(arguments, gateway, min(IDLE_OF_A_PROCESS, idle - begun), ["--idle"]))
                 for begun in range(0, idle, IDLE_OF_A_PROCESS)]
        until(lambda: metric("game_gateway_sessions") >= idle * ENOUGH, crowd)
        idle = metric("game_gateway_sessions")
        time.sleep(WARM_SECONDS if idle else 0)
        held = gateway.anonymous_bytes() - empty
        theirs = sum(peers.anonymous_bytes(each.pid) for each in crowd)
        load = clients.enter_context(client(arguments, gateway, connections, growth.load(size)))
        until(lambda: metric("game_gateway_sessions") >= idle + connections * ENOUGH, [load])
        time.sleep(WARM_SECONDS)
        frames, cpu, began = metric("game_gateway_client_in_frames_total"), gateway.cpu_seconds(), time.monotonic()
        time.sleep(arguments.seconds)
        took, cpu = time.monotonic() - began, gateway.cpu_seconds() - cpu
        frames = metric("game_gateway_client_in_frames_total") - frames
        links = metric("game_gateway_links")
    if not frames:
        raise peers.Broken(f"no frame in {took:.1f} s")
    return {"cpu_us": cpu * 1e6 / frames, "rate": frames / took, "links": links,
            "idle_bytes": held / idle if idle else None, "client_bytes": theirs / idle if idle else None}


@contextlib.contextmanager
def client(arguments, gateway, sessions, options):
    """A process of the load generator until the end of the block."""
    address = "{}:{}".format(*gateway.address)
    # Its time is over long after the block's.
    command = [arguments.gateway, "loadtest", "--target", address, "--sessions", str(sessions), "--duration", "1h",
               "--connect-rate", str(CONNECT_RATE), *options]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition, processes):
    """Waits, as long as these processes run."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if any(process.poll() is not None for process in processes):
            raise peers.Broken("the load generator ended early")
        if time.monotonic() > deadline:
            raise peers.Broken("the load does not begin")
        time.sleep(0.05)


def metric(name):
    """Returns a metric of the gateway, the sum over all labels."""
    address = "{}:{}".format(*peers.ADMIN)
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def summarise(arguments, runs, name):
    """For each size the medians over the rounds, and the cost to that of the smallest size in the same round."""
    of_case = [run for run in runs if run["case"] == name]
    sizes = sizes_of(arguments, CASES[name])
    smallest = {run["round"]: run["cpu_us"] for run in of_case if run["size"] == sizes[0]}
    for size in sizes:
        mine = [run for run in of_case if run["size"] == size]
        row = {"case": name, "size": size,
               "ratio": stage.spread([run["cpu_us"] / smallest[run["round"]] for run in mine])}
        for figure in ("cpu_us", "rate", "links", "idle_bytes", "client_bytes"):
            values = [run[figure] for run in mine if run[figure] is not None]
            row[figure] = statistics.median(values) if values else None
        yield row


def markdown(arguments, result):
    lines = [
        *stage.facts(arguments, result["machine"]),
        "| what grows | size | CPU µs a frame | to the smallest, lowest to highest | frames a second | links"
        " | bytes of an idle session, at the gateway and the client |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in result["rows"]:
        median, lowest, highest = row["ratio"]
        idle = "" if row["idle_bytes"] is None else f"{row['idle_bytes']:,.0f}, {row['client_bytes']:,.0f}"
        lines.append(f"| {row['case']} | {row['size']:,} | {row['cpu_us']:.2f}"
                     f" | {median:.2f} ({lowest:.2f} to {highest:.2f}) | {row['rate']:,.0f} | {row['links']:.0f} | {idle} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
