"""Plots as SVG, written by hand."""

import math

# Sizes of a panel and of the space around its axes, in pixels.
WIDTH, HEIGHT = 300, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 34, 40
COLUMNS = 3
# Height of the line below all panels, and what it says.
CAPTION = 24
GROWTH = "CPU time of a frame, to that with the smallest size: median, lowest and highest of the rounds"
STYLE = """
  text { font: 11px sans-serif; fill: #444 }
  .title { font-weight: bold; fill: #111 }
  .axis { stroke: #888; fill: none }
  .grid { stroke: #ddd; fill: none }
  .line { stroke: #1668a8; fill: none; stroke-width: 2 }
  .range { stroke: #1668a8; stroke-width: 1 }
  .point { fill: #1668a8 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #16181c } text { fill: #bbb } .title { fill: #eee } .grid { stroke: #333 }
    .line, .range { stroke: #5fb0ee } .point { fill: #5fb0ee }
  }
"""


def growth(rows):
    """Draws a panel for each case: the cost of each size to that of the smallest, with the lowest and highest of the
    rounds, over the size in powers of ten."""
    cases = list(dict.fromkeys(row["case"] for row in rows))
    highest = max(row["ratio"][2] for row in rows)
    top = max(2.0, math.ceil(highest * 2) / 2)
    columns = min(COLUMNS, len(cases))
    width, height = columns * WIDTH, math.ceil(len(cases) / columns) * HEIGHT + CAPTION
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
             f"<title>{GROWTH}</title>", f"<style>{STYLE}</style>",
             f'<rect class="page" width="{width}" height="{height}" fill="#fff"/>',
             f'<text x="{LEFT}" y="{height - 10}">{GROWTH}</text>']
    for number, case in enumerate(cases):
        x, y = number % columns * WIDTH, number // columns * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">')
        parts += panel(case, [row for row in rows if row["case"] == case], top)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def panel(case, rows, top):
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    # No size is below one, but none at all is.
    places = [math.log10(max(row["size"], 1)) for row in rows]
    low, span = places[0], max(places[-1] - places[0], 1)

    def across(place):
        return LEFT + (right - LEFT) * (place - low) / span

    def up(ratio):
        return bottom - (bottom - TOP) * ratio / top

    yield f'<text class="title" x="{LEFT}" y="18">{case}</text>'
    for step in range(int(top) + 1):
        yield f'<path class="grid" d="M{LEFT} {up(step):.1f}H{right}"/>'
        yield f'<text x="{LEFT - 6}" y="{up(step) + 4:.1f}" text-anchor="end">{step}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    points = [(across(place), row) for place, row in zip(places, rows)]
    line = "L".join(f"{x:.1f} {up(row['ratio'][0]):.1f}" for x, row in points)
    yield f'<path class="line" d="M{line}"/>'
    for x, row in points:
        median, lowest, highest = row["ratio"]
        yield f'<path class="range" d="M{x:.1f} {up(lowest):.1f}V{up(highest):.1f}"/>'
        yield f'<circle class="point" cx="{x:.1f}" cy="{up(median):.1f}" r="3"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{short(row["size"])}</text>'


def short(size):
    for unit, name in ((1_000_000, "M"), (1000, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{name}"
    return str(size)
