"""The cases of a comparison, and the figure of each that the table shows."""

import argparse
import re
from dataclasses import dataclass

# Figures of a run, with the heading of each in the table. More is better of rates only.
FIGURES = {
    "cpu_us": "CPU µs a round trip",
    "rate": "round trips a second",
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
}


@dataclass(frozen=True)
class Case:
    """A load: so many connections, each with `depth` frames of `payload` bytes under way; or with a new connection
    for each frame."""

    connections: int
    payload: int
    depth: int = 1
    closes: bool = False

    def __str__(self):
        depth = f"@{self.depth}" if self.depth > 1 else ""
        return f"{self.connections}x{self.payload}{depth}{'/close' if self.closes else ''}"

    @property
    def title(self):
        """Returns its name in the table."""
        if self.closes:
            return f"{self.connections} at a time: connect, one frame of {self.payload} B, close"
        connections = f"{self.connections} connection{'s' if self.connections > 1 else ''}"
        depth = f", depth {self.depth}" if self.depth > 1 else ""
        return f"{connections}, {self.payload} B{depth}"

    def figures(self, transport):
        """Returns what the table shows of it over this transport."""
        if self.connections == 1:
            return ["p50_us"]
        if transport.tls and self.payload >= 16 * 1024:
            return ["cpu_us", "rate"]
        return ["cpu_us"]

    def load_options(self):
        """Returns the arguments of the load generator."""
        options = ["--payload", str(self.payload)]
        return options + (["--reconnect"] if self.closes else ["--in-flight", str(self.depth)])


CHURN = Case(64, 64, closes=True)
CASES = [
    Case(64, 64),
    Case(64, 512),
    Case(512, 64),
    Case(512, 512),
    Case(4096, 64),
    Case(4096, 512),
    Case(32, 16 * 1024),
    Case(64, 64, depth=16),
    CHURN,
    Case(1, 64),
]
QUICK_CASES = [Case(512, 64)]
# Over another transport than tcp.
FEWER_CASES = [Case(512, 64), Case(512, 512), Case(32, 16 * 1024)]


def parse(text):
    """Reads a list of cases such as `512x64,64x64@16,64x64/close`; raises what argparse expects."""
    return [_parse_one(one) for one in text.split(",")]


def _parse_one(text):
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)(?:@([1-9]\d*)|(/close))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"not a case: {text} (such as 512x64, 64x64@16 or 64x64/close)")
    connections, payload, depth, closes = found.groups()
    return Case(int(connections), int(payload), int(depth or 1), bool(closes))
