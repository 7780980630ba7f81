"""The report in a real browser: headless Chromium, where there is one."""

import json

import pytest

from experiments.report.writing import write_report
from tests.browsers import chromium, needs_chromium, requested, set_width
from tests.experiments.report.run_folder_files import write_run

pytest.importorskip("selenium.webdriver", reason="selenium is missing")
from selenium.webdriver.support.expected_conditions import alert_is_present  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

pytestmark = needs_chromium
FIGURES = {
    "security": 4, "comparisons": 1, "errors": 1, "roc": 3, "calibration": 3,
    "distances": 1, "certificates": 1, "detection": 1, "thresholds": 2,
}  # fmt: skip
TABLES = (
    "headline", "results", "comparisons", "checks", "detection", "audit", "provenance",
)  # fmt: skip
# Names as an attacker could write them; without "/", since they are in file names.
ARMS = (
    '<img src=x onerror="alert(1)">',
    '<a href="javascript:alert(2)">link<a>',
    "<b>bold<b> & $x$ %{x}",
)
SCRIPT = "</script><script>alert(3)</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    workdir = write_run(tmp_path_factory.mktemp("page") / "run")
    write_report([workdir], workdir / "report.html")
    return workdir / "report.html"


def open_page(browser, page, width=1200):
    """Open at a width of the window, and forget the logs of before."""
    browser.get_log("browser")
    browser.get_log("performance")
    set_width(browser, width)
    browser.get(page.as_uri())
    ready = "return document.documentElement.dataset.ready"
    assert browser.execute_script(ready) == "true"


def requests(browser):
    return [u for u in requested(browser) if not u.startswith(("data:", "blob:"))]


def count(browser, selector):
    return browser.execute_script(
        "return document.querySelectorAll(arguments[0]).length", selector
    )


def texts(browser, selector):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter((e) => e.offsetParent !== null || e.ownerSVGElement)"
        ".map((e) => e.textContent)",
        selector,
    )


def hover(browser, chart, number):
    """Move the mouse over a point of a chart; the labels that show."""
    place = browser.execute_script(
        "const chart = document.querySelector(`[data-chart='${arguments[0]}']`);"
        "const part = chart.querySelectorAll('.scatterlayer .point')[arguments[1]];"
        "part.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const box = part.getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]",
        chart,
        number,
    )
    for shift in (3, 0):
        move = {"type": "mouseMoved", "x": place[0] + shift, "y": place[1]}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", move)
    found = ".hoverlayer .hovertext"
    WebDriverWait(browser, 5).until(lambda _: count(browser, found))
    return " ".join(texts(browser, found))


def test_no_error_and_no_request(browser, page):
    open_page(browser, page)
    assert requests(browser) == [page.as_uri()]
    assert browser.get_log("browser") == []


def test_every_figure_and_table_is_there(browser, page):
    open_page(browser, page)
    for slug, panels in FIGURES.items():
        assert count(browser, f"#figure-{slug} .chart .main-svg") >= panels, slug
        drawn = f"#figure-{slug} .chart .scatterlayer .trace"
        assert count(browser, drawn) >= panels, slug
        assert count(browser, f"#figure-{slug} .chart .legendtext") >= panels, slug
    for slug in TABLES:
        assert count(browser, f"#table-{slug} tbody tr") > 0, slug
    assert count(browser, "p.missing") == 0
    assert count(browser, ".pictures tbody tr") == 4
    assert browser.execute_script(
        "return [...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    )


def test_headline_shows_the_numbers(browser, page):
    open_page(browser, page)
    results = json.loads((page.parent / "results.json").read_text("utf-8"))
    row = next(
        r for r in results["rows"]
        if (r["arm"], r["set"], r["protocol"], r["norm"], r["attack"])
        == ("wbad", "test", "adaptive", "linf", "worst_case")
        and r["epsilon"] == results["meta"]["headline_epsilon"]
    )  # fmt: skip
    shown = texts(browser, "#table-headline tbody tr:nth-child(3) td:last-child")[0]
    right = round(row["accuracy"] * row["n"])
    assert f"{100 * row['accuracy']:.1f}" in shown
    assert f"{right} of {row['n']}" in shown
    assert f"{100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f}" in shown


def test_filters_and_sorting(browser, page):
    open_page(browser, page)
    results = json.loads((page.parent / "results.json").read_text("utf-8"))
    chosen = {"arm": "wbad", "protocol": "adaptive", "set": "test_pairs"}
    places = ["arm", "set", "protocol", "attack", "norm", "unit"]
    form = browser.find_element("css selector", "#table-results form")
    for name, value in chosen.items():
        select = form.find_element(
            "css selector", f"select[data-column='{places.index(name)}']"
        )
        Select(select).select_by_visible_text(value)
    expected = [
        row["accuracy"]
        for row in results["rows"]
        if all(row[name] == value for name, value in chosen.items())
    ]
    assert texts(browser, "#table-results output") == [
        f"{len(expected)} of {len(results['rows'])} rows"
    ]
    cells = "#table-results tbody tr td:nth-child(10) .text"
    assert sorted(map(float, texts(browser, cells))) == sorted(
        round(100 * value, 1) for value in expected
    )
    header = browser.find_element(
        "css selector", "#table-results thead th:nth-child(10)"
    )
    browser.execute_script(
        "arguments[0].scrollIntoView("
        "{block: 'center', inline: 'center', behavior: 'instant'})",
        header,
    )
    header.click()
    rising = list(map(float, texts(browser, cells)))
    assert rising == sorted(rising)
    header.click()
    assert list(map(float, texts(browser, cells))) == rising[::-1]


def test_hover_shows_a_label(browser, page):
    open_page(browser, page)
    shown = hover(browser, "security-0", 2)  # the first curve, at the headline epsilon
    assert "undefended, graybox" in shown
    assert "Linf 0.00784 = 0.125 °C" in shown
    assert " of 160)" in shown
    assert "missed cancer" in hover(browser, "errors-0", 0)


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_screens_do_not_scroll_sideways(width, browser, page):
    open_page(browser, page, width)
    widest = browser.execute_script("return document.documentElement.scrollWidth")
    assert widest <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('.chart')]"
        ".filter((c) => c.querySelector('.main-svg').getBoundingClientRect().right"
        " > innerWidth).map((c) => c.dataset.chart)"
    )
    assert wide == []


def test_print_has_the_width_of_paper(browser, page):
    open_page(browser, page)
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    width = "return document.querySelector('.main-svg').getBoundingClientRect().width"
    assert browser.execute_script(width) == 660


def test_html_and_script_in_names_are_inert(browser, tmp_path):
    config = {"config": {"name": SCRIPT, ARMS[0]: SCRIPT}, "command": ARMS[1]}
    workdir = write_run(tmp_path / "run", ARMS, example_id=SCRIPT, config=config)
    for name in ("results", "checks", "audit"):
        path = workdir / f"{name}.json"
        content = json.loads(path.read_text("utf-8"))
        if name == "results":
            content["meta"]["name"] = SCRIPT
            content["meta"]["device"] = ARMS[0]
        for item in content.get("checks", []) + content.get("findings", []):
            item |= {
                "title": ARMS[0],
                "sentence": SCRIPT,
                "evidence": {ARMS[1]: SCRIPT},
            }
        path.write_text(json.dumps(content), "utf-8")
    page = workdir / "report.html"
    write_report([workdir], page)
    open_page(browser, page)
    assert alert_is_present()(browser) is False
    assert requests(browser) == [page.as_uri()]
    assert browser.get_log("browser") == []
    assert count(browser, "script") == 3
    assert (
        count(browser, "main b, main [onerror], a[href^='javascript'], img[src=x]") == 0
    )
    assert texts(browser, "h1") == [SCRIPT]
    assert f"{ARMS[0]}, graybox" in texts(
        browser, "[data-chart=security-0] .legendtext"
    )
    for arm in ARMS:
        assert arm in texts(browser, "#table-results td:first-child .text")
        assert any(arm in text for text in texts(browser, ".legendtext")), arm
    assert ARMS[0] in hover(browser, "security-0", 2)
    assert SCRIPT in texts(browser, ".pictures tbody tr:first-child th")[0]
