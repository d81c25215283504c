"""The server of a coordinator: what it answers, what it refuses, and that nothing brings it down."""

import ast
import http.client
import importlib
import inspect
import json
import random
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from tests.helpers import ROOT
from tests.helpers_remote import TOKEN

from evolvent.comparison.play import play
from evolvent.config.pacing import settle
from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.errors import SettingError, UserError
from evolvent.estimator import Evaluation
from evolvent.execute import Cancelled, OutOfMemory
from evolvent.execute.packs import fit_pack
from evolvent.execute.remote import protocol
from evolvent.execute.remote.address import address
from evolvent.execute.remote.client import Client, Over, Unknown, Unwanted
from evolvent.execute.remote.coordinator import Served
from evolvent.execute.remote.leased import NAMED, VALUES
from evolvent.execute.remote.perform import perform
from evolvent.execute.remote.place import Serve
from evolvent.execute.remote.wire import pack, unpack
from evolvent.execute.worker import Job, Outcome, Spec, evaluate_many, fit
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.task.tables import load_table
from evolvent.types import Candidate, Result

ASKED: list[tuple[Candidate, dict[int, Any]]] = [(Candidate(7, (5,)), {})]


@contextmanager
def serving(toy, **more):
    served = Served(Spec(toy, "plain", "full"), port=0, token=TOKEN, **{"lease": 60.0} | more)
    try:
        yield served
    finally:
        served.shutdown()


@pytest.fixture(scope="module")
def served(toy):
    with serving(toy) as found:
        yield found
        for worker in list(found.leases._workers):  # who never beat would be waited for at the end
            found.leases.leave(worker, "the tests are over")


@pytest.fixture
def client(served):
    made = Client(served.url, TOKEN)
    yield made
    made.close()


def joined(client, **more):
    told = client.post("/join", {"name": "w", "slots": 1, **protocol.version(), **more}).json()
    return told["worker"]


def leased(client, worker):
    """The next call that waits, with the headers of its answer."""
    found = client.post("/lease", {"worker": worker})
    assert found.status == 200
    own = {name: found.headers[name] for name in (protocol.FENCE, protocol.DIGEST)}
    return found, {protocol.WORKER: worker, **own}


def answered(client, headers, value):
    return client.post("/answer", pack(value), headers).json()["taken"]


def result(id=7, **more):
    return [Evaluation(Result(Candidate(id, (9,)), 0.5, **more), {"w": np.ones(2, np.float32)})]


def test_a_call_travels_and_its_answer_comes_back(served, client):
    future = served.submit(evaluate_many, ASKED)
    worker = joined(client)
    found, headers = leased(client, worker)
    assert unpack(found.body) == ["evaluate_many", [ASKED]]
    assert found.headers[protocol.NAME] == "candidate 7"
    assert answered(client, headers, result())
    (evaluation,) = future.result(5)
    assert evaluation.result == Result(ASKED[0][0], 0.5), "the candidate is the one that was asked"
    assert np.array_equal(evaluation.state["w"], np.ones(2))
    assert not answered(client, headers, result()), "a second answer is late, and no error"


def test_a_training_travels_too(served, client):
    future = served.submit(fit, Job("x", (5,), Size(), Hyperparameters(), 1.0, seed=4))
    _, headers = leased(client, joined(client))
    assert answered(client, headers, Outcome({"seed": 4, "val": None}, {"w": np.ones(1)}))
    assert future.result(5).numbers == {"seed": 4, "val": None}


def test_several_trainings_at_once_travel_and_some_may_be_left_out(served, client):
    jobs = [Job(f"{seed}", (5,), Size(), Hyperparameters(), 1.0, seed=seed) for seed in (4, 5, 6)]
    future = served.submit(fit_pack, jobs)
    worker = joined(client)
    found, headers = leased(client, worker)
    assert unpack(found.body) == ["fit_pack", [jobs]]
    made = [Outcome({"seed": seed}, {"w": np.ones(1)}) for seed in (6, 4)]
    with pytest.raises(Unwanted, match="the outcome of another training"):
        answered(client, headers, [made[0], made[0]])
    _, headers = leased(client, worker)
    assert answered(client, headers, made)
    assert [each.numbers["seed"] for each in future.result(5)] == [6, 4]


def test_a_search_of_a_comparison_travels_as_plain_values(served, client):
    table = load_table("digits201")
    own: Any = {"space": "listed", "strategy": "random", "estimator": "table"}
    setup = settle(resolve(Request("table:digits201", budget="5t", **own), table), workers=1)
    told, seeds = setup.to_json(), [3, 8]
    future = served.submit(play, told, seeds)
    worker = joined(client)
    found, headers = leased(client, worker)
    assert found.headers[protocol.NAME] == "random, 2 searches"
    answer = unpack(perform(setup.spec(), found.body, 0.0))
    with pytest.raises(Unwanted, match="the traces of other searches"):
        answered(client, headers, answer[::-1])
    _, headers = leased(client, worker)
    assert answered(client, headers, answer)
    here = play(setup.spec(), told, seeds)
    for mine, theirs in zip(here, future.result(5), strict=True):
        assert replace(mine, seconds=0.0) == replace(theirs, seconds=0.0)
        assert len(theirs.val) == 5


def sent():
    """Functions for workers that the search and the delivery import: what they send."""
    found = set()
    for folder in ("engine", "deliver"):
        for file in sorted((ROOT / "src/evolvent" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("execute."):
                    module = importlib.import_module(f"evolvent.{node.module}")
                    found |= {getattr(module, each.name) for each in node.names}
    return {
        each
        for each in found
        if inspect.isfunction(each) and next(iter(inspect.signature(each).parameters)) == "context"
    }


def test_whatever_the_search_and_the_delivery_send_can_travel():
    assert {evaluate_many, fit, fit_pack} <= sent()
    assert sent() <= set(protocol.calls().values())
    assert protocol.calls().keys() == VALUES.keys() == NAMED.keys()


def test_a_failure_is_told_as_what_it_is(served, client):
    future = served.submit(evaluate_many, ASKED)
    _, headers = leased(client, joined(client))
    told = {"how": "memory", "reason": "no\nmore"}
    assert client.post("/failed", told, headers).json()["taken"]
    with pytest.raises(OutOfMemory, match="no"):
        future.result(5)


@pytest.mark.parametrize(
    "wrong",
    [
        result(8),
        [],
        result() * 2,
        5,
        result(metrics={"confusion": np.eye(2)}),
        result(weights="../../x"),
        result(status="good"),
        result(seconds="long"),
        Outcome({}, {}),
        [Evaluation(Result(Candidate(7), 0.5), cast(Any, {"w": 3}))],
    ],
)
def test_an_answer_that_is_none_is_refused_and_the_call_issued_again(served, client, wrong):
    future = served.submit(evaluate_many, ASKED)
    worker = joined(client)
    _, headers = leased(client, worker)
    with pytest.raises(Unwanted):
        answered(client, headers, wrong)
    _, headers = leased(client, worker)
    assert answered(client, headers, result())
    assert future.result(5)[0].result.score == 0.5


def test_only_calls_that_workers_know_are_sent(served):
    with pytest.raises(TypeError, match="cannot be sent: one of evaluate_many, fit, fit_pack"):
        served.submit(len, [1])
    with pytest.raises(TypeError, match=r"a builtins\.object cannot be sent"):
        served.submit(evaluate_many, [(Candidate(1, object()), {})])


def test_a_worker_of_another_version_is_refused_with_a_line(client):
    for name, value in (("evolvent", "0.1.0"), ("code", "0" * 16), ("protocol", 99)):
        with pytest.raises(
            UserError, match=r"refused: this worker is evolvent .* install the same"
        ):
            joined(client, **{name: value})


def test_without_the_token_nothing_is_answered(served):
    for token in ("another token", "", TOKEN + "x"):
        other = Client(served.url, token)
        for path in ("/join", "/spec", "/lease", "/answer", "/leave", "/beat", "/failed"):
            with pytest.raises(UserError, match="the token is not that of this coordinator"):
                other.post(path, {})


def raw(served, text):
    """The first line of the answer to some bytes."""
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), 5) as wire:
        wire.sendall(text)
        return wire.recv(1000).split(b"\r\n")[0]


def head(path, more, token=TOKEN):
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n\r\n"
    ).encode()


def test_a_body_that_is_too_large_is_refused_before_it_is_read(served, client):
    huge = f"Content-Length: {1 << 40}"
    assert raw(served, head("/join", huge)).startswith(b"HTTP/1.1 413")
    assert raw(served, head("/join", huge, "wrong")).startswith(b"HTTP/1.1 401")
    future = served.submit(evaluate_many, ASKED)
    _, headers = leased(client, joined(client))
    more = "\r\n".join([f"{name}: {value}" for name, value in headers.items()] + [huge])
    assert raw(served, head("/answer", more)).startswith(b"HTTP/1.1 413")
    chunk = b"f0000\r\n" + b"x" * 0xF0000 + b"\r\n"
    endless = head("/join", "Transfer-Encoding: chunked") + 2 * chunk
    assert raw(served, endless).startswith(b"HTTP/1.1 413")
    assert answered(client, headers, result()), "its lease is as it was"
    assert future.result(5)


def test_unknown_paths_methods_and_workers_are_refused(served, client):
    assert raw(served, b"GET /spec HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 405")
    assert raw(served, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    for path in ("/nothing", "/data/../../etc/passwd", "/data/%2e%2e%2fetc"):
        with pytest.raises(Unknown):
            client.post(path)
    with pytest.raises(Unknown):
        client.post("/lease", {"worker": "nobody"})


def test_nonsense_of_every_kind_is_answered_with_a_refusal_and_disturbs_nobody(served, client):
    """Random bodies, headers and paths by somebody who has the token."""
    rng, statuses = random.Random(0), set()
    future = served.submit(evaluate_many, ASKED)
    worker = joined(client)
    _, headers = leased(client, worker)
    pieces = [b"{}", b"[" * 5000, b"null", b"\xff" * 40, b'{"worker": []}', pack(result(9)), b""]
    pieces += [json.dumps({"worker": worker, "held": held}).encode() for held in (5, {"a": 1}, {})]
    pieces += [json.dumps({"how": how, "reason": [how] * 9}).encode() for how in ("x", 3, None)]
    paths = ["/join", "/spec", "/beat", "/answer", "/failed", "/data/x"]
    names = [protocol.FENCE, protocol.WORKER, protocol.DIGEST, "Content-Type"]
    wire = http.client.HTTPConnection("127.0.0.1", int(served.url.rsplit(":", 1)[1]), timeout=10)
    for _ in range(150):
        body = bytearray(rng.choice(pieces))
        for _ in range(rng.choice([0, 0, 3]) if body else 0):
            body[rng.randrange(len(body))] = rng.randrange(256)
        own = {rng.choice(names): rng.choice(["", "x" * 300, worker]) for _ in range(2)}
        own["Authorization"] = f"Bearer {TOKEN}"
        wire.request("POST", rng.choice(paths), bytes(body), own)
        found = wire.getresponse()
        found.read()
        statuses.add(found.status)
    wire.close()
    assert statuses <= {200, 204, 400, 404, 409, 425}
    assert {200, 400, 404} <= statuses
    client.post("/beat", {"worker": worker, "held": {headers[protocol.FENCE]: ""}})
    assert answered(client, headers, result())
    assert future.result(5)


def test_at_the_end_workers_are_told(toy):
    with serving(toy, lease=1.0) as served:
        client = Client(served.url, TOKEN)
        worker = joined(client)
        future = served.submit(evaluate_many, ASKED)
        leased(client, worker)
        began = time.monotonic()
        served._routes.leases.end("the search has ended")
        with pytest.raises(Over, match="the search has ended"):
            client.post("/lease", {"worker": worker})
        served.shutdown()
        client.close()
    assert time.monotonic() - began < 30
    assert isinstance(future.exception(5), Cancelled)
    with pytest.raises(RuntimeError, match="shut down"):
        served.submit(evaluate_many, ASKED)


def test_an_address_in_use_is_said(served, toy):
    port = int(served.url.rsplit(":", 1)[1])
    with pytest.raises(SettingError, match=rf"--serve 127.0.0.1:{port} cannot be listened at"):
        Served(Spec(toy, "plain", "full"), port=port, token=TOKEN)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9000", ("127.0.0.1", 9000)),
        (":9000", ("127.0.0.1", 9000)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("node7", ("node7", protocol.PORT)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses(text, found):
    assert address(text) == found


@pytest.mark.parametrize("text", ["", ":", "a:b", "1:2:3", "host:99999", "http://x:1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(SettingError, match="give HOST:PORT"):
        Serve(text)


@pytest.mark.parametrize("token", ["short", "naïve naïve", "with\nnewline"])
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(SettingError, match="--token"):
        Serve("9000", token)


def test_the_token_of_a_run_is_kept_for_its_owner(tmp_path, toy):
    made = [
        Serve("127.0.0.1:0").executor(
            Spec(toy, "plain", "full"), folder=tmp_path, say=print, workers=None
        )
        for _ in range(2)
    ]
    tokens = set()
    for each in made:
        each.shutdown()
        assert isinstance(each, Served)
        tokens.add(each.command.rsplit(" ", 1)[1])
    assert len(tokens) == 1
    assert (tmp_path / "serve.token").stat().st_mode & 0o777 == 0o600


def test_over_tls_a_worker_trusts_the_certificate_that_it_was_given(tmp_path, toy):
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    try:
        subprocess.run([*words, "-keyout", key, "-out", pem], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl makes no certificate here")
    with serving(toy, host="localhost", certificate=(pem, key)) as served:
        assert served.url.startswith("https://localhost:")
        client = Client(served.url, TOKEN, pem)
        client.post("/leave", {"worker": joined(client), "reason": ""})
        client.close()
        other = Client(served.url, TOKEN)
        with pytest.raises(UserError, match="certificate is not trusted"):
            joined(other)
    with pytest.raises(SettingError, match="give two PEM files"):
        Served(Spec(toy, "plain", "full"), port=0, token=TOKEN, certificate=(key, pem))
