"""The page of a data audit: one file of HTML that asks nothing of any network.

Names come from the user's files: every text is escaped, and the page forbids scripts.
"""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from wbad_jax.data import Dataset, Finding, worst_status

_MOST_PAIRS = 8
_EDGE = 160  # pixels of a shown image's longer side, at least
_VERDICTS = {
    "fail": "Results on this data do not mean what they seem to.",
    "warn": "Nothing failed; read the warnings before trusting a result.",
    "pass": "Nothing found.",
    "not_run": "No question could be asked.",
}
_MARKS = {"fail": "✗ fail", "warn": "! warn", "pass": "✓ pass", "not_run": "– not run"}
_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto;
  padding: 0 1rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem;
  border-bottom: 1px solid #ccc; overflow-wrap: break-word; }
.status { white-space: nowrap; font-weight: 600; }
.fail { color: #9c2f00; } .warn { color: #7a5c00; } .pass { color: #005a8c; }
.not_run { color: #555; }
.box { border: 3px solid; border-radius: .5rem; padding: .6rem 1rem; margin: 1rem 0; }
.box p { margin: .2rem 0; color: #1a1a1a; }
.scroll { overflow-x: auto; }
svg { width: 100%; max-width: 22rem; height: 1.2rem; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; }
figure img { width: 45%; max-width: 10rem; image-rendering: pixelated; }
figcaption, .small { font-size: .85rem; color: #444; overflow-wrap: anywhere; }
@media print { .box { break-inside: avoid; } }
"""


def make_page(
    findings: Sequence[Finding], meta: dict[str, Any], dataset: Dataset
) -> str:
    """The page.

    Args:
        findings: What the audit says.
        meta: What was audited: the `meta` of `audit.json`.
        dataset: Where pictures of nearly equal images come from.

    Returns:
        HTML.
    """
    status = worst_status(findings)
    sections = [_box(status, findings), _table(findings), _areas(findings)]
    sections += [_pairs(finding, dataset) for finding in findings]
    title = f"Data audit of {meta['config']}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{_text(title)}</h1>
<p>{_text(_facts(meta))}</p>
{"".join(sections)}
<p class="small">Research software only, not a diagnostic device.</p>
</body>
</html>
"""


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _facts(meta: dict[str, Any]) -> str:
    low, high = meta["window"]
    return (
        f"{meta['data']['name']} {meta['data']['version']}: {meta['num_examples']} "
        f"images of {meta['num_patients']} patients, {meta['num_folds']} split(s), "
        f"window {low:g} to {high:g}; asked in {meta['seconds']:.1f} s."
    )


def _box(status: str, findings: Sequence[Finding]) -> str:
    bad = [finding for finding in findings if finding.status == "fail"]
    lines = [f"<p>{_text(f.sentence)}</p>" for f in bad]
    return (
        f'<div class="box {status}" id="verdict"><strong>{_MARKS[status]}: '
        f"{_text(_VERDICTS[status])}</strong>{''.join(lines)}</div>"
    )


def _table(findings: Sequence[Finding]) -> str:
    rows = [
        f'<tr><td class="status {f.status}">{_MARKS[f.status]}</td>'
        f"<td>{_text(f.title)}</td><td>{_text(f.sentence)}</td></tr>"
        for f in findings
    ]
    return (
        '<div class="scroll"><table id="findings"><thead><tr><th>Status</th>'
        "<th>Question</th><th>Answer</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _areas(findings: Sequence[Finding]) -> str:
    """Areas under the curve with their intervals, on a line from 0 to 1."""
    rows = [
        f'<tr><td>{_text(f.title)}</td><td class="status {f.status}">'
        f"{f.evidence['auc']:.3f}</td><td>{_line(f.evidence)}</td></tr>"
        for f in findings
        if "ci_low" in f.evidence
    ]
    if not rows:
        return ""
    return (
        "<h2>What tells the label</h2><p>Area under the curve with its 95 % interval, "
        "from 0 to 1; the upright line is chance, 0.5.</p>"
        f'<table id="areas"><tbody>{"".join(rows)}</tbody></table>'
    )


def _line(evidence: dict[str, Any]) -> str:
    auc, low, high = (100 * evidence[name] for name in ("auc", "ci_low", "ci_high"))
    return (
        '<svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="{auc:.1f} % ({low:.1f} to {high:.1f} %)">'
        '<rect x="0" y="3.7" width="100" height="0.6" fill="#bbb"/>'
        '<rect x="49.8" y="0" width="0.4" height="8" fill="#333"/>'
        f'<rect x="{low:.2f}" y="2.6" width="{high - low:.2f}" height="2.8" '
        f'fill="#7fb2d5"/><rect x="{auc - 0.5:.2f}" y="1" width="1" height="6" '
        'fill="#00344f"/></svg>'
    )


def _pairs(finding: Finding, dataset: Dataset) -> str:
    """Pictures of equal or nearly equal images, side by side."""
    pairs = finding.evidence.get("examples", [])[:_MOST_PAIRS]
    rows = {name: row for row, name in enumerate(dataset.example_ids.tolist())}
    figures = []
    for pair in pairs:
        first, second = rows[pair["first"]], rows[pair["second"]]
        pictures = "".join(_picture(dataset, row) for row in (first, second))
        captions = " and ".join(
            f"{dataset.example_ids[row]} (patient {dataset.patient_ids[row]}, label "
            f"{dataset.labels[row]})"
            for row in (first, second)
        )
        figures.append(
            f"<figure>{pictures}<figcaption>{_text(captions)}; similarity "
            f"{pair['similarity']:.3f}</figcaption></figure>"
        )
    if not figures:
        return ""
    more = finding.evidence["pairs"] - len(figures)
    rest = f"<p>And {more} more pairs; see audit.json.</p>" if more > 0 else ""
    return f"<h2>{_text(finding.title)}</h2>{''.join(figures)}{rest}"


def _picture(dataset: Dataset, row: int) -> str:
    """One image within the page, grey from its coldest to its warmest body pixel."""
    image = np.nan_to_num(dataset.images[row].mean(axis=-1), posinf=1.0, neginf=0.0)
    body = image[dataset.masks[row, ..., 0]]
    low, high = (body.min(), body.max()) if body.size else (0.0, 1.0)
    grey = (image - low) / max(high - low, 1e-9)
    pixels = np.round(255 * np.clip(grey, 0, 1)).astype(np.uint8)
    scale = max(1, -(-_EDGE // max(pixels.shape)))
    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{_text(dataset.example_ids[row])}" src="{source}">'
