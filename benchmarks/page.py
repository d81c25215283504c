"""How large and how fast the page of a long search is, in a real browser.

    python benchmarks/page.py --candidates 20000

Makes a run of evolved cells with training curves, some of them failed, without training anything;
prints the time to write its page, the size of the file, and in Chromium the time to the first paint,
to the dots, and from a click to the drawing of the chosen candidate beside its parent (medians).
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.report.helpers import deliver, fill, make_run, results

from evolvent.report.files import write

CLICK = """async (id) => {
  const begin = performance.now();
  ev.app.select(id);
  while (ev.app.panel.drawn !== id) await new Promise(requestAnimationFrame);
  return performance.now() - begin;
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def measure(count: int, folder: Path, clicks: int = 20) -> dict[str, float]:
    """Return what `main` prints, for a run of `count` candidates made in `folder`."""
    run = make_run(folder / "run")
    fill(run, results(count, curve=50))
    deliver(run, next(c.id for c, r in reversed(list(results(min(count, 500)))) if r.ok))
    begin = time.perf_counter()
    file = write(run)
    told: dict[str, float] = {"candidates": count, "write [s]": time.perf_counter() - begin}
    told["file [MB]"] = file.stat().st_size / 1e6
    paints, dots, times = [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(3):
            window = browser.new_page(viewport={"width": 1280, "height": 900})
            window.goto(file.as_uri())
            window.wait_for_selector(".pictures svg")
            paints.append(window.evaluate(PAINT))
            dots.append(window.evaluate("performance.getEntriesByName('dots')[0].startTime"))
        for place in range(clicks):
            times.append(window.evaluate(CLICK, (place * 7919 + 31) % count))
        browser.close()
    told |= {
        "first paint [ms]": statistics.median(paints),
        "dots [ms]": statistics.median(dots),
        "click [ms]": statistics.median(times),
        "slowest click [ms]": max(times),
    }
    return {name: round(value, 2) for name, value in told.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=20_000)
    count = parser.parse_args().candidates
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(count, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
