"""One HTML file with everything in it: it opens offline and makes no request to any other site.

Its data are a JSON element, in which ``<`` is written as an escape, so that no name can end the
element; scripts put them on the page as text. The policy in the head allows the page's own script and
styles, by their hashes, and nothing from outside.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

SCRIPTS = (
    "vendor/dagre.min.js",
    "base.js",
    "model.js",
    "plot.js",
    "drawing.js",
    "candidate.js",
    "sections.js",
    "dots.js",
    "main.js",
)


def page(data: Any, *, title: str, body: str = "", live: bool = False) -> str:
    """Return a page as HTML.

    Args:
        data: of a run, for the scripts, as JSON; None if `body` is the whole page.
        title: of the window.
        body: HTML that needs no script.
        live: whether the page asks its server for news.
    """
    script, style = _joined(*SCRIPTS), _joined("style.css")
    parts = {
        "csp": _policy(script, style, live),
        "title": escape(title),
        "style": style,
        "body": body or "<p>This page needs a browser that runs scripts.</p>",
        "data": _inert(data),
        "script": script,
    }
    template = _joined("index.html")
    for name, text in parts.items():
        head, mark, tail = template.partition("{{" + name + "}}")
        parts[name], template = head + text, tail
        assert mark, name
    return "".join(parts.values()) + template


def _policy(script: str, style: str, live: bool) -> str:
    asks = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        f"img-src data:; connect-src {asks}; base-uri 'none'; form-action 'none'"
    )


def _inert(data: Any) -> str:
    """Return JSON that cannot end the HTML element around it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _joined(*names: str) -> str:
    folder = files(__package__) / "page"
    return "\n".join((folder / name).read_text(encoding="utf-8").strip() for name in names)
