"""How well zero-cost proxies rank the cells of NAS-Bench-201, and what they cost.

    python benchmarks/zero_cost.py [--cells 300] [--images FILE.npz] [--out runs/zero_cost.jsonl]

Random cells at the benchmark's own size (5 cells per stage, width 16), fresh weights, one batch of 64
images of CIFAR-10; Spearman's correlation with the test accuracy after 200 epochs. One thread. Cells
that are done are kept in --out, one line each, so that a second call goes on where the first stopped.
The folder of `EVOLVENT_DATA` must hold the table and, without --images, the images.

`published` is NAS-Bench-201 CIFAR-10 of Abdelfattah et al. 2021 (2101.08134), all cells; nwot of Mellor
et al. 2021 (2006.04647); params and flops of later surveys.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from evolvent.estimator.zerocost import ZeroCost
from evolvent.network.build import Size, build
from evolvent.network.proxies import PROXIES, score
from evolvent.space.cell201 import Cell201, parse
from evolvent.task.named import load
from evolvent.task.tables import load_table
from evolvent.types import stream

SIZE = Size(cells=5, width=16, stages=3, stem_stride=1)
TRUTH = "cifar10_test_200ep"
PUBLISHED = {
    **{"params": 0.72, "flops": 0.72, "grad_norm": 0.58, "snip": 0.58, "grasp": 0.48},
    **{"fisher": 0.36, "synflow": 0.74, "jacob_cov": 0.73, "nwot": 0.77},
}


def measure(cells: list[str], images: Path, out: Path) -> dict[str, dict[str, list[float | None]]]:
    """Return cell -> proxy -> (value, seconds); a value is None where the proxy has none."""
    done = {}
    if out.exists():
        done = {
            row["cell"]: row["proxies"] for row in map(json.loads, out.read_text().splitlines())
        }
    out.parent.mkdir(parents=True, exist_ok=True)
    space, task = Cell201(), load(images)
    one = ZeroCost(space, task, size=SIZE)
    start = time.monotonic()
    with out.open("a") as lines:
        for index, cell in enumerate(cells):
            if cell in done:
                continue
            seed = stream(0, "zero cost", cell).getrandbits(31)
            net = build(space, parse(cell), task, SIZE, seed=seed)
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            row: dict[str, list[float | None]] = {}
            for proxy in PROXIES:
                began = time.perf_counter()
                value = score(proxy, net, one.x, one.y)
                finite = value if np.isfinite(value) else None
                row[proxy] = [finite, round(time.perf_counter() - began, 4)]
            done[cell] = row
            lines.write(json.dumps({"cell": cell, "proxies": row}) + "\n")
            lines.flush()
            if index % 20 == 19:
                print(f"{index + 1} cells, {time.monotonic() - start:.0f} s", flush=True)
    return {cell: done[cell] for cell in cells}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Rank cells of NAS-Bench-201 by zero-cost proxies."
    )
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/zero_cost.jsonl"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(os.environ.get("EVOLVENT_DATA", "."))
    images = given.images or folder / "cifar10" / "cifar10_lossless_5k.npz"
    table = load_table("nasbench201")
    archs = sorted(table.archs)
    stream(0, "zero cost", "cells").shuffle(archs)
    cells = archs[: given.cells]
    found = measure(cells, images, given.out)
    truth = table.columns[TRUTH][[table.index[cell] for cell in cells]]
    print(f"\n{len(cells)} random cells, truth {TRUTH}")
    print(
        f"{'proxy':<12} {'Spearman':>9} {'published':>10} {'seconds per cell':>17} {'without':>8}"
    )
    for proxy in PROXIES:
        values = [found[cell][proxy][0] for cell in cells]
        missing = sum(value is None for value in values)
        # a network without a value ranks below all others, as a failed candidate does
        ranked = np.array([-np.inf if value is None else value for value in values])
        rho = stats.spearmanr(stats.rankdata(ranked), truth).statistic
        seconds = np.mean([found[cell][proxy][1] for cell in cells])
        print(f"{proxy:<12} {rho:>9.3f} {PUBLISHED[proxy]:>10.2f} {seconds:>17.3f} {missing:>8}")


if __name__ == "__main__":
    main()
