"""From a request to settings, in one call."""

from evolvent.config.pacing import settle
from evolvent.config.resolve import Request, choose


def chosen(task, **request):
    return choose(Request("toy", **request), task)


def settled(task, workers=1, **request):
    asked = Request("toy", **request)
    return settle(choose(asked, task), asked, task, workers)
