"""Make the pictures of the documentation from real searches.

    python benchmarks/screenshots.py --run RUN --cells RUN --comparison FOLDER --out docs/images

`--run` is shown as people first see it, in light, dark and on a phone; `--cells` for the drawing of its
winner beside the parent; `--comparison` for the page of `evolvent compare --out`. Needs Chromium.
"""

import argparse
import shutil
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

from evolvent.report.files import write

LAPTOP = ViewportSize(width=1280, height=960)
PHONE = ViewportSize(width=390, height=844)
Shot = tuple[str, str, ViewportSize, Literal["light", "dark"], str | None]
SHOTS: tuple[Shot, ...] = (
    ("page", "run", LAPTOP, "light", None),
    ("page-dark", "run", LAPTOP, "dark", None),
    ("page-phone", "run", PHONE, "light", None),
    ("drawing", "cells", LAPTOP, "light", "#architecture"),
    ("comparison", "comparison", LAPTOP, "light", None),
)
COLOURS = 256  # of a picture: the page has few, and a file of few is small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "cells", "comparison", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pages = {name: write(getattr(given, name)).as_uri() for name in ("run", "cells", "comparison")}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, page, size, scheme, part in SHOTS:
            context = browser.new_context(viewport=size, color_scheme=scheme)
            window = context.new_page()
            window.goto(pages[page])
            window.wait_for_selector(part or ("svg.ev-figure, .pictures svg"))
            window.wait_for_timeout(500)
            file = given.out / f"{name}.png"
            (window.locator(part) if part else window).screenshot(path=file)
            Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)
            print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
