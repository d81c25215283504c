"""What a run says of itself: rows of candidates, and the card of the delivered network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..config.parts import make_space, make_spec, network_settings
from ..engine import alarms as motion
from ..engine.store import Event, Store
from ..engine.weights import Weights
from ..errors import RunError
from ..estimator import tested
from ..files import new_folder, write_atomically
from ..network.build import plan, weights
from ..network.cost import cost
from ..ranking import rank
from ..task import AnyTask, NetworkTask, Task, for_networks
from ..types import Candidate, Result
from . import export
from . import front as candidates
from .onnx import Conversion

#: kind of task -> how the delivered network is called
INPUTS = {
    "image": "net(model.preprocess(images))     # images [B, H, W, C] as in the data",
    "numbers": "net(numbers)                      # [B, inputs], as reading.json says",
    "text": "net(tokens)                       # [B, length], as reading.json says",
}


def rows(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Yield every candidate of a log as plain values, in the order of asking."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, Candidate):
            found[event.id] = {
                "id": event.id,
                "kind": event.kind,
                "parent": event.parents[0] if event.parents else None,
                "parents": list(event.parents),
                "operator": event.operator,
                "budget": event.budget.epochs,
                "status": "running",
                "score": None,
                "params": None,
                "flops": None,
                "seconds": None,
                "reason": "",
                "arch": event.arch,
            }
        else:
            found[event.candidate.id] |= _told(event)
    yield from found.values()


def _told(result: Result) -> dict[str, Any]:
    return {
        "status": result.status,
        "score": result.score,
        "params": result.params,
        "flops": result.flops,
        "seconds": round(result.seconds, 4),
        "reason": result.reason,
        "seed": result.seed,
        "threads": result.threads,
    }


def write(
    folder: Path,
    config: Mapping[str, Any],
    task: Task,
    store: Store,
    outcome: Mapping[str, Any],
    patience: float | None = None,
) -> dict[str, Any]:
    """Export the winner of a run with its card; the card comes last, so it stands for the whole.

    Args:
        folder: of the run.
        config: resolved settings.
        task: its data.
        store: its log.
        outcome: of the delivery.
        patience: how long ONNX may take; None is as long as it needs. [s]
    """
    space = make_space(config, task)
    made = plan(space, outcome["arch"], task, network_settings(config, "train")["size"])
    state = Weights(folder / "weights").read("winner")
    title = f"The network that {config['recipe']} found for {Path(task.name).name}."
    provenance = (
        f"Validation {task.metric} {outcome['val_score']:.4f}, "
        f"{outcome['winner']['params']:,} parameters, {outcome['winner']['epochs']:g} epochs."
    )
    best = folder / "best"
    proof = export.export(
        best,
        plan=made,
        state=state,
        task=task,
        title=title,
        provenance=provenance,
        **_asked(config),
        patience=patience,
    )
    card = _card(config, task, store, outcome) | motion.of_card(config, store)
    card |= candidates.of_card(config, task, store.results())
    card |= {"flops": cost(made, task).flops} | proof
    write_atomically(best / "card.md", text(card))
    write_atomically(best / "card.json", json.dumps(card, indent=1))
    return card


def write_as_is(
    folder: Path,
    config: Mapping[str, Any],
    task: AnyTask,
    store: Store,
    patience: float | None = None,
) -> dict[str, Any]:
    """Write the card of a search whose winner is not trained any more.

    That is a row of a table, where there is no network to export and test is one look-up, or a network
    whose weights are in its genes. What solved the task wins, else the best.
    """
    results = store.results()
    scored = [result for result in results if result.scored]
    if not scored:
        raise RunError("no candidate of the search has a score: `evolvent show` lists the reasons")
    solved = store.meta("solved")
    best = max(scored, key=lambda result: (result.candidate.id == solved, rank(result)))
    estimator = make_spec(config, task, config["seed"])().estimator
    test = known.test(best.candidate.arch) if (known := tested(estimator)) else None
    card = {
        "task": config["request"]["task"],
        "recipe": config["recipe"],
        "arch": best.candidate.arch,
        "candidate": best.candidate.id,
        "params": best.params,
        "flops": best.flops,
        "val_score": best.score,
        "test_score": test,
        "metric": task.metric,
        "trials": sum(result.counts for result in results),
        "seed": config["seed"],
        "search_seconds": round(store.spent("search"), 2),
        "charged_seconds": round(sum(r.seconds for r in scored), 2),
        "looked_up": "network" not in estimator.gives,
        "data": config["data"],
        "versions": config["versions"],
    }
    card |= candidates.of_card(config, task, results)
    (folder / "best").mkdir(exist_ok=True)
    if "goal" in estimator.gives:
        card["solved"] = solved is not None
    if "network" in estimator.gives:
        card |= _export_as_is(
            folder / "best", config, for_networks(task), best, card["trials"], patience
        )
    write_atomically(folder / "best" / "card.md", text(card))
    write_atomically(folder / "best" / "card.json", json.dumps(card, indent=1))
    return card


def _export_as_is(
    folder: Path,
    config: Mapping[str, Any],
    task: NetworkTask,
    best: Result,
    trials: int,
    patience: float | None,
) -> dict[str, Any]:
    """Export the network of a result with the weights that its architecture carries."""
    space, arch = make_space(config, task), best.candidate.arch
    made = plan(space, arch, task, network_settings(config, "train")["size"])
    proof = export.export(
        folder,
        **_asked(config),
        patience=patience,
        plan=made,
        state=weights(space, arch),
        task=task,
        title=f"The network that {config['recipe']} found for {task.name}.",
        provenance=f"{task.metric} {best.value:.4f}, candidate {best.candidate.id} of {trials}.",
    )
    return {
        "flops": cost(made, task).flops,
        "train_seconds": 0.0,
        "input_shape": list(task.input_shape),
        "metrics": dict(best.metrics),
    } | proof


def _card(
    config: Mapping[str, Any], task: Task, store: Store, outcome: Mapping[str, Any]
) -> dict[str, Any]:
    winner, metric = outcome["winner"], task.metric
    controls = {
        name: {
            "test_score": numbers["test"][metric] if numbers["test"] else None,
            "params": numbers["params"],
            "train_seconds": numbers["train_seconds"],
            "train_epochs": numbers["epochs"],
            "cut": numbers["cut"],
        }
        for name, numbers in outcome["controls"].items()
    }
    if "random" in controls:
        controls["random"] |= {
            "best_of_first_random": outcome["random_control"]["best_of_first_random"]
        }
    return {
        "task": config["request"]["task"],
        "recipe": config["recipe"],
        "arch": outcome["arch"],
        "candidate": outcome["id"],
        "params": winner["params"],
        "val_score": outcome["val_score"],
        "test_score": winner["test"][metric] if winner["test"] else None,
        "test_metrics": winner["test"],
        "metric": metric,
        "search_score": outcome["search_score"],
        "trials": sum(result.counts for result in store.results()),
        "seed": config["seed"],
        "search_seconds": round(store.spent("search"), 2),
        "train_seconds": winner["train_seconds"],
        "train_epochs": winner["epochs"],
        "total_epochs": winner["total_epochs"],
        "train_examples": winner["examples"],
        "cut": winner["cut"],
        "random_is_the_winner": bool(
            outcome["random_control"] and outcome["random_control"]["is_the_winner"]
        ),
        "finalists": outcome["finalists"],
        "controls": controls,
        "classes": list(task.classes),
        "input_shape": list(task.input_shape),
        "data": config["data"],
        "versions": config["versions"],
    }


def text(card: Mapping[str, Any]) -> str:
    """Return the card as a page."""
    return _text(card) + motion.page(card) + candidates.page(card)


def _text(card: Mapping[str, Any]) -> str:
    metric = card["metric"]

    def shown(score: float | None) -> str:
        return "no test data" if score is None else f"{score:.4f}"

    if "solved" in card:
        return _text_as_is(
            card, "none" if card["test_score"] is None else shown(card["test_score"])
        )
    if card.get("looked_up"):
        return (
            f"# The best of {card['task']}\n\n`{card['arch']}`, found by `{card['recipe']}` in "
            f"{card['trials']} trials (seed {card['seed']}): validation {card['val_score']:.4f}, test "
            f"{shown(card['test_score'])}. Looked up, not trained: there is no network to export.\n"
        )
    lines = [
        f"# A network for {Path(card['task']).name}",
        "",
        f"Found by `{card['recipe']}` in {card['search_seconds']:.0f} s of search ({card['trials']} "
        f"trials, seed {card['seed']}), trained {card['train_epochs']:.3g} epochs on "
        f"{card['train_examples']:,} examples in {card['train_seconds']:.0f} s{_before(card)}.",
        "",
        f"| network | parameters | test {metric} |",
        "| --- | --: | --: |",
        f"| **the winner** (validation {card['val_score']:.4f}) | {card['params']:,} "
        f"| {shown(card['test_score'])} |",
    ]
    lines += [
        f"| control: {_control(name, control, card)} | {control['params']:,} "
        f"| {shown(control['test_score'])} |"
        for name, control in card["controls"].items()
    ]
    if card["random_is_the_winner"]:
        lines += ["", "The winner is itself the best of the first random candidates."]
    if found := card.get("data", {}).get("identified"):
        lines += ["", f"The target was read as {found['kind']}: {found['reason']}."]
    lines += [
        "",
        "Validation chose the winner; test was read once, after the final training, for the networks "
        f"of this table. All were trained by the same recipe.{_in_its_unit(card)}",
        "",
        "```python",
        "import model                      # model.py of this folder; needs torch only",
        "net = model.load('.')",
        INPUTS[_kind(card)],
        "```",
        "",
        "`python predict.py FILE...` reads raw files, prepares them by `reading.json`, and prints what "
        "the network says.",
        "",
        f"FLOPs per input: {card['flops']:,}.{_proof(card)}{_onnx(card)}",
        "",
    ]
    return "\n".join(lines)


def _text_as_is(card: Mapping[str, Any], test: str) -> str:
    """Return the card of a network that was delivered as it was found."""
    metrics = ", ".join(f"{name} {value:.6g}" for name, value in card["metrics"].items())
    return "\n".join(
        [
            f"# A network for {card['task']}",
            "",
            f"Found by `{card['recipe']}` in {card['search_seconds']:.1f} s of search "
            f"({card['trials']} trials, seed {card['seed']}): "
            f"{'it solves the task' if card['solved'] else 'the task is not solved'}.",
            "",
            "| network | connections | score | test |",
            "| --- | --: | --: | --: |",
            f"| candidate {card['candidate']}, as it was found ({metrics}) | {card['params']:,} "
            f"| {card['val_score']:.4f} | {test} |",
            "",
            "Its weights are genes: nothing was trained. "
            + (
                "Test is the share of other starts from which it does what it should; no strategy "
                "saw them."
                if card["test_score"] is not None
                else "There is no test: the search scored every case that there is."
            ),
            "",
            "```python",
            "import model                      # model.py of this folder; needs torch only",
            "net = model.load('.')",
            f"net(observations)                 # {card['input_shape']} numbers each",
            "```",
            "",
            f"FLOPs per input: {card['flops']:,}.{_proof(card)}{_onnx(card)}",
            "",
        ]
    )


def _asked(config: Mapping[str, Any]) -> dict[str, bool]:
    """Return what the user wants to have with the network."""
    return {name: config["train"].get(name, True) for name in ("onnx", "proof")}


def _proof(card: Mapping[str, Any]) -> str:
    """Return how far the exported network is from the trained one, in a sentence."""
    if card["parity_max_abs_diff"] is None:
        return ""
    return (
        " Largest difference between this folder's network, run without evolvent, and the one in "
        f"memory: {card['parity_max_abs_diff']:.1e}."
    )


def _onnx(card: Mapping[str, Any]) -> str:
    """Return what there is to say of ``model.onnx``, in a sentence."""
    if card.get("onnx_max_abs_diff") is not None:
        return f" model.onnx, run by onnxruntime, differs by {card['onnx_max_abs_diff']:.1e}."
    note = card.get("onnx_note")
    return f" model.onnx was {note}." if note else ""


def _kind(card: Mapping[str, Any]) -> str:
    """Return the kind of task; older cards did not note it."""
    return str(card.get("data", {}).get("kind", "image"))


def _in_its_unit(card: Mapping[str, Any]) -> str:
    """Return the errors of a predicted quantity, in a sentence."""
    told = card.get("test_metrics") or {}
    if "rmse" not in told:
        return ""
    return f" The winner's errors on test: rmse {told['rmse']:.4g}, mae {told['mae']:.4g}."


def _control(name: str, control: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    if name == "random":
        first = control["best_of_first_random"]
        return f"best of the first {first} random candidates" if first > 1 else "a random candidate"
    if name == "retrained":
        return "the winner's architecture, trained from scratch"
    what = "dense" if _kind(card) == "numbers" else "convolutional"
    return f"a plain {what} network, made by hand"


def _before(card: Mapping[str, Any]) -> str:
    inherited = card["total_epochs"] - card["train_epochs"]
    return (
        f", on top of {inherited:.3g} that its weights had been trained before" if inherited else ""
    )


def copy(best: Path, to: Path, *, onnx: bool = False) -> dict[str, Any]:
    """Copy a delivered network to a folder of its own and return its card.

    Args:
        best: the folder of the run's network.
        to: a new or empty folder.
        onnx: whether to write ``model.onnx`` there, if the run has none.

    Raises:
        RunError: if `to` is not a new or empty folder.
    """
    new_folder(to)
    for file in sorted(best.iterdir()):
        if file.is_file():  # loading model.py here leaves a folder of Python's beside it
            shutil.copyfile(file, to / file.name)
    card: dict[str, Any] = json.loads((to / "card.json").read_text())
    if onnx and not (to / "model.onnx").is_file():
        card |= Conversion(to).result()
        write_atomically(to / "card.json", json.dumps(card, indent=1))
    return card
