#!/usr/bin/env python3
"""Compares the gateway with HAProxy and nginx as proxies, all in one run, taking turns.

What is measured and how to read it: docs/benchmarks.md. Needs root, Debian's haproxy, nginx and
libnginx-mod-stream, openssl for TLS, and a release build of the gateway.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import peers
import transports

# Connections and bytes of payload.
CASES = [
    (64, 64),
    (64, 512),
    (512, 64),
    (512, 512),
    (4096, 64),
    (4096, 512),
    (32, 16 * 1024),
]
QUICK_CASES = [(512, 64)]
# Over another transport than tcp.
FEWER_CASES = [(512, 64), (512, 512), (32, 16 * 1024)]
# Beyond connecting, driving and draining, before a run of the load generator counts as stuck.
SPARE_SECONDS = 120
# Sessions opened and closed before idle memory is measured: what a program allocates once for all.
FIRST_SESSIONS = 16
# Sessions whose memory is measured, unless told otherwise.
IDLE_SESSIONS = 4096
# Time for a program to give back what its last round trips needed, in seconds.
SETTLE_SECONDS = 1.0
REFERENCE = "haproxy"


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if arguments.inside:
            run(arguments, arguments.inside)
        else:
            with tempfile.TemporaryDirectory(prefix="compare-") as directory:
                # nginx's workers are another user.
                os.chmod(directory, 0o755)
                sys.exit(run_inside(directory))
    except (peers.Broken, ConnectionError) as error:
        sys.exit(f"compare.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def run_inside(directory):
    """Runs this script again in namespaces of its own: for the network, so that no other traffic and
    no port in use matters; for processes, so that none outlives the script, however it ends."""
    script = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--inside", directory]
    # unshare itself ignores SIGTERM and SIGINT, and everything inside dies with it.
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork",
               "--kill-child", "--mount-proc", "--", *script]
    with subprocess.Popen(unshare) as child:
        try:
            return child.wait()
        finally:
            child.kill()


def run(arguments, directory):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (peers.OPEN_FILES, peers.OPEN_FILES))
    result = compare(arguments, directory)
    print(markdown(result))
    if arguments.json:
        text = json.dumps(result, indent=2) + "\n"
        pathlib.Path(arguments.json).write_text(text, encoding="utf-8")


def parse_arguments():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gateway", default=str(root / "target/release/game-gateway"),
                        metavar="FILE", help="the gateway's binary [%(default)s]")
    parser.add_argument("--before", metavar="FILE",
                        help="an older binary of the gateway that takes part as `before`; the same"
                             " load generator and backend drive both")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N",
                        help="times that every peer runs every case [%(default)s]")
    parser.add_argument("--seconds", type=positive, default=5, metavar="N",
                        help="measured time of each run, after 1 s of warm-up [%(default)s]")
    parser.add_argument("--threads", type=positive, default=1, metavar="N",
                        help="threads of each proxy that carry traffic [%(default)s]")
    parser.add_argument("--idle", type=int, metavar="N",
                        help="idle sessions whose memory is measured; 0: none"
                             f" [{IDLE_SESSIONS}; none with --only and --quick]")
    parser.add_argument("--only", type=case, metavar="CxB",
                        help="one case only: C connections with B bytes")
    parser.add_argument("--transport", type=transport_list, default=transport_list("tcp"),
                        metavar="NAME,...",
                        help=f"of {', '.join(transports.TRANSPORTS)}; or all [tcp]")
    parser.add_argument("--peers", type=peer_list, default=list(peers.PEERS), metavar="NAME,...",
                        help=f"of {', '.join(peers.PEERS)}; {REFERENCE} is always there [all]")
    parser.add_argument("--listed", action="store_true",
                        help="also a gateway whose actors and sessions are listed every second")
    parser.add_argument("--resumable", action="store_true",
                        help="also a gateway whose sessions can be resumed")
    parser.add_argument("--quick", action="store_true",
                        help="one round, 512 connections with 64 bytes only")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--inside", metavar="DIRECTORY", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in ("listed", "resumable"):
        if getattr(arguments, name):
            peers.PEERS[name] = getattr(peers, name)
            arguments.peers.append(name)
    if arguments.before:
        if "gateway" not in arguments.peers:
            parser.error("--before needs the peer gateway")
        older = shutil.which(arguments.before)
        if older is None:
            parser.error(f"not found: {arguments.before}")
        peers.PEERS["before"] = peers.older_gateway(os.path.abspath(older))
        arguments.peers.append("before")
    if arguments.idle is None:
        arguments.idle = 0 if arguments.quick or arguments.only else IDLE_SESSIONS
    if not 0 <= arguments.idle <= peers.MAX_CONNECTIONS:
        parser.error(f"--idle is at most {peers.MAX_CONNECTIONS}")
    if arguments.quick:
        arguments.rounds = 1
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    needed = ["setpriv", "unshare", "ip", "haproxy", "nginx", arguments.gateway]
    if any(transport.tls for transport in arguments.transport):
        needed.append("openssl")
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        parser.error(f"not found: {', '.join(missing)} (see docs/benchmarks.md)")
    if os.geteuid() != 0:
        parser.error("needs root, for a network namespace of its own")
    arguments.gateway = os.path.abspath(shutil.which(arguments.gateway))
    return arguments


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def case(text):
    connections, _, payload = text.partition("x")
    return positive(connections), positive(payload)


def transport_list(text):
    names = list(transports.TRANSPORTS) if text == "all" else text.split(",")
    unknown = [name for name in names if name not in transports.TRANSPORTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no transport: {', '.join(unknown)}")
    return [transports.TRANSPORTS[name] for name in dict.fromkeys(names)]


def peer_list(text):
    names = dict.fromkeys([REFERENCE, *text.split(",")])
    unknown = [name for name in names if name not in peers.PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no peer: {', '.join(unknown)}")
    return list(names)


def cases_of(arguments, transport):
    if arguments.only:
        return [arguments.only]
    if arguments.quick:
        return QUICK_CASES
    return CASES if transport.name == "tcp" else FEWER_CASES


def compare(arguments, directory):
    runs, idle = [], []
    if any(transport.tls for transport in arguments.transport):
        transports.make_certificates(directory, peers.HOST)
    with (
        peers.echo_backend(arguments.gateway, "link", directory),
        peers.echo_backend(arguments.gateway, "raw", directory),
        peers.echo_backend(arguments.gateway, "websocket", directory),
    ):
        for transport in arguments.transport:
            for case in cases_of(arguments, transport):
                for round_number, name in turns(arguments):
                    run = measure(arguments, directory, name, transport, case)
                    runs.append({**run, "round": round_number})
        if arguments.idle:
            for transport in arguments.transport:
                for round_number, name in turns(arguments):
                    memory = measure_idle(arguments, directory, name, transport)
                    idle.append({**memory, "round": round_number})
    cases = [
        (transport.name, *case)
        for transport in arguments.transport
        for case in cases_of(arguments, transport)
    ]
    return {
        "machine": machine(arguments),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "cases": [row for case in cases for row in summarise(runs, arguments.peers, case)],
        "idle": summarise_idle(idle, arguments),
        "runs": runs,
        "idle_runs": idle,
    }


def turns(arguments):
    """In each round every peer once, each round with another one first."""
    names = arguments.peers
    for round_number in range(arguments.rounds):
        first = round_number % len(names)
        for name in names[first:] + names[:first]:
            yield round_number, name


def measure(arguments, directory, name, transport, case):
    """One peer, freshly started, under one load."""
    connections, payload = case
    with peers.PEERS[name](arguments.gateway, arguments.threads, directory, transport) as peer:
        command = [
            arguments.gateway, "loadtest", "--json",
            "--target", f"{peer.address[0]}:{peer.address[1]}", "--service", peers.SERVICE,
            "--sessions", str(connections), "--payload", str(payload), "--in-flight", "1",
            "--warmup", "1s", "--duration", f"{arguments.seconds}s",
            *transport.load_options(directory), *getattr(peer, "load_options", []),
        ]
        before = peer.cpu_seconds()
        report = drive(command, connections, arguments.seconds)
        cpu = peer.cpu_seconds() - before
        listed_rows = getattr(peer, "listed_rows", None)
    answered = report.get("answered_total", report["answered"])
    bad = {key: report[key] for key in ("lost", "doubled", "reordered") if report.get(key)}
    if bad or not answered:
        raise peers.Broken(f"{name} over {transport.name}, {connections} x {payload} B:"
                           f" {answered} answered, {bad}")
    run = {
        "peer": name,
        "transport": transport.name,
        "connections": connections,
        "payload_bytes": payload,
        "cpu_us": cpu * 1e6 / answered,
        "round_trips_per_second": report["round_trips_per_second"],
        "p50_us": report["latency_us"]["p50"],
        "p99_us": report["latency_us"]["p99"],
        "cpu_seconds": cpu,
        "answered_total": answered,
        "listed_rows": listed_rows,
    }
    progress(f"{transport.name:9} {name:8} {connections:5} x {payload:5} B  {run['cpu_us']:7.2f} us CPU,"
             f" {run['round_trips_per_second']:9.0f} round trips/s")
    return run


def drive(command, connections, seconds):
    """Runs the load generator and returns its report."""
    # It connects a thousand sessions a second.
    limit = seconds + connections / 1000 + SPARE_SECONDS
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise peers.Broken(f"the load generator is stuck: {' '.join(command)}") from error
    try:
        if done.returncode == 0:
            return json.loads(done.stdout)
    except ValueError:
        pass
    raise peers.Broken(f"the load generator failed ({done.returncode}): {' '.join(command)}\n"
                       f"{done.stdout[-2000:]}{done.stderr[-2000:]}")


def measure_idle(arguments, directory, name, transport):
    """The memory that idle sessions add to one freshly started peer."""
    with peers.PEERS[name](arguments.gateway, arguments.threads, directory, transport) as peer:
        def idle_sessions():
            return transports.IdleSessions(peer.address, transport, peers.SERVICE, directory,
                                           peers.START_SECONDS)
        with idle_sessions() as first:
            first.open(FIRST_SESSIONS)
        time.sleep(SETTLE_SECONDS)
        before = peer.anonymous_bytes()
        with idle_sessions() as sessions:
            sessions.open(arguments.idle)
            time.sleep(SETTLE_SECONDS)
            added = peer.anonymous_bytes() - before
    memory = {"peer": name, "transport": transport.name, "sessions": arguments.idle, "bytes_per_session": added / arguments.idle}
    progress(f"{transport.name:9} {name:8} {arguments.idle} idle sessions  {memory['bytes_per_session']:.0f} B each")
    return memory


def progress(line):
    print(line, file=sys.stderr, flush=True)


def summarise(runs, names, case):
    """For each peer the medians of one case over the rounds; ratios are those within a round."""
    figures = ("cpu_us", "round_trips_per_second", "p50_us", "p99_us")
    key = ("transport", "connections", "payload_bytes")
    of_case = [run for run in runs if tuple(run[name] for name in key) == case]
    reference = {run["round"]: run for run in of_case if run["peer"] == REFERENCE}
    for name in names:
        mine = [run for run in of_case if run["peer"] == name]
        summary = {"peer": name, **dict(zip(key, case))}
        for figure in figures:
            summary[figure] = statistics.median(run[figure] for run in mine)
            ratios = [run[figure] / reference[run["round"]][figure] for run in mine]
            summary[f"{figure}_ratio"] = statistics.median(ratios)
        yield summary


def summarise_idle(idle, arguments):
    summaries = []
    for transport in arguments.transport:
        for name in arguments.peers:
            key = (transport.name, name)
            mine = [m["bytes_per_session"] for m in idle if (m["transport"], m["peer"]) == key]
            if mine:
                summaries.append({"peer": name, "transport": transport.name,
                                  "bytes_per_session": statistics.median(mine)})
    return summaries


def machine(arguments):
    """Returns the facts that a comparison with another machine needs."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "gateway": peers.version([arguments.gateway, "--version"]),
        "haproxy": peers.version(["haproxy", "-v"]),
        "nginx": peers.version(["nginx", "-v"]),
    }


def markdown(result):
    facts = result["machine"]
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, kernel {facts['kernel']}.",
        f"{facts['gateway']}; {facts['haproxy']}; {facts['nginx']}.",
        f"{result['threads']} thread(s) each, {result['rounds']} round(s) of {result['seconds']} s.",
        "",
        "| transport | connections | payload | peer | CPU µs a round trip | ratio | round trips a second | ratio"
        " | p50 µs | p99 µs |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in result["cases"]:
        lines.append(
            f"| {case['transport']} | {case['connections']} | {case['payload_bytes']} B | {case['peer']}"
            f" | {case['cpu_us']:.2f} | {case['cpu_us_ratio']:.2f}"
            f" | {case['round_trips_per_second']:.0f} | {case['round_trips_per_second_ratio']:.2f}"
            f" | {case['p50_us']:.0f} | {case['p99_us']:.0f} |"
        )
    if result["idle"]:
        lines += ["", "| transport | peer | bytes of user memory an idle session |",
                  "| --- | --- | ---: |"]
        lines += [f"| {m['transport']} | {m['peer']} | {m['bytes_per_session']:.0f} |" for m in result["idle"]]
    lines += paired(result)
    lines += ["", "Medians over the rounds; a ratio is to HAProxy in the same round."]
    return "\n".join(lines)


def paired(result):
    """CPU of the gateway to that of the older binary, in the same round: median, lowest, highest."""
    lines = []
    for case in result["cases"]:
        if case["peer"] != "before":
            continue
        key = ("transport", "connections", "payload_bytes", "round")
        of_case = [run for run in result["runs"] if all(run[name] == case[name] for name in key[:3])]
        cpu = {(run["peer"], run["round"]): run["cpu_us"] for run in of_case}
        ratios = sorted(cpu["gateway", number] / cpu["before", number] for number in range(result["rounds"]))
        lines.append(f"| {case['transport']} | {case['connections']} | {case['payload_bytes']} B"
                     f" | {statistics.median(ratios):.3f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |")
    if not lines:
        return []
    return ["", "| transport | connections | payload | CPU of the gateway to `before` in a round | lowest to highest |",
            "| --- | ---: | ---: | ---: | --- |", *lines]


if __name__ == "__main__":
    main()
