"""The HTML of a page: nothing from outside, nothing that a name could end."""

import base64
import hashlib
import json
import re

import pytest
from tests.report.helpers import HOSTILE

from evolvent.report.page import SCRIPTS, page


def parts(html, tag):
    return re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)


def policy(html):
    (found,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    return dict(rule.split(" ", 1) for rule in found.split("; "))


def sha(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@pytest.mark.parametrize("live", [False, True])
def test_the_policy_allows_its_own_script_and_style_and_nothing_else(live):
    html = page({"x": 1}, title="t", live=live)
    rules = policy(html)
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == sha(parts(html, "script")[1])
    assert rules["style-src"] == sha(parts(html, "style")[0])
    assert rules["connect-src"] == ("'self'" if live else "'none'")


def test_nothing_is_fetched_from_anywhere():
    html = page({}, title="t")
    assert not re.findall(r'(?:src|href)="(?!data:,)', html)
    outside = set(re.findall(r"https?://[^\s\"'`)]+", html))
    assert outside == {"http://www.w3.org/2000/svg"}
    assert (
        "@import" not in html and "@font-face" not in html and "url(" not in parts(html, "style")[0]
    )


def test_a_hostile_name_does_not_end_the_data():
    html = page({"name": HOSTILE, HOSTILE: [HOSTILE]}, title=HOSTILE)
    assert html.count("</script>") == 2
    data = parts(html, "script")[0]
    assert json.loads(data) == {"name": HOSTILE, HOSTILE: [HOSTILE]}
    assert "<" not in data and "\u202e" not in data
    assert "<img" not in html


def test_scripts_put_text_on_the_page_as_text():
    html = page({}, title="t")
    own = "".join(parts(html, "script")[1].split("const ev = {};")[1:])
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert way not in own
    assert "</script" not in parts(html, "script")[1]


def test_the_licence_of_what_is_not_ours_comes_along():
    from importlib.resources import files

    folder = files("evolvent.report") / "page"
    assert "Chris Pettitt" in (folder / "vendor" / "dagre.LICENSE").read_text()
    assert all((folder / name).is_file() for name in SCRIPTS)


def test_numbers_that_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        page({"x": float("nan")}, title="t")
