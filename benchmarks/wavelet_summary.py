"""Ratios, geometric means and worst cases of the wavelet benchmark, and its tables."""

import collections
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import time_ratio
from benchmarks.wavelet_libraries import Case

CLOCKS = ("wall", "cpu")
OTHERS = ("jaxwt", "ptwt", "pywavelets")
HEADER = (
    f"{'job':<9}{'images':<14}{'filter':<7}{'L':<2}"
    + "".join(f"{name:>11}" for name in ("copy", "wbad_jax", *OTHERS))
    + f"{'copies':>9}{'(cpu)':>7}"
    + "".join(f"{f'x {name}':>13}{'(cpu)':>7}" for name in OTHERS)
)


def times_by_library(
    times: Mapping[str, dict[str, float]],
) -> dict[str, dict[str, float]]:
    """Times by library: the best of its settings, on each clock by itself."""
    settings = collections.defaultdict(list)
    for setting, spent in times.items():
        settings[setting.split(",")[0]].append(spent)
    return {
        library: {clock: min(s[clock] for s in spent) for clock in spent[0]}
        for library, spent in settings.items()
    }


def add_ratios(row: dict[str, Any]) -> dict[str, Any]:
    """Adds the times of wbad_jax in copies, and its speed-up over each library."""
    spent = times_by_library(row["times"])
    mine = spent["wbad_jax"]
    row["copies"] = time_ratio(mine, spent["copy"])
    row["speedup"] = {
        library: time_ratio(spent[library], mine)
        for library in OTHERS
        if library in spent
    }
    return row


def describe_row(row: dict[str, Any]) -> str:
    """One line of the table: milliseconds of wall time, then ratios."""
    spent = times_by_library(row["times"])
    line = f"{row['job']:<9}{'x'.join(map(str, row['shape'])):<14}"
    line += f"{row['wavelet']:<7}{row['level']:<2}"
    for name in ("copy", "wbad_jax", *OTHERS):
        line += f"{spent[name]['wall_ms']:11.3f}" if name in spent else f"{'-':>11}"
    line += f"{row['copies']['wall']:9.1f}{row['copies']['cpu']:7.1f}"
    for library in OTHERS:
        ratio = row["speedup"].get(library)
        line += f"{ratio['wall']:13.1f}{ratio['cpu']:7.1f}" if ratio else f"{'-':>20}"
    return line


def describe_part(row: dict[str, Any]) -> str:
    """One line for a part: its ratios, or its compile time."""
    if "wall_s" in row:
        return f"{row['part']:<48}wall {row['wall_s']:.2f} s, cpu {row['cpu_s']:.2f} s"
    ratios = (
        f"{ratio['wall']:.2f} (cpu {ratio['cpu']:.2f}) {label}"
        for label, ratio in row["ratios"].items()
    )
    return f"{row['part']:<48}" + "; ".join(ratios)


def summarize(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Geometric means and worst cases, by job and number of taps.

    An entry `against` a library holds speed-ups, the worst being the smallest; one
    against "copy" holds times in copies, the worst being the largest.
    """
    groups = collections.defaultdict(list)
    for row in rows:
        name = Case(row["shape"], row["wavelet"], row["level"]).name
        for against, ratio in {"copy": row["copies"], **row["speedup"]}.items():
            groups[row["job"], row["taps"], against].append((ratio, name))
    return [
        {"job": job, "taps": taps, "against": against, **_means(against, ratios)}
        for (job, taps, against), ratios in sorted(groups.items())
    ]


def _means(
    against: str, ratios: Sequence[tuple[dict[str, float], str]]
) -> dict[str, Any]:
    find_worst = max if against == "copy" else min
    entry: dict[str, Any] = {"cases": len(ratios)}
    for clock in CLOCKS:
        worst, name = find_worst((ratio[clock], name) for ratio, name in ratios)
        entry[clock] = statistics.geometric_mean(ratio[clock] for ratio, _ in ratios)
        entry[f"worst_{clock}"], entry[f"worst_{clock}_case"] = worst, name
    return entry


def describe_entry(entry: dict[str, Any]) -> str:
    """One line of the summary."""
    what = "copies" if entry["against"] == "copy" else f"times {entry['against']}"
    line = f"{entry['job']:<9}{entry['taps']:>2} taps  {what:<17}"
    for clock in CLOCKS:
        line += f"{clock} {entry[clock]:6.1f}, worst {entry[f'worst_{clock}']:6.1f}  "
    return line + f"({entry['cases']} cases; worst wall: {entry['worst_wall_case']})"
