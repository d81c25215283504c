"""predict.py as a user runs it, but for the seconds in which a fresh interpreter imports torch."""

import subprocess
from pathlib import Path
from typing import Any

from evolvent.deliver.export import ALONE
from evolvent.execute import warm

#: runs in a copy of a process that has imported torch
PROGRAM = f"""{ALONE}
import contextlib, io, os, runpy, traceback
def main(program, words, folder):
    sys.argv = [program, *words]
    os.chdir(folder)
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as ended:
            code = ended.code or 0
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
        except BaseException:
            traceback.print_exc()
            code = 1
    out.flush()
    err.flush()
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()
"""


def predict(folder: Path, *words: Any) -> "subprocess.CompletedProcess[str]":
    """What the ``predict.py`` of a folder prints and says, with its exit code.

    Args:
        folder: of a delivered network; the program runs in the folder above it.
        words: of the command line.
    """
    program, said = str(folder / "predict.py"), tuple(map(str, words))
    code, out, err = warm.alone(PROGRAM, (program, said, str(folder.parent)), patience=120)
    return subprocess.CompletedProcess([program, *said], code, out, err)
