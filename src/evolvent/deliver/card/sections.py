"""The page of a card.

The page is made of sections. A section is a function from the card to its lines; it returns none where
the card has nothing for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...task.copies import TOLD as COPIES
from ...task.labels import UNEVEN_TOLD
from ...task.own_split import TOLD as SPLIT
from . import averaged, baselines, held_out, ngrams
from .baselines import of_a_share
from .falling import fall_of
from .gain import gain_of
from .several import by_target
from .table import said, table, what_is_counted
from .values import Card

#: kind of data -> how the network is called
CALLS = {
    "image": "net(model.preprocess(images))     # images [B, H, W, C] as in the data",
    "numbers": "net(numbers)                      # [B, inputs], as reading.json says",
    "text": "net(tokens)                       # [B, length], as reading.json says",
    "language": "net(tokens)                       # [B, T]; net.step(tokens, state) one at a time",
    "series": "net(series)                       # [B, channels, time], as reading.json says",
    "control": "net(observations)                 # {shape} numbers each",
}
#: kinds of data whose raw files predict.py reads
READ = ("image", "numbers", "text", "series", "language")

GENES = "Its weights are genes: nothing was trained. "
STARTS = (
    "Test is the share of other starts from which it does what it should; no strategy saw them."
)
NO_STARTS = "There is no test: the search scored every case that there is."
AS_SEARCHED = (
    "These are the weights of the search; test was not read. `evolvent train` trains the candidate "
    "fully and reads test once."
)
JUDGED = (
    " The controls were trained on the training part alone, equally long in seconds: the row of the "
    "winner that was trained as long is the one to compare them with."
)


JUDGED_ALONE = (
    " The controls made by hand were trained on the training part alone, as long in seconds as the "
    "winner when it was chosen."
)


def page(card: Card) -> str:
    """Return the card as a page in Markdown."""
    sections = (
        _head,
        table,
        _sentences,
        _averaged,
        _ngrams,
        _interval,
        _importance,
        _usage,
        _size,
        _shared_weights,
        _front,
    )
    found = [lines for section in sections if (lines := section(card))]
    return "\n\n".join("\n".join(lines) for lines in found) + "\n"


def remarks(card: Card) -> str:
    """Return the sentences about the winner beside its controls, without markup."""
    told = [sentence for make in (_chance, _gain, _basis) if (sentence := make(card))]
    return " ".join(told).replace("`", "")


# ---- head ----------------------------------------------------------------------------------------


def _head(card: Card) -> list[str]:
    what = {"table": "The best", "candidate": f"Candidate {card.candidate}"}
    title = f"{what.get(card.delivery, 'A network')} for {Path(card.task).name}"
    first = [f"**{card.verdict}**", ""] if card.verdict else []
    return [f"# {title}", "", *first, f"{_search(card)}{_training(card)}."]


def _search(card: Card) -> str:
    """Return the recipe, length and seed of the search."""
    if card.run is not None:
        on = said(" on {}", card.found_on and Path(card.found_on).name)
        there = said(" (validation {:.4f} there)", card.search_score) if on else ""
        return f"Candidate {card.candidate} of `{card.run}`, found by `{card.recipe}`{on}{there}"
    seconds = said(" in {} of search", _seconds(card.search_seconds))
    facts = [said("{} trials", card.trials), said("seed {}", card.seed)]
    return f"Found by `{card.recipe}`{seconds}" + said(
        " ({})", ", ".join(filter(None, facts)) or None
    )


def _training(card: Card) -> str:
    """Return the training that gave the weights."""
    match card.delivery:
        case "genes":
            return f": {'it solves the task' if card.solved else 'the task is not solved'}"
        case "table":
            return said(": `{}`", card.arch)
        case "candidate":
            return said(", trained {:.3g} epochs by the search", card.total_epochs or None)
        case "winner":
            return _length(card)
        case "training":
            threads = said(" with {} threads", card.threads).replace(" 1 threads", " 1 thread")
            memory = said(", at most {:.0f} MiB of memory", card.peak_mib)
            fresh = f" from fresh weights (seed {card.seed})"
            return f"{_length(card)}{fresh}{threads}{memory}{_helps(card)}"


def _length(card: Card) -> str:
    epochs = said(", trained {:.3g} epochs", card.train_epochs)
    if card.train_epochs == 0:
        epochs = ", found in closed form"
    examples = said(" on {:,} examples", card.train_examples)
    seconds = said(" in {}", _seconds(card.train_seconds))
    inherited = (card.total_epochs or 0) - (card.train_epochs or 0)
    before = f", on top of {inherited:.3g} that its weights had been trained before"
    return epochs + examples + seconds + (before if inherited > 0 else "")


def _helps(card: Card) -> str:
    """Return the training-only modules, drop-path and auxiliary head."""
    helps = {"drop-path": "drop_path", "auxiliary": "auxiliary"}
    given = {name: (card.size or {}).get(key) for name, key in helps.items()}
    return "".join(f", {name} {value:g}" for name, value in given.items() if value)


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


# ---- sentences -----------------------------------------------------------------------------------


def _sentences(card: Card) -> list[str]:
    told = [
        sentence
        for make in (_chance, _gain, _reading, _split, _uneven, _basis, _fall)
        if (sentence := make(card))
    ]
    return "\n\n".join(told).splitlines()


def _chance(card: Card) -> str:
    if not card.random_is_the_winner:
        return ""
    return "The winner is itself the best of the first random candidates."


def _gain(card: Card) -> str:
    """Return the gain of the search over the best hand-made network that it began with."""
    if card.known_is_the_winner:
        return (
            f"The winner is `{card.known}`, a hand-made network that the search began with: nothing "
            "that it made was better on validation."
        )
    found = gain_of(card)
    if found is None:
        return ""
    gain, error = found
    verdict = "more than chance explains" if abs(gain) > 2 * error else "within chance"
    known, cost = card.controls["known"], said(" for {} of search", _seconds(card.search_seconds))
    return (
        f"Beside `{card.known}`, the best hand-made network that it began with, the search gained "
        f"{gain:+.4f} test {card.metric} (standard error {error:.4f}: {verdict}), both trained for "
        f"{known.train_seconds:.0f} s{cost}."
    )


def _reading(card: Card) -> str:
    """Return the kind of the target, if it was inferred."""
    found = card.data.get("identified")
    return f"The target was read as {found['kind']}: {found['reason']}." if found else ""


def _split(card: Card) -> str:
    """Return the user's own split, and the copies across any split."""
    told = [line for line in card.data.get("notes", ()) if line.startswith((SPLIT, COPIES))]
    return "\n\n".join(f"{line[:1].upper()}{line[1:]}." for line in told)


def _uneven(card: Card) -> str:
    """Return the imbalance of the classes, against which an accuracy is to be read."""
    told = [line for line in card.data.get("notes", ()) if line.startswith(UNEVEN_TOLD)]
    return f"{told[0][:1].upper()}{told[0][1:]}." if told else ""


def _basis(card: Card) -> str:
    """Return the data that the scores rest on."""
    tested = card.test_score is not None
    match card.delivery:
        case "winner":
            return _basis_of_winner(card)
        case "genes":
            return GENES + (STARTS if tested else NO_STARTS)
        case "table":
            return f"Looked up, not trained: there is no network to export.{_earlier(card)}"
        case "candidate":
            return f"{GENES}Here test was not read." if card.genes else AS_SEARCHED
        case "training":
            read = (
                "Test was read once, after the training." if tested else "There are no test data."
            )
            return f"{read}{_errors(card)} `card.json` has every setting."


def _basis_of_winner(card: Card) -> str:
    if card.kept:
        return _basis_of_kept(card)
    read = f"test was read {_times(card)} final training, for the networks of this table"
    if card.judged_briefly or card.judged_alone:
        read = "test was read once for each network of this table"
    if card.test_score is None:
        read = "there are no test data"
    alike = _alike(card) + baselines.told(card.baselines)
    return f"Validation chose the winner; {read}.{alike}{_earlier(card)}{_errors(card)}"


def _alike(card: Card) -> str:
    """Return the sentence about how the controls were trained beside the winner."""
    if card.judged_briefly:
        return JUDGED
    if card.judged_alone:
        return JUDGED_ALONE
    if not card.controls:
        return ""
    what = "All networks" if card.baselines else "All"
    but = " but the one of the usual training" if "usual" in card.controls else ""
    return f" {what}{but} were trained by the same recipe."


def _times(card: Card) -> str:
    """Return the number of test readings in words; a run with more budget reads test again."""
    reads = card.test_reads or 1  # older cards did not note it
    if reads == 1:
        return "once, after the"
    return f"{reads} times, once for every stretch of the budget, the last time after the"


def _basis_of_kept(card: Card) -> str:
    """Return the data behind the scores of weights that are delivered as they were chosen."""
    text = f"The winner has the weights that validation chose it for: {card.kept}."
    if card.controls:
        of_finals = " The controls are of final trainings, on training and validation data."
        beside = card.judged_briefly or card.judged_alone
        text += _alike(card) if beside else of_finals
    text += baselines.told(card.baselines)
    read = (
        "Test was read once, for these."
        if card.test_score is not None
        else "There are no test data."
    )
    return f"{text} {read}{_errors(card)}"


def _fall(card: Card) -> str:
    """Return a warning where test is worse than validation by more than chance explains."""
    fall = fall_of(card)
    if fall is None:
        return ""
    what = "these weights" if card.one_training else "the network that was chosen"
    return (
        f"**Test {card.metric} is {card.test_score:.4f}, and validation {card.metric} of {what} was "
        f"{card.val_score:.4f}: a fall of {fall:.4f} that chance does not explain.** Test is what to "
        "expect of new data like these."
    )


def _earlier(card: Card) -> str:
    """Return the validation score where it is of other weights than the row's."""
    if card.one_training or card.val_score is None:
        return ""
    text = f" Validation {card.metric} was {card.val_score:.4f} when it was chosen"
    if card.looked_up:
        return text + said(", after {:.3g} epochs", card.search_epochs) + "."
    by = "" if card.finalists is None else ", as the search had trained it"  # None: an older card
    if card.finalists:
        by = ", trained on the training data alone"
    return f"{text}{by}; the final training had the validation data too."


def _errors(card: Card) -> str:
    """Return the errors of a predicted quantity, in its unit; of several targets those of each."""
    told = card.test_metrics or {}
    text = _uncertainty(card, told)
    if "perplexity" in told:
        text += (
            f" On test the perplexity is {told['perplexity']:.2f} ({told['bits']:.4f} bits per token); "
            "it can be compared with others of the same vocabulary only."
        )
    if several := by_target(told):
        return f"{text} {several}"
    if "rmse" not in told:
        return text
    what = "winner" if card.delivery == "winner" else "network"
    return f"{text} The {what}'s errors on test: rmse {told['rmse']:.4g}, mae {told['mae']:.4g}."


def _uncertainty(card: Card, told: Mapping[str, float]) -> str:
    """Return the standard error of the test score, and accuracies where another metric chose."""
    error = told.get("standard-error")
    if error is None and card.metric == "accuracy" and card.test_score and card.data.get("test"):
        error = of_a_share(card.test_score, int(card.data["test"]))
    text = said(
        f" The standard error of test {card.metric} is {{:.4f}}, over draws of as many rows.", error
    )
    if "balanced-accuracy" in told and "accuracy" in told:
        text += (
            f" Test accuracy is {told['accuracy']:.4f}, balanced accuracy (the mean of the recalls of "
            f"the classes) {told['balanced-accuracy']:.4f}."
        )
    return text


def _averaged(card: Card) -> list[str]:
    return averaged.lines(card.averaged, card.metric, card.params, card.flops)


def _ngrams(card: Card) -> list[str]:
    return ngrams.lines(card.ngrams, card.metric)


def _interval(card: Card) -> list[str]:
    return held_out.of_interval(card.interval)


def _importance(card: Card) -> list[str]:
    return held_out.of_importance(card.importance)


# ---- usage and size ------------------------------------------------------------------------------


def _usage(card: Card) -> list[str]:
    if card.looked_up:
        return []
    lines = [
        "```python",
        "import model                      # model.py of this folder; needs torch only",
        "net = model.load('.')",
        CALLS[card.kind].format(shape=list(card.input_shape or ())),
        "```",
    ]
    if card.kind in READ:
        lines += [
            "",
            "`python predict.py FILE...` reads raw files, prepares them by `reading.json`, and prints "
            "what the network says.",
        ]
    return lines + _views(card) + _temperature(card)


def _views(card: Card) -> list[str]:
    """Return the line about views of an image: their cost, and how to turn them off."""
    if (card.views or 1) == 1:
        return []
    chosen = " Validation chose without them." if card.delivery == "winner" else ""
    return [
        "",
        f"The network averages its outputs over {card.views} views of every image, mirrored or shifted "
        f"by a pixel, which takes {card.views} times as long as the image alone; "
        f"`model.load('.', views=False)` turns them off.{chosen}",
    ]


def _temperature(card: Card) -> list[str]:
    """Return the line about calibrated probabilities."""
    if card.temperature is None:
        return []
    return [
        "",
        f"Its outputs are divided by {card.temperature:g}, so that probabilities mean what they say: "
        "found on validation rows that it did not learn from. No class changes.",
    ]


def _size(card: Card) -> list[str]:
    cells = said("{} cells", card.cells) + said(" of width {}", card.width)
    params = said("{:,} " + what_is_counted(card), card.params)
    facts = [cells, params, said("{:,} FLOPs per input", card.flops)]
    if card.is_wider and card.size:
        facts.append(f"{card.size['widen']:g} times as wide as the candidates of the search")
    size = said("{}.", ", ".join(filter(None, facts)) or None)
    return [line] if (line := f"{size}{_proof(card)}{_onnx(card)}".strip()) else []


def _proof(card: Card) -> str:
    if card.parity_note:
        return f" The exported network was {card.parity_note}."
    return said(
        " Largest difference between this folder's network, run without evolvent, and the one in "
        "memory: {:.1e}.",
        card.parity_max_abs_diff,
    )


def _onnx(card: Card) -> str:
    if card.onnx_max_abs_diff is not None:
        return f" model.onnx, run by onnxruntime, differs by {card.onnx_max_abs_diff:.1e}."
    return f" model.onnx was {card.onnx_note}." if card.onnx_note else ""


# ---- the search ----------------------------------------------------------------------------------


NO_SEARCH = (
    "**This was not a search**: the architecture parameters ended where they began. A longer budget or "
    "a higher learning rate (strategy.lr) lets them move."
)
NOISE = (
    "**This was not a search**: the architecture parameters moved no further than gradients without a "
    "direction would have moved them. A longer budget lets the shared weights learn what tells "
    "operations apart."
)


def _shared_weights(card: Card) -> list[str]:
    shared = card.shared_weights
    if shared is None:
        return []
    lines = [
        f"The shared weights learnt from {shared.weight_steps:,} batches; architectures were judged "
        f"{shared.architecture_steps:,} times, {shared.gradients:,} times with a gradient."
    ]
    if shared.entropy_before is not None:
        lines[0] += (
            f" The entropy of the architecture went from {shared.entropy_before:.3f} to "
            f"{shared.entropy_after:.3f} (1 is undecided)."
        )
    if shared.entropy_of_noise is not None:
        mean, deviation = shared.entropy_of_noise
        lines[0] += (
            f" Gradients of the same sizes with random signs would have led to {mean:.3f} "
            f"({deviation:.3f})."
        )
    if shared.moved is False:
        lines += ["", NO_SEARCH if shared.entropy_of_noise is None else NOISE]
    return lines + [line for alarm in shared.alarms for line in ("", f"**{alarm}.**")]


def _front(card: Card) -> list[str]:
    if card.front is None:
        return []
    names = card.front.minimise
    lines = [
        f"## The front: {card.metric} against {', '.join(names)}",
        "",
        f"| candidate | validation {card.metric} | {' | '.join(names)} |",
        f"| --: | --: |{' --: |' * len(names)}",
    ]
    for point in card.front.points:
        values = " | ".join(_value(point[name]) for name in names)
        lines.append(f"| {point['id']} | {point['score']:.4f} | {values} |")
    return [*lines, "", _of_front(card, names)]


def _of_front(card: Card, names: tuple[str, ...]) -> str:
    text = (
        "No candidate of the search beats one of these in all columns; scores are the search's own."
    )
    if "latency_ms" in names:
        text += (
            " Latency is the median of a few passes on the machine and beside the processes of the "
            "search: it compares candidates roughly, and is no promise for another machine."
        )
    if not card.looked_up:
        text += (
            " `evolvent export RUN --candidate ID --to FOLDER` gives one as the search trained it, "
            "`evolvent train RUN --candidate ID --epochs E --out FOLDER` trains it fully."
        )
    return text


def _value(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
