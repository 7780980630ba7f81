"""The audit as a command, as a page, and before training."""

import dataclasses
import html.parser
import json

import numpy as np
import pytest

from experiments import audit, audit_page, cohort
from tests.data.audited import clean_dataset, split
from wbad_jax import data

TIMEOUT = 300
HOSTILE = '<script>alert(1)</script><img src="https://example.org/x" onerror=x>&"\''


class Reader(html.parser.HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def page_of(dataset, name="synthetic"):
    findings = data.audit_dataset(dataset, [split(dataset)])
    meta = {
        "config": name,
        "data": {"name": dataset.name, "version": dataset.version},
        "num_examples": len(dataset),
        "num_patients": len(np.unique(dataset.patient_ids)),
        "num_folds": 1,
        "window": list(dataset.window),
        "seconds": 1.0,
    }
    return findings, audit_page.make_page(findings, meta, dataset)


def with_copies(dataset):
    """Two equal images and two nearly equal ones, under other patients."""
    noise = np.random.default_rng(1).normal(0, 0.005, dataset.images[0].shape)
    dataset.images[7] = dataset.images[3]
    near = dataset.images[9] + noise
    dataset.images[11] = np.where(dataset.masks[11], near, 0.5)
    return dataset


@pytest.mark.fast
def test_page_shows_all_findings_and_pairs_and_asks_no_network():
    findings, page = page_of(with_copies(clean_dataset(0, num_patients=120)))
    reader = read(page)
    text = "".join(reader.texts)
    for finding in findings:
        assert finding.title in text
        assert finding.sentence in text
    assert reader.texts.index(
        "✗ fail: Results on this data do not mean what they seem to."
    ) < reader.texts.index("Answer")
    assert reader.tags.count("img") == 4
    assert reader.tags.count("svg") == sum("ci_low" in f.evidence for f in findings)
    assert not {"script", "iframe", "object", "a"} & set(reader.tags)
    links = [value for _, name, value in reader.attributes if name in ("src", "href")]
    assert links
    assert all(value.startswith("data:") for value in links)
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.fast
def test_names_with_html_in_them_are_inert():
    clean = with_copies(clean_dataset(0, num_patients=120))
    names = np.array([f"{HOSTILE}{name}" for name in clean.example_ids])
    hostile = dataclasses.replace(clean, example_ids=names, name=HOSTILE)
    expected = read(page_of(clean)[1])
    found = read(page_of(hostile, name=HOSTILE)[1])
    assert found.tags == expected.tags
    assert len(found.attributes) == len(expected.attributes)
    assert HOSTILE in "".join(found.texts)


@pytest.mark.fast
def test_page_of_images_that_are_not_finite():
    dataset = with_copies(clean_dataset(0))
    dataset.images[3] = dataset.images[7] = np.nan
    dataset.masks[9] = False
    _, page = page_of(dataset)
    assert "pixels not finite" in page


def test_command_writes_both_files_of_a_clean_cohort(smoke_config, tmp_path, capsys):
    config = smoke_config("quickstart")
    findings = audit.audit(config, tmp_path / "new" / "audit")
    report = json.loads((tmp_path / "new" / "audit" / "audit.json").read_text("utf-8"))
    assert [f["id"] for f in report["findings"]] == [f.id for f in findings]
    assert report["meta"]["status"] == data.worst_status(findings)
    assert {f["status"] for f in report["findings"]} <= {"pass", "warn"}
    assert report["meta"]["num_patients"] == 48
    assert not report["meta"]["quick"]
    assert "Data audit: 0 failed" in capsys.readouterr().out
    assert "audit.html" in {p.name for p in (tmp_path / "new" / "audit").iterdir()}


def test_training_warns_loudly_but_goes_on(smoke_config, tmp_path, capsys):
    config = smoke_config("quickstart")
    dataset = cohort.load(config)
    folds = cohort.make_folds(config, dataset)
    audit.audit_before_training(config, dataset, folds, tmp_path)
    assert capsys.readouterr().err == ""
    assert json.loads((tmp_path / "audit.json").read_text("utf-8"))["meta"]["quick"]
    rooms = dataset.background_celsius + 9 * (dataset.factual == (dataset.labels == 1))
    confounded = dataclasses.replace(dataset, background_celsius=rooms)
    audit.audit_before_training(config, confounded, folds, tmp_path)
    assert "WARNING, data audit: Label and room temperature" in capsys.readouterr().err


def test_training_can_leave_the_audit_out(smoke_config, tmp_path):
    config = smoke_config("quickstart", **{"data.audit": False})
    dataset = cohort.load(config)
    audit.audit_before_training(config, dataset, [], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_strict_ends_with_an_error(command, dmr_ir_folder, tmp_path):
    arguments = (
        "--config=configs/dmr_ir.py:smoke",
        f"--config.data.manual_dir={dmr_ir_folder}",
        f"--config.data.data_dir={tmp_path / 'data'}",
        f"--output={tmp_path / 'audit'}",
    )
    # Its patients are healthy up to number 8 and ill from 9 on.
    lax = command("audit", *arguments)
    out, err = lax.communicate(timeout=TIMEOUT)
    assert lax.returncode == 0, err
    assert "FAIL     Label and patient number" in out
    strict = command("audit", *arguments, "--strict")
    strict.communicate(timeout=TIMEOUT)
    assert strict.returncode == 1
