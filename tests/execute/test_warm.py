import os
import subprocess
import sys
import time

import pytest

from evolvent.execute import warm


def test_a_program_runs_with_its_arguments_and_answers():
    told = warm.alone("def main(a, b):\n    return {'sum': a + b}", (1, 2))
    assert told == {"sum": 3}


def test_it_has_torch_and_nothing_of_ours_nor_of_the_script():
    source = """
def main():
    import sys
    import torch
    ours = [name for name in sys.modules if name.partition(".")[0] in ("evolvent", "tests", "pytest")]
    return ours, torch.get_num_threads(), float(torch.ones(3, 3).mm(torch.ones(3, 3)).sum())
"""
    assert warm.alone(source, ()) == ([], 1, 27.0)


@pytest.mark.skipif(sys.platform != "linux", reason="the server is for Linux")
def test_it_keeps_memory_for_the_next_step_and_this_process_is_left_as_it_was():
    before = dict(os.environ)
    source = "import os\ndef main():\n    return os.environ['GLIBC_TUNABLES']"
    assert warm.alone(source, ()).startswith(warm.ALLOCATION)
    assert os.environ == before


def test_what_the_user_says_of_memory_comes_last(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    with warm.without_main():
        assert os.environ["GLIBC_TUNABLES"] == f"{warm.ALLOCATION}:glibc.malloc.hugetlb=0"
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=0"


def test_an_error_is_told():
    with pytest.raises(warm.Failed, match=r"^ValueError: no such thing$"):
        warm.alone("def main():\n    raise ValueError('no such thing')", ())


def test_the_end_of_its_process_is_told():
    with pytest.raises(warm.Failed, match="exit code 7"):
        warm.alone("def main():\n    import os\n    os._exit(7)", ())


def test_it_is_not_waited_for_longer_than_said():
    warm.alone("def main():\n    pass", ())  # the server runs
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        warm.alone("def main():\n    import time\n    time.sleep(60)", (), patience=0.2)
    assert time.monotonic() - start < 30


def test_the_environment_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    warm.begin()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="there is no server elsewhere")
def test_a_copy_starts_in_a_fraction_of_what_an_import_takes():
    warm.alone("def main():\n    pass", ())
    start = time.monotonic()
    warm.alone("def main():\n    import torch", ())
    copied = time.monotonic() - start
    start = time.monotonic()
    process = warm.context(fresh=True).Process(target=exec, args=("import torch",))
    with warm.without_main():
        process.start()
    process.join()
    assert copied < time.monotonic() - start


def test_whoever_reads_what_a_program_prints_need_not_wait_for_the_server():
    code = "from evolvent.execute import warm\nwarm.begin()\nprint(1)"
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    importing, start = time.monotonic() - start, time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
    assert time.monotonic() - start < importing
