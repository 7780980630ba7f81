"""Tables of `docs/certificates.md`, from the benchmark's results.

    python -m docs.figures.certificate_tables

Writes them between the marks in the page.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, write

PAGE = DOCS / "certificates.md"


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    results = read_results("certificates")
    return {"curves": curves_table(results), "checks": checks_table(results)}


def curves_table(results: Mapping[str, Any]) -> str:
    """Certified accuracy and what an attack leaves, by radius."""
    cells = []
    for trained, record, curve in _curves(results):
        shares = zip(
            curve["certified_accuracy"], curve["empirical_accuracy"], strict=True
        )
        cells.append(
            [
                curve["arm"],
                trained,
                str(curve["n"]),
                f"{record['meta']['num_samples']:,}",
                *(f"{100 * sure:.1f} / {100 * left:.1f}" for sure, left in shares),
                f"{100 * curve['abstained']:.1f}",
            ]
        )
    first = results["runs"][0]["curves"][0]
    radii = zip(first["radius"], first["radius_celsius"], strict=True)
    radii_head = [f"{radius:g} ({celsius:g} °C)" for radius, celsius in radii]
    return table(
        ["arm", "trained on", "images", "votes", *radii_head, "abstains"], cells
    )


def checks_table(results: Mapping[str, Any]) -> str:
    """What could have refuted the certificates, and did or did not."""
    cells = [
        [
            curve["arm"],
            trained,
            f"{curve['checks']['certified']} of {curve['n']}",
            f"{curve['median_radius']:.3f}",
            str(curve["checks"]["violations"]),
            str(curve["checks"]["contradictory_twins"]),
            str(len(curve["checks"]["radii_certified_above_empirical"])),
            str(len(curve["checks"]["radii_above_pair_bound"])),
        ]
        for trained, _, curve in _curves(results)
    ]
    head = [
        "arm", "trained on", "certified", "median radius", "refuted by the attack",
        "twins that contradict", "radii above the attacked accuracy",
        "radii above the pair bound",
    ]  # fmt: skip
    return table(head, cells)


def _curves(results: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for record in results["runs"]:
        for curve in record["curves"]:
            trained = "noise" if curve["noise_trained"] else "clean images"
            yield trained, record, curve


def main() -> None:
    """Writes the tables into the page."""
    write(PAGE, tables())


if __name__ == "__main__":
    main()
