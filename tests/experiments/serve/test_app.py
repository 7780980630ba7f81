"""The service over HTTP: answers, refusals, headers; nothing is compiled twice."""

import base64

import numpy as np
import pytest
from fastapi.testclient import TestClient

from experiments.config_errors import ConfigError
from experiments.serve.answers import choose_arms
from experiments.serve.app import HEADERS, make_app
from experiments.serve.limits import Limits

EVERY = ("examine", "attack", "certify")


def client(answers, **limits):
    given = {"requests_a_minute": 1000, **limits}
    app = make_app(answers, Limits(**given))
    return TestClient(app, base_url="http://localhost:8000")


@pytest.fixture(scope="module")
def service(answers):
    with client(answers) as made:
        yield made


@pytest.fixture(scope="module")
def patient(answers):
    """A validation patient as text, and the same as an image."""
    text = answers.example(1)
    rows = [line.split(",") for line in text.split()]
    celsius = np.array(rows, np.float32)
    return text.encode(), (celsius - 22)[..., None] / 16


def post(service, what, content, name="patient.csv", **more):
    return service.post(f"/api/{what}", params={"name": name, **more}, content=content)


def pixels(text):
    levels = np.frombuffer(base64.b64decode(text), "<u2")
    return levels.reshape(32, 32) / 65535


def test_a_patient_is_looked_at_as_the_run_looks(service, answers, patient):
    content, image = patient
    answer = post(service, "examine", content).json()
    assert answer["notes"] == ["Taken as it is: nothing was cut out or resized."]
    np.testing.assert_allclose(pixels(answer["image"]), image[..., 0], atol=2e-5)
    assert [arm["name"] for arm in answer["arms"]] == ["wbad", "undefended"]
    for told in answer["arms"]:
        arm, params = answers.run.arm(told["name"])
        logits = np.asarray(arm.evaluated.apply(params, image[None]))[0]
        assert told["score"] == pytest.approx(logits[1] - logits[0], abs=1e-3)
        assert told["class"] == ("tumour" if logits[1] > logits[0] else "healthy")
        share = 1 / (1 + np.exp(logits[0] - logits[1]))
        assert told["probability"] == pytest.approx(share, abs=1e-3)
        assert (told["denoised"] is None) == (told["name"] == "undefended")
        for score in told["scores"]:
            assert score["flagged"] == (score["value"] > score["limit"])
    denoised = pixels(answer["arms"][0]["denoised"])
    assert 0 < np.abs(denoised - image[..., 0]).max() < 0.2


def test_the_attack_stays_in_its_budget_and_never_gets_weaker(service, patient):
    content, image = patient
    answer = post(service, "attack", content).json()
    epsilon = np.array(answer["epsilon"])
    assert len(epsilon) == 12
    assert epsilon[5] == pytest.approx(0.125)  # the run's own
    for arm in answer["arms"]:
        for size, text in zip(epsilon, arm["images"], strict=True):
            change = np.abs(pixels(text) - image[..., 0]).max() * 16
            assert 0 < change <= size * 1.001 + 5e-4  # of rounding to 16 bits
        margins = [step["margin"] for step in arm["steps"]]
        assert margins == sorted(margins, reverse=True)
        for step in arm["steps"]:
            assert (step["class"] != arm["class"]) == (step["margin"] < 0)
    assert len(answer["transfer"]) == 12


def test_a_certificate_says_whether_it_means_anything(service, patient):
    answer = post(service, "certify", patient[0]).json()
    assert answer["noise_trained"] is False
    assert sum(answer["votes"]) == 64
    assert answer["radius"] == 0 or not answer["abstained"]
    assert answer["radius_each_pixel"] == pytest.approx(answer["radius"] / 32)


def test_a_second_request_compiles_nothing(service, answers, patient):
    before = [arm.compiled() for arm in answers.arms]
    other = b"\n".join(b",".join([b"31.5"] * 16 + [b"30"] * 16) for _ in range(32))
    answer = {what: post(service, what, other) for what in EVERY}
    assert [a.status_code for a in answer.values()] == [200] * 3
    assert [arm.compiled() for arm in answers.arms] == before
    # Same picture, same answer.
    assert post(service, "attack", other).json() == answer["attack"].json()


@pytest.mark.parametrize("what", EVERY)
def test_bad_uploads_get_one_line_of_json(service, what):
    nan = b"\n".join([b",".join([b"nan"] * 32)] * 32)
    for content, name, words in (
        (b"", "a.csv", "empty"),
        (nan, "a.csv", "got nan"),
        (b"hello", "a.txt", "not a number"),
        (b"30", "../../x.exe", "x.exe: a file must end in"),
        (b"\x89PNG\r\n\x1a\n", "a.png", "cannot be read"),
    ):
        answer = post(service, what, content, name)
        assert answer.status_code == 422
        assert words in answer.json()["error"]
        assert "Traceback" not in answer.text


def test_wrong_requests_are_refused(service, patient):
    assert service.post("/api/examine", content=patient[0]).json() == {
        "error": "name: Field required."
    }
    answer = post(service, "examine", patient[0], background="blue")
    assert answer.status_code == 422
    assert "background" in answer.json()["error"]
    assert service.get("/api/examine").status_code == 405
    for path in ("/nothing", "/api/examples/9.csv", "/page.html", "/..%2fpage.py"):
        answer = service.get(path)
        assert answer.status_code == 404
        assert set(answer.json()) == {"error"}


def test_sizes_and_rates_are_bounded(answers, patient):
    with client(answers, upload_bytes=100) as service:
        answer = post(service, "examine", b"3" * 101)
        assert answer.status_code == 413
        assert "MiB" in answer.json()["error"]
    with client(answers, requests_a_minute=2) as service:
        statuses = [post(service, "examine", b"").status_code for _ in range(3)]
        assert statuses == [422, 422, 429]
        answer = post(service, "attack", patient[0])
        assert int(answer.headers["retry-after"]) > 0
        assert service.get("/").status_code == 200


def test_a_fault_of_the_service_tells_nothing_of_it(answers, patient, monkeypatch):
    def fail(thermogram):
        raise RuntimeError("secret/path")

    monkeypatch.setattr(answers, "examine", fail)
    app = make_app(answers, Limits())
    made = TestClient(
        app, base_url="http://localhost", raise_server_exceptions=False
    )  # fmt: skip
    answer = post(made, "examine", patient[0])
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_sites_and_names_are_refused(service, patient):
    for headers, status in (
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"origin": "http://localhost:8000"}, 200),
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
    ):
        answer = service.get("/api/run", headers=headers)
        assert answer.status_code == status, headers
        for name, value in HEADERS.items():
            assert answer.headers[name] == value


def test_the_page_is_whole_and_says_what_it_is_not(service):
    page = service.get("/").text
    assert "not a diagnostic device" in page
    assert "simulated_thermograms/tiny" in page
    assert "<style" not in page
    assert " style=" not in page
    assert "onclick" not in page
    assert page.count("<script") == 1
    for file, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
        answer = service.get(f"/{file}")
        assert answer.headers["content-type"].startswith(kind)
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
    facts = service.get("/api/run").json()
    assert facts["examples"] == ["healthy", "tumour"]
    assert len(facts["ramps"]["heat"]) == 256
    assert facts["epsilon"] == pytest.approx(0.125)


def test_arms_are_chosen_by_name(answers):
    assert choose_arms(answers.run, "undefended", None) == ["undefended"]
    with pytest.raises(ConfigError, match="'wbad'.*'best'"):
        choose_arms(answers.run, "best", None)
