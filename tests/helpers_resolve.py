"""From a request to settings, in one call."""

from evolvent.config.pacing import settle
from evolvent.config.request import Request
from evolvent.config.resolve import resolve


def resolved(task, **request):
    """Images: by the recipe of small cells, whose networks are quickly made, unless one is named."""
    if task.kind == "image":
        request.setdefault("recipe", "plain-cells")
    return resolve(Request("toy", **request), task)


def settled(task, workers=1, **request):
    return settle(resolved(task, **request), workers=workers)
