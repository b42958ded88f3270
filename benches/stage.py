"""What the scripts that start programs of their own share: namespaces, options, the load generator, turns, medians."""

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

import peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Beyond connecting, driving and draining, before a run of the load generator counts as stuck.
SPARE_SECONDS = 120
# Ports of clients; those of the programs lie below.
CLIENT_PORTS = "10000 65535"


def parser(description, rounds, seconds):
    """Makes a parser with the options that every script has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--gateway", "--program", default=str(ROOT / "target/release/game-gateway"),
                         metavar="FILE", help="the gateway's binary [%(default)s]")
    options.add_argument("--rounds", type=positive, default=rounds, metavar="N",
                         help="rounds, each with everything once [%(default)s]")
    options.add_argument("--seconds", type=positive, default=seconds, metavar="N",
                         help="measured time of each run [%(default)s]")
    options.add_argument("--threads", type=positive, default=1, metavar="N",
                         help="threads that carry traffic, of the gateway and each proxy [%(default)s]")
    options.add_argument("--json", metavar="FILE", help="write every figure there")
    options.add_argument("--inside", metavar="DIRECTORY", help=argparse.SUPPRESS)
    return options


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def require(options, arguments, programs):
    """Ends the script where a program or a right is missing."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    needed = ["setpriv", "unshare", "ip", *programs, arguments.gateway]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        options.error(f"not found: {', '.join(missing)} (see docs/benchmarks.md)")
    if os.geteuid() != 0:
        options.error("needs root, for a network namespace of its own")
    arguments.gateway = os.path.abspath(shutil.which(arguments.gateway))


def perform(arguments, run):
    """Calls `run(arguments, directory)` in namespaces of its own, and ends the script."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    name = os.path.basename(sys.argv[0])
    try:
        if arguments.inside:
            prepare()
            run(arguments, arguments.inside)
        else:
            with tempfile.TemporaryDirectory(prefix=f"{name}-") as directory:
                # nginx's workers are another user.
                os.chmod(directory, 0o755)
                sys.exit(run_inside(directory))
    except (peers.Broken, ConnectionError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def run_inside(directory):
    """Runs the script again in namespaces of its own: for the network, so that no other traffic and
    no port in use matters; for processes, so that none outlives the script, however it ends."""
    script = [sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:], "--inside", directory]
    # unshare itself ignores SIGTERM and SIGINT, and everything inside dies with it.
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork",
               "--kill-child", "--mount-proc", "--", *script]
    with subprocess.Popen(unshare) as child:
        try:
            return child.wait()
        finally:
            child.kill()


def prepare():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (peers.OPEN_FILES, peers.OPEN_FILES))
    # Of a network namespace, so of this one.
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(CLIENT_PORTS, encoding="ascii")


def turns(rounds, names):
    """In each round everything once, each round with another one first."""
    names = list(names)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            yield number, name


def load(arguments, address, sessions, options):
    """Returns the command of a closed loop against an address."""
    return [
        arguments.gateway, "loadtest", "--json", "--target", f"{address[0]}:{address[1]}",
        "--sessions", str(sessions), "--warmup", "1s", "--duration", f"{arguments.seconds}s", *options,
    ]


def drive(command, limit):
    """Runs the load generator, for at most so many seconds beside some to spare, and returns its report."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=limit + SPARE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise peers.Broken(f"the load generator is stuck: {' '.join(command)}") from error
    return report(command, done.returncode, done.stdout, done.stderr)


def report(command, status, stdout, stderr):
    """Returns what the load generator says, where nothing was lost."""
    try:
        figures = json.loads(stdout) if status == 0 else {}
    except ValueError:
        figures = {}
    wrong = ("lost", "doubled", "reordered", "corrupted", "connect_failed", "refused")
    bad = {name: figures[name] for name in wrong if figures.get(name)}
    if bad or not figures.get("answered"):
        raise peers.Broken(f"the load generator failed ({status}) {bad or ''}: {' '.join(command)}\n"
                           f"{stdout[-2000:]}{stderr[-2000:]}")
    return figures


def spread(values):
    """The median, the lowest and the highest."""
    return statistics.median(values), min(values), max(values)


def machine(arguments, names=()):
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
        "programs": [peers.version(command) for command in
                     [[arguments.gateway, "--version"], *(peers.VERSIONS[name] for name in names)]],
    }


def facts(arguments, machine_facts):
    """The lines above a table."""
    return [
        f"{machine_facts['cpu']}, {machine_facts['cores']} cores, {machine_facts['memory_gib']} GiB,"
        f" kernel {machine_facts['kernel']}.",
        f"{'; '.join(machine_facts['programs'])}.",
        f"{arguments.threads} thread(s) each, {arguments.rounds} round(s) of {arguments.seconds} s.",
        "",
    ]


def progress(line):
    print(line, file=sys.stderr, flush=True)


def publish(arguments, text, result):
    """Prints the report, and writes every figure where that is asked for."""
    print(text)
    if arguments.json:
        figures = json.dumps(result, indent=2) + "\n"
        pathlib.Path(arguments.json).write_text(figures, encoding="utf-8")
