r"""The picture of a report in the guide, taken in headless Chromium.

    python -m docs.figures.report --page=runs/quickstart/report.html

Needs `chromium` and `chromedriver` on the path, and selenium (extra `test`).
"""

import argparse
import base64
import io
import pathlib
import shutil
import tempfile

from PIL import Image
from selenium import webdriver

_WIDTH, _HEIGHT = 1200, 1560
_COLOURS = 64
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


def take(page: pathlib.Path) -> Image.Image:
    """The upper part of a page, as on a desktop.

    Args:
        page: A report.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        browser = webdriver.Chrome(options=options, service=service)
        try:
            size = {"width": _WIDTH, "height": _HEIGHT}
            shape = size | {"deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
            browser.get(page.resolve().as_uri())
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        finally:
            browser.quit()
    return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--page", type=pathlib.Path, required=True)
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("docs/images/report.png")
    )
    given = parser.parse_args()
    picture = take(given.page).quantize(_COLOURS)
    picture.save(given.output, optimize=True)
    print(f"Wrote {given.output}, {given.output.stat().st_size // 1024} kB.")


if __name__ == "__main__":
    main()
