"""The server: what it answers, what it refuses, and how an interrupted page goes on."""

import asyncio
import json
from contextlib import aclosing

import httpx
import pytest
from tests.report.helpers import deliver, fill, make_run, results

from evolvent.errors import SettingError
from evolvent.report.files import write
from evolvent.report.reading import FIELDS, Reader
from evolvent.report.server import application, is_own, news, serve


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    for name in ("first", "second"):
        fill(make_run(tmp_path / "all" / name), results(12))
    return tmp_path / "all"


def ask(app, path, **headers):
    """Answers to one request, as sent: the client does not tidy the path."""

    async def get():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport) as client:
            request = client.build_request("GET", "http://localhost/", headers=headers)
            request.url = request.url.copy_with(raw_path=path.encode())
            return await client.send(request)

    return asyncio.run(get())


async def told(reader, after, until):
    """Events of a stream as (id, data), until one satisfies `until`."""
    found = []
    async with aclosing(news(reader, after)) as stream:
        async for text in stream:
            lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            if "data" in lines:
                found.append((int(lines["id"]), json.loads(lines["data"])))
                if until(found):
                    return found
    raise AssertionError("the stream ended")


def rows_of(events):
    return {
        row[0]: dict(zip(FIELDS, row, strict=True)) for _, data in events for row in data["rows"]
    }


def test_a_folder_is_a_list_and_a_run_is_a_page(folder):
    app = application(folder)
    assert "href='/first/'" in ask(app, "/").text
    page = ask(app, "/first/")
    assert page.status_code == 200 and '"live":true' in page.text
    assert ask(app, "/first").headers["location"] == "/first/"
    assert '"live":true' in ask(application(folder / "first"), "/").text


def test_details_come_on_demand(folder):
    found = ask(application(folder), "/first/details/3").json()
    assert found["id"] == 3 and found["drawing"]["nodes"]
    assert ask(application(folder), "/first/details/99").status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "localhost.evil.example"])
def test_another_host_name_is_refused(folder, host):
    app = application(folder, hosts={"localhost", "127.0.0.1"})
    answer = ask(app, "/", host=host)
    assert answer.status_code == 421 and "first" not in answer.text
    assert ask(app, "/", host="127.0.0.1:8765").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/",
        "/..%2fsecret.txt/",
        "/first/../../secret.txt",
        "/%2e%2e%2fall%2ffirst/",
        "/first/details/../../x",
        "//etc/passwd",
        "/first%00/",
    ],
)
def test_no_path_leads_out_of_the_folder(folder, path):
    answer = ask(application(folder), path)
    assert answer.status_code in (404, 307) and "secret" not in answer.text
    assert "secret" not in answer.headers.get("location", "")


def test_a_token_is_needed_once_and_then_kept_by_a_cookie(folder):
    app = application(folder, hosts=None, token="s3cret")
    assert ask(app, "/").status_code == ask(app, "/?token=wrong").status_code == 403
    assert ask(app, "/first/events").status_code == 403
    opened = ask(app, "/?token=s3cret")
    assert opened.status_code == 303 and opened.headers["location"] == "/"
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    assert ask(app, "/", cookie=cookie.split(";")[0]).status_code == 200


def test_it_is_read_only(folder):
    app = application(folder)

    async def post():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
            return await client.post("http://localhost/first/details/3")

    assert asyncio.run(post()).status_code == 405


def test_a_stream_brings_what_there_is_and_then_what_comes(folder):
    fresh = list(results(15))[12:]

    async def look():
        reader = Reader(folder / "first")
        before = await told(reader, 0, lambda found: len(found) == 1)
        reader = Reader(folder / "first")
        stream = asyncio.create_task(told(reader, before[-1][0], lambda f: len(rows_of(f)) == 3))
        await asyncio.sleep(0.01)
        await asyncio.to_thread(fill, folder / "first", fresh)
        return before, await stream

    before, after = asyncio.run(look())
    assert list(rows_of(before)) == list(range(12)) and before[0][0] == 24
    assert list(rows_of(after)) == [12, 13, 14] and after[-1][0] == 30
    assert all(row["status"] != "running" for row in rows_of(after).values())


def test_a_page_that_comes_back_loses_nothing_and_doubles_nothing(folder):
    async def cut(after):
        return await told(Reader(folder / "first"), after, lambda found: True)

    whole = rows_of(asyncio.run(cut(0)))
    for last in range(24):
        events = asyncio.run(cut(last))
        ids = [row[0] for _, data in events for row in data["rows"]]
        assert len(ids) == len(set(ids))
        assert rows_of(events).items() <= whole.items()
        known = {id for id, row in whole.items() if 2 * id + 2 <= last}  # asked and told by then
        assert known | set(rows_of(events)) == set(whole)


def test_the_state_is_news_and_the_clock_alone_is_not(folder):
    async def look():
        reader = Reader(folder / "first")
        stream = asyncio.create_task(told(reader, 24, lambda found: len(found) == 2))
        await asyncio.sleep(0.01)
        fill(folder / "first", [])  # writes phases and state as they are
        await asyncio.sleep(0.01)
        deliver(folder / "first", 3)
        return await stream

    first, second = asyncio.run(look())
    assert first[1]["state"]["state"] == "searching"
    assert second[1]["state"]["state"] == "done" and second[1]["rows"] == []


def test_only_addresses_of_this_machine_are_its_own():
    assert is_own("127.0.0.1") and is_own("::1") and is_own("localhost") and is_own("127.9.9.9")
    assert not is_own("0.0.0.0") and not is_own("192.168.0.2") and not is_own("example.org")


def test_a_port_in_use_is_refused_with_what_to_do(folder):
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SettingError, match="--port"),
    ):
        serve(folder, port=taken.getsockname()[1])


def test_a_page_of_a_live_run_is_not_the_file(folder):
    assert "chunks" in write(folder / "first").read_text()
    assert (
        "chunks"
        not in ask(application(folder), "/first/").text.split('id="data"')[1].split("<script>")[0]
    )
