"""A Ray cluster of several nodes on this machine, as small as Ray allows."""

import contextlib
import os
import time

import psutil
import pytest
from tests.helpers_cli import environment

SMALLEST = 75 << 20  # [bytes] of an object store
MARK = "EVOLVENT_TESTS"  # in the environment of the processes that these tests begin


@contextlib.contextmanager
def surroundings(home):
    """An environment for Ray that sends nothing and writes no token; no process outlives it."""
    mark = f"{os.getpid()} {home}"
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "HOME": str(home)}
    quiet["RAY_worker_niceness"] = "0"  # else they wait for everything else on a busy machine
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(**quiet, **{MARK: mark}).items():
            patch.setenv(name, value)
        yield
    end = time.monotonic() + 30
    while (left := running(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left, "a process of Ray outlives the tests"


@contextlib.contextmanager
def cluster(home, *, nodes):
    """A cluster: a head without cores, and nodes of one core each; skips where it cannot be."""
    utils = pytest.importorskip("ray.cluster_utils", reason="ray is not installed")
    small = {"object_store_memory": SMALLEST, "include_dashboard": False}
    with surroundings(home):
        made = utils.Cluster()
        try:
            with skipping():
                made.add_node(num_cpus=0, **small)
                for _ in range(nodes):
                    made.add_node(num_cpus=1, **small)
            yield made
        finally:
            made.shutdown()


@contextlib.contextmanager
def skipping():
    """Skip where Ray cannot start: it fails in many ways."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        pytest.skip(f"Ray cannot start here: {' '.join(str(error).split())[:200]}")


def running(mark):
    """The processes that were begun in some surroundings, but for those that this one keeps warm."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if each.environ().get(MARK) == mark and each.ppid() != os.getpid():
                found.append(f"{each.name()} {each.pid}")
    return found
