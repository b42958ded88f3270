"""The table of a comparison: medians, ratios of the same round, and how far the rounds are apart."""

import cases
import peers
import stage

IDLE = "idle_bytes"
HEADINGS = {**cases.FIGURES, IDLE: "bytes of user memory a session"}


def rows(runs, arguments, transport, case):
    """Makes the rows of a case, one for each figure that is shown."""
    mine = [run for run in runs if (run["transport"], run["case"]) == (transport.name, str(case))]
    for figure in arguments.figures or case.figures(transport):
        yield row(mine, arguments, transport, case.title, figure)


def idle_rows(idle, arguments, transport):
    mine = [run for run in idle if run["transport"] == transport.name]
    yield row(mine, arguments, transport, f"{arguments.idle} idle sessions", IDLE)


def row(runs, arguments, transport, title, figure):
    """Makes one row: for each peer the figure over the rounds, and its ratio to the reference in the same round."""
    values = {(run["peer"], run["round"]): run[figure] for run in runs}

    def ratios(name, to):
        return [values[name, number] / values[to, number] for number in range(arguments.rounds)]

    result = {"transport": transport.name, "case": title, "figure": figure, "peers": {}}
    for name in arguments.peers:
        median, lowest, highest = stage.spread([values[name, number] for number in range(arguments.rounds)])
        result["peers"][name] = {
            "median": median, "lowest": lowest, "highest": highest,
            "ratio": stage.spread(ratios(name, peers.REFERENCE)),
        }
    if "before" in arguments.peers:
        result["to_before"] = stage.spread(ratios("gateway", "before"))
    return result


def markdown(arguments, result):
    names = arguments.peers
    before = "before" in names
    heading = ["transport", "case", "figure", *names, *(["gateway to before"] if before else [])]
    lines = [
        *stage.facts(arguments, result["machine"]),
        f"| {' | '.join(heading)} |",
        f"| {' | '.join(['---'] * 3 + ['---:'] * (len(heading) - 3))} |",
    ]
    for each in result["rows"]:
        cells = [each["transport"], each["case"], HEADINGS[each["figure"]]]
        cells += [cell(name, each["peers"][name]) for name in names]
        cells += [ratio(each["to_before"])] if before else []
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Medians over the rounds, lowest to highest in brackets; of {peers.REFERENCE} the figure's own,"
                  " of the others the ratio's to it in the same round."]
    return "\n".join(lines)


def cell(name, figures):
    median = number(figures["median"])
    if name == peers.REFERENCE:
        return f"{median} ({number(figures['lowest'])} to {number(figures['highest'])})"
    return f"{median}: {ratio(figures['ratio'])}"


def ratio(spread):
    median, lowest, highest = spread
    return f"{median:.2f} ({lowest:.2f} to {highest:.2f})"


def number(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
