#!/usr/bin/env python3
"""Shows how much one busy client, or one busy link, delays the others: p99 and p99.9 of 63 clients.

    sudo benches/fairness.py [--peers haproxy,gateway]

63 clients with one frame of 64 B under way each: alone; beside one client with 64 frames under way on the same link;
and beside another service, whose link to a backend of its own is at full rate. Each case once in each round, with a
peer freshly started, each round another one first. What is measured and how to read it: docs/benchmarks.md.
"""

import argparse
import contextlib
import subprocess
import time

import peers
import stage
import transports

TCP = transports.TRANSPORTS["tcp"]
CLIENTS = 63
ALONE = "alone"
# The service of the busy link, and its backend.
BULK = "bulk"
BULK_BACKEND = (peers.HOST, 7104)
BUSY = {
    ALONE: None,
    "one client at depth 64": (1, ["--payload", "64", "--in-flight", "64"]),
    "one link at full rate": (8, ["--payload", "16384", "--in-flight", "8", "--service", BULK]),
}
RULES = {"rules": {peers.SERVICE: peers.rule(peers.LINK_BACKEND), BULK: peers.rule(BULK_BACKEND)}}
FIGURES = {"p50_us": "p50", "p99_us": "p99", "p999_us": "p999"}
# Peers of peers.PEERS that take part.
KNOWN = ("haproxy", "nginx", "gateway")
# The busy ones begin so long before the others, in seconds.
HEAD_START_SECONDS = 0.5
# Time for them to end, in seconds.
END_SECONDS = 30


def main():
    options = stage.parser(__doc__.partition("\n")[0], rounds=5, seconds=5)
    options.add_argument("--peers", type=peer_list, default=["haproxy", "gateway"], metavar="NAME,...",
                         help=f"of {', '.join(KNOWN)} [haproxy,gateway]")
    arguments = options.parse_args()
    stage.require(options, arguments, [name for name in arguments.peers if name != "gateway"])
    stage.perform(arguments, run)


def peer_list(text):
    names = list(dict.fromkeys(text.split(",")))
    if not set(names) <= set(KNOWN):
        raise argparse.ArgumentTypeError(f"expected of {', '.join(KNOWN)}")
    return names


def run(arguments, directory):
    everything = [(peer, case) for peer in arguments.peers for case in BUSY]
    runs = []
    with contextlib.ExitStack() as backends:
        for protocol, address in (("link", None), ("link", BULK_BACKEND), ("raw", None)):
            backends.enter_context(peers.echo_backend(arguments.gateway, protocol, directory, address))
        for number, (peer, case) in stage.turns(arguments.rounds, everything):
            measured = measure(arguments, directory, peer, case)
            runs.append({"peer": peer, "case": case, "round": number, **measured})
            stage.progress(f"{peer:9} {case:23} p50 {measured['p50_us']:.0f}, p99 {measured['p99_us']:.0f},"
                           f" p99.9 {measured['p999_us']:.0f} µs; {measured['rate']:.0f} round trips/s,"
                           f" the busy ones {measured['busy_rate']:.0f}")
    rows = [summarise(arguments, runs, peer, case) for peer, case in everything]
    result = {"machine": stage.machine(arguments, [name for name in arguments.peers if name in peers.VERSIONS]),
              "rows": rows, "runs": runs}
    stage.publish(arguments, markdown(arguments, result), result)


def start(arguments, directory, name):
    if name == "gateway":
        return peers.gateway(arguments.gateway, arguments.threads, directory, TCP, rules=RULES)
    return peers.PEERS[name](arguments.gateway, arguments.threads, directory, TCP)


def measure(arguments, directory, name, case):
    """The clients' latency beside the busy ones, with one peer."""
    with start(arguments, directory, name) as peer:
        command = stage.load(arguments, peer.address, CLIENTS, ["--payload", "64"])
        with busy(arguments, peer, case) as stop:
            report = stage.drive(command, arguments.seconds)
            busy_report = stop()
    latency = report["latency_us"]
    return {**{figure: latency[key] for figure, key in FIGURES.items()}, "rate": report["round_trips_per_second"],
            "busy_rate": busy_report["round_trips_per_second"] if busy_report else 0}


@contextlib.contextmanager
def busy(arguments, peer, case):
    """The busy clients of a case, until the function that this gives is called; that returns their report."""
    if BUSY[case] is None:
        yield lambda: None
        return
    sessions, options = BUSY[case]
    address = "{}:{}".format(*peer.address)
    command = [arguments.gateway, "loadtest", "--json", "--target", address, "--sessions", str(sessions),
               "--warmup", "0s", "--duration", "1h", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as process:
        def stop():
            if process.poll() is not None:
                raise peers.Broken(f"the busy load ended early:\n{process.stderr.read()[-2000:]}")
            process.terminate()
            stdout, stderr = process.communicate(timeout=END_SECONDS)
            return stage.report(command, process.returncode, stdout, stderr)
        try:
            time.sleep(HEAD_START_SECONDS)
            yield stop
        finally:
            process.kill()


def summarise(arguments, runs, peer, case):
    """Medians over the rounds, and ratios to the same clients alone, in the same round."""
    def figures(of, figure):
        by_round = {run["round"]: run[figure] for run in runs if (run["peer"], run["case"]) == (peer, of)}
        return [by_round[number] for number in range(arguments.rounds)]

    row = {"peer": peer, "case": case}
    for figure in (*FIGURES, "rate", "busy_rate"):
        row[figure] = stage.spread(figures(case, figure))[0]
    for figure in FIGURES:
        pairs = zip(figures(case, figure), figures(ALONE, figure))
        row[f"{figure}_ratio"] = stage.spread([mine / alone for mine, alone in pairs])
    return row


def markdown(arguments, result):
    lines = [
        *stage.facts(arguments, result["machine"]),
        f"| peer | {CLIENTS} clients | p50 µs | p99 µs | to alone, lowest to highest"
        " | p99.9 µs | to alone, lowest to highest | their round trips a second | those of the busy ones |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        lines.append(f"| {row['peer']} | {row['case'] if row['case'] == ALONE else 'beside ' + row['case']}"
                     f" | {row['p50_us']:,.0f} | {row['p99_us']:,.0f} | {ratio(row['p99_us_ratio'])}"
                     f" | {row['p999_us']:,.0f} | {ratio(row['p999_us_ratio'])}"
                     f" | {row['rate']:,.0f} | {row['busy_rate']:,.0f} |")
    lines += ["", "Medians over the rounds; a ratio is to the same clients alone, in the same round."]
    return "\n".join(lines)


def ratio(spread):
    median, lowest, highest = spread
    return f"{median:.2f} ({lowest:.2f} to {highest:.2f})"


if __name__ == "__main__":
    main()
