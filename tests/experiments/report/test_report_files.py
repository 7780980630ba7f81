"""What a report says, from made-up files; its looks are tested in a browser."""

import json
import re
import shutil

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from configs import default
from experiments.config_errors import ConfigError
from experiments.report import report_if_wanted
from experiments.report.charts import Curve, Figure, Panel, percent_axis, radius_axis
from experiments.report.headline import headline_outcomes, headlines
from experiments.report.plotly_charts import to_plotly
from experiments.report.run_files import read_runs
from experiments.report.sections import figures
from experiments.report.verdict import verdict
from experiments.report.writing import write_report
from tests.experiments.report.run_folder_files import EPSILON, MULTIPLES, write_run

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with every file and its report; tests that change it copy it."""
    workdir = write_run(tmp_path_factory.mktemp("report") / "run")
    write_report([workdir], workdir / "report.html")
    return workdir


@pytest.fixture(scope="module")
def run(written):
    return read_runs([written])[0]


@pytest.fixture
def workdir(written, tmp_path):
    return shutil.copytree(written, tmp_path / "copy")


def edit(path, change):
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def figure(run, slug):
    return next(f for f in figures([run]) if f.slug == slug)


def test_headline_rows_are_those_of_the_results(run):
    results = json.loads((run.workdir / "results.json").read_text("utf-8"))
    found = {(h.arm, h.norm): h for h in headlines([run])}
    assert len(found) == 6
    for (arm, norm), headline in found.items():
        for protocol, row in headline.rows.items():
            expected = [
                r["accuracy"]
                for r in results["rows"]
                if (r["arm"], r["protocol"], r["set"]) == (arm, protocol, "test")
                and r["attack"] in ("none", "worst_case")
                and (
                    protocol == "clean"
                    or (r["norm"], r["epsilon"]) == (norm, EPSILON[norm])
                )
            ]
            assert [row["accuracy"]] == expected


def test_rows_by_patient_come_before_rows_by_image(workdir):
    def add(results):
        extra = [dict(r, unit="patient", accuracy=0.5) for r in results["rows"]]
        results["rows"] += extra

    edit(workdir / "results.json", add)
    rows = [h.rows["adaptive"] for h in headlines(read_runs([workdir]))]
    assert {row["accuracy"] for row in rows} == {0.5}


def test_of_several_surrogates_the_one_that_harms_most_counts(workdir):
    def add(results):
        extra = [dict(r) for r in results["rows"] if r["protocol"] == "graybox"]
        for row in extra:
            row["accuracy"] -= 0.01
        results["rows"] += extra

    def accuracies(run):
        shown = [h.rows["graybox"]["accuracy"] for h in headlines([run])]
        panel = figure(run, "security").panels[0]
        drawn = [c.y[1:] for c in panel.curves if c.name.endswith("graybox")]
        return np.concatenate([shown, *drawn])

    before = accuracies(read_runs([workdir])[0])
    edit(workdir / "results.json", add)
    np.testing.assert_allclose(accuracies(read_runs([workdir])[0]), before - 0.01)


def test_verdict_begins_with_what_failed(run):
    line, findings = verdict([run])
    assert line == "1 of 2 checks failed: do not trust the accuracies below"
    assert findings[0].status == "fail"
    assert findings[0].about == "Random noise finds nothing new (wbad)"
    assert [f.status for f in findings] == sorted(
        (f.status for f in findings), key=["fail", "warn", "note", "pass"].index
    )


def test_verdict_tells_what_the_pattern_of_accuracies_means(run):
    told = {f.about: f.text for f in verdict([run])[1]}
    assert (
        "collapses under adaptive attacks: a constant answer is right on 50.0 %"
        in (told["denoise"])
    )
    assert "pgd" in told["denoise"]
    assert "subband" in told["denoise"]
    assert "points above adaptive" in told["denoise"]
    assert "collapses" not in told["wbad"]
    assert "No difference is shown" in told["denoise against undefended, adaptive"]
    assert "No difference" not in told["wbad against undefended, adaptive"]


def test_verdict_of_a_run_that_passed_and_of_one_that_was_not_checked(workdir):
    def repair(checks):
        for check in checks["checks"]:
            check["status"] = "pass"

    edit(workdir / "checks.json", repair)
    assert verdict(read_runs([workdir]))[0] == "All 3 checks that were run passed"
    (workdir / "checks.json").unlink()
    line, findings = verdict(read_runs([workdir]))
    assert line.startswith("Not checked")
    assert any("masked gradients were not looked for" in f.text for f in findings)


def test_impossible_numbers_are_failures(workdir):
    def lift(certificates):
        curve = certificates["curves"][1]
        curve["empirical_accuracy"][3] = curve["certified_accuracy"][3] - 0.01
        certificates["curves"][0]["checks"] = {"violations": 2}

    def exceed(results):
        results["meta"]["pair_bound_violations"] = [
            {
                "arm": "wbad",
                "norm": "linf",
                "epsilon": 0.01,
                "accuracy": 0.9,
                "ceiling": 0.8,
            }
        ]
        for row in results["rows"]:
            if row["arm"] == "wbad" and row["protocol"] == "clean":
                row["ci_high"] = 0.5

    edit(workdir / "certificates.json", lift)
    edit(workdir / "results.json", exceed)
    failed = " ".join(
        f.text for f in verdict(read_runs([workdir]))[1] if f.status == "fail"
    )
    assert "2 certificates were refuted by an attack (sigma 0.05)" in failed
    assert "at radii 0.15 more is certified than an attack leaves right" in failed
    assert "90.0 % under adaptive attacks" in failed
    assert "graybox accuracy is above clean accuracy" in failed


def test_an_abstaining_judge_refutes_no_certificate(workdir):
    def abstain(certificates):
        curve = certificates["curves"][0]
        curve["empirical_accuracy"] = [0.0] * 9
        curve["empirical_undecided"] = [1.0] * 9

    edit(workdir / "certificates.json", abstain)
    assert not any("certificates" in f.about for f in verdict(read_runs([workdir]))[1])


def test_security_curves_hold_the_accuracies_and_bounds(run):
    drawn = figure(run, "security")
    panel = next(p for p in drawn.panels if p.title == "Linf, set test_pairs")
    curves = {curve.name: curve for curve in panel.curves}
    for protocol in ("graybox", "adaptive"):
        curve = curves[f"wbad, {protocol}"]
        assert list(curve.x) == [0.0] + [EPSILON["linf"] * m for m in MULTIPLES]
        at = {r["epsilon"] or 0.0: r["accuracy"] for r in run.rows
              if (r["arm"], r["set"]) == ("wbad", "test_pairs")
              and r["attack"] in ("none", "worst_case") and r["norm"] in (None, "linf")
              and r["protocol"] in ("clean", protocol)}  # fmt: skip
        assert list(curve.y) == [at[x] for x in curve.x]
    assert curves["pair bound"].x[0] == 0.0
    assert curves["ceiling C, informed observer"].y[-1] == pytest.approx(0.84)
    assert curves["certified A, scanning observer"].y[-1] == pytest.approx(0.56)


def test_calibration_is_that_of_scikit_learn(run):
    panel = figure(run, "calibration").panels[0]
    curve = next(c for c in panel.curves if c.name == "wbad")
    outcome = headline_outcomes(run)["wbad", "clean", None]
    probability = 1 / (1 + np.exp(outcome.logits[:, 0] - outcome.logits[:, 1]))
    share, mean = calibration_curve(
        outcome.labels, probability, n_bins=10, strategy="quantile"
    )
    np.testing.assert_allclose(curve.x, mean, rtol=1e-5)
    np.testing.assert_allclose(curve.y, share)


def test_errors_are_one_minus_sensitivity_and_specificity(run):
    panel = figure(run, "errors").panels[0]
    rows = {(h.arm, h.norm): h.rows["adaptive"] for h in headlines([run])}
    missed, alarms = panel.curves
    for arm in ("denoise", "wbad"):
        place = panel.categories.index(f"{arm}\nadaptive, Linf")
        row = rows[arm, "linf"]
        assert missed.x[place] == pytest.approx(1 - row["sensitivity"])
        assert alarms.x[place] == pytest.approx(1 - row["specificity"])


def test_distances_are_the_accuracy_within_every_radius(run):
    panel = figure(run, "distances").panels[0]
    assert panel.title == "cw, L2"
    for curve in panel.curves:
        for row in run.rows:
            if (row["arm"], row["attack"], row["protocol"], row["set"]) == (
                curve.name, "cw", "adaptive", "test",
            ):  # fmt: skip
                within = np.asarray(curve.x) <= row["epsilon"] * (1 + 1e-6)
                share = np.asarray(curve.y)[within][-1]
                if row["epsilon"] == max(curve.x):
                    assert share == pytest.approx(1 - row["accuracy"])
        assert np.all(np.diff(curve.y) >= 0)


def test_radii_are_marked_in_both_units():
    axis = radius_axis("epsilon", 8 / 255, 16.0)
    assert [label for _, label in axis.marks][:2] == ["0\n0 °C", "0.0125\n0.2 °C"]
    assert all(value == pytest.approx(float(label.split("\n")[1][:-3]) / 16)
               for value, label in axis.marks)  # fmt: skip
    assert axis.marks[-1][0] <= 8 / 255 * 1.01


def test_names_are_escaped_for_plotly_and_gaps_stay_gaps():
    name = '<b>x</b> <a href="javascript:alert(1)">y</a> & $z$'
    curve = Curve(name=name, x=[0, 1], y=[None, 0.123456789], labels=[name, "a\nb"])
    panel = Panel(title=name, x=percent_axis(name), y=percent_axis(""), curves=[curve])
    chart = to_plotly(panel)
    text = json.dumps(chart, allow_nan=False)
    assert "<b>" not in text
    assert "<a" not in text
    assert chart["data"][0]["y"] == [None, 0.12346]
    assert chart["data"][0]["text"][1] == "a<br>b"


def test_page_is_small_whole_and_the_same_every_time(written, tmp_path):
    page = (written / "report.html").read_text("utf-8")
    assert 4.5e6 < len(page.encode()) < 6e6
    write_report([written], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text("utf-8") == page
    assert not list(tmp_path.glob("*.tmp"))


def test_parts_without_a_file_say_how_to_make_it(workdir):
    for path in workdir.iterdir():
        if path.name != "results.json":
            path.unlink()
    edit(workdir / "results.json", lambda results: results.pop("comparisons"))
    write_report([workdir], workdir / "report.html")
    page = (workdir / "report.html").read_text("utf-8")
    told = re.findall(r'<p class="missing">(.*?)</p>', page)
    for file in (
        "checks.json", "certificates.json", "detection.json", "predictions.parquet",
        "audit.json", "gallery-&lt;arm&gt;.npz", "config.json", "results.json",
    ):  # fmt: skip
        assert any(file in sentence for sentence in told), file
    assert f"<code>python -m experiments.certify --workdir={workdir}</code>" in page


def test_a_run_without_attacks_or_bounds_has_a_report(workdir):
    def strip(results):
        results["rows"] = [r for r in results["rows"] if r["protocol"] == "clean"]
        for name in ("bracket", "comparisons"):
            del results[name]

    edit(workdir / "results.json", strip)
    (workdir / "predictions.parquet").unlink()
    write_report([workdir], workdir / "report.html")
    assert "not attacked" in (workdir / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    "name", ["results.json", "checks.json", "predictions.parquet", "gallery-wbad.npz"]
)
def test_a_damaged_file_is_named(name, workdir):
    (workdir / name).write_bytes(b"{ cut short")
    with pytest.raises(ConfigError, match=f"{name} is damaged"):
        read_runs([workdir])


def test_a_folder_without_results_is_refused_and_pickles_are_not_opened(
    workdir, tmp_path
):
    with pytest.raises(ConfigError, match=r"results.json is missing"):
        read_runs([tmp_path])
    arrays = dict(np.load(workdir / "gallery-wbad.npz"))
    arrays["example_ids"] = np.array([{"a": 1}] * 4, dtype=object)
    np.savez(workdir / "gallery-wbad.npz", **arrays)
    with pytest.raises(ConfigError, match="gallery-wbad.npz is damaged.*pickle"):
        read_runs([workdir])


def test_several_runs_are_told_apart(written, workdir, tmp_path):
    output = tmp_path / "both.html"
    write_report([written, workdir], output)
    page = output.read_text("utf-8")
    assert "run: wbad" in page
    assert "copy: wbad" in page
    table = (tmp_path / "both.md").read_text("utf-8").splitlines()
    assert sum(line.startswith(("| run: ", "| copy: ")) for line in table) == 12
    same = [run.name for run in read_runs([written, written])]
    assert same == [written.as_posix()] * 2


def test_markdown_holds_the_headline_as_a_table(written):
    lines = (written / "report.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 2 + 6
    assert all(line.count("|") == 6 for line in rows)


def test_figures_for_papers(run, tmp_path):
    from experiments.report.paper_figures import write_figures

    slugs = {"security", "comparisons", "errors", "roc", "calibration", "distances",
             "certificates", "detection", "thresholds"}  # fmt: skip
    drawn = figures([run])
    assert {f.slug for f in drawn} == slugs
    curve = Curve(name="a $ sign and $\\frac$", x=[0, 1], y=[0, 1])
    panel = Panel(title="$", x=percent_axis("x"), y=percent_axis("y"), curves=[curve])
    odd = Figure(slug="odd", title="", caption="", panels=[panel])
    chosen = [f for f in drawn if f.slug in ("security", "comparisons")]
    write_figures([*chosen, odd], tmp_path)
    for slug in ("security", "comparisons", "odd"):
        assert (tmp_path / f"{slug}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{slug}.pdf").read_bytes().startswith(b"%PDF")


def test_a_run_writes_it_at_its_end_and_a_failure_only_warns(workdir, caplog, capsys):
    config = default.get_config("smoke")
    (workdir / "report.html").unlink()
    config.report = False
    report_if_wanted(config, workdir)
    assert not (workdir / "report.html").exists()
    config.report = True
    report_if_wanted(config, workdir)
    assert f"Report in {workdir}" in capsys.readouterr().out
    (workdir / "checks.json").write_text("{")
    report_if_wanted(config, workdir)
    assert "checks.json is damaged" in caplog.text
