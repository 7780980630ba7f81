"""The twin page in a real browser: from a file to an attack, on a desk and a phone."""

import threading
import time

import pytest

pytest.importorskip("selenium.webdriver", reason="selenium is missing")
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is missing")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

from experiments.serve.app import make_app  # noqa: E402
from experiments.serve.limits import Limits  # noqa: E402
from tests.browsers import (  # noqa: E402
    chromium,
    needs_chromium,
    requested,
    set_width,
)

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
]
SECONDS = 300  # on a busy machine
HOSTILE = "<img src=x onerror=alert(1)>.csv"


@pytest.fixture(scope="module")
def address(answers):
    """Where the service really listens."""
    app = make_app(answers, Limits(requests_a_minute=1000))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    socket = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
    server.should_exit = True
    thread.join()
    socket.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def open_page(browser, address, width):
    set_width(browser, width)
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(address)
    wait(browser, "document.documentElement.dataset.ready === 'true'")


def wait(browser, condition):
    WebDriverWait(browser, SECONDS).until(
        lambda _: browser.execute_script(f"return {condition}")
    )


def requests(browser):
    return [u for u in requested(browser) if not u.startswith(("data:", "about:"))]


def text(browser, name):
    return browser.find_element(By.ID, name).text


def send(browser, path):
    browser.find_element(By.ID, "file").send_keys(str(path))


@pytest.mark.parametrize("width", [1200, 390])
def test_from_upload_to_result(width, browser, address, answers, tmp_path):
    open_page(browser, address, width)
    path = tmp_path / HOSTILE
    path.write_text(answers.example(1))
    send(browser, path)
    wait(browser, "!document.getElementById('result').hidden")
    assert HOSTILE in text(browser, "notes")
    assert "%" in text(browser, "decisions")
    # By keyboard alone from here on.
    browser.find_element(By.ID, "certify").send_keys(Keys.ENTER)
    wait(browser, "document.getElementById('certificate').childNodes.length > 0")
    assert "not trained on noise" in text(browser, "certificate")
    browser.find_element(By.ID, "start").send_keys(Keys.ENTER)
    wait(browser, "!document.getElementById('attacked').hidden")
    slider = browser.find_element(By.ID, "epsilon")
    assert text(browser, "epsilon-value") == "0.125 °C"
    slider.send_keys(Keys.HOME)
    assert text(browser, "epsilon-value") == "0 °C"
    assert text(browser, "rows").count("✓ still") == 2
    slider.send_keys(Keys.END)
    assert text(browser, "epsilon-value") == "0.25 °C"
    assert browser.execute_script(
        "return document.querySelectorAll('#chart polyline').length"
    ) == 3  # fmt: skip
    Select(browser.find_element(By.ID, "quantity")).select_by_value("probability")
    wait(
        browser,
        "document.getElementById('chart-caption').textContent.includes('softmax')",
    )
    assert browser.execute_script(
        "return [...document.querySelectorAll('canvas')].every((c) => c.width > 0)"
    )
    widest = browser.execute_script("return document.documentElement.scrollWidth")
    assert widest <= width
    assert "not a diagnostic device" in text(browser, "top")
    assert browser.get_log("browser") == []
    assert all(url.startswith(address) for url in requests(browser))


def test_a_bad_file_is_told_and_the_next_one_works(browser, address, answers, tmp_path):
    open_page(browser, address, 1200)
    path = tmp_path / "letter.txt"
    path.write_text("Dear doctor")
    send(browser, path)
    wait(browser, "!document.getElementById('problem').hidden")
    assert "row 1, column 1: 'Dear' is not a number" in text(browser, "problem")
    browser.find_element(By.CSS_SELECTOR, "#examples button").send_keys(Keys.ENTER)
    wait(browser, "!document.getElementById('result').hidden")
    assert not browser.find_element(By.ID, "problem").is_displayed()
    assert "simulated_healthy.csv" in text(browser, "notes")
