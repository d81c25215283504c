"""NEAT against its paper: what the tasks take, what its three ideas are worth, and how fast it is.

    PYTHONPATH=src python benchmarks/neat_paper.py xor --seeds 100
    PYTHONPATH=src python benchmarks/neat_paper.py double-pole --seeds 20
    PYTHONPATH=src python benchmarks/neat_paper.py double-pole-no-velocity --seeds 3
    PYTHONPATH=src python benchmarks/neat_paper.py ablations --seeds 20
    PYTHONPATH=src python benchmarks/neat_paper.py speed     (needs neat-python)

Strategy, space and evaluation are driven by hand, a generation at a time, without a store; only `speed`
has the loop and its store, whose share it tells apart. Seconds are processor seconds of one process, so
that a busy machine does not change them much.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evolvent.config.recipes import RECIPES
from evolvent.engine.evaluators import InMemory
from evolvent.engine.loop import Search
from evolvent.engine.store import Store
from evolvent.estimator.simulation import Simulation
from evolvent.execute.worker import Context, Spec
from evolvent.space.topology import Topology, hidden
from evolvent.strategy.neat import NEAT
from evolvent.task.control import load

PAPER = {
    "xor": "32 generations, 4,755 networks (sd 2,553), 2.35 hidden nodes, 7.48 connections",
    "double-pole": "24 generations, 3,600 networks",
    "double-pole-no-velocity": "33,184 networks, 286 of 625 starts (population 1,000)",
}
LARGE = RECIPES["neat-1000"].settings
POLES = {"power": 0.4}  # balancing wants finer weights than XOR
#: The paper's ablations on the poles with velocities: networks needed, share of failures.
ABLATIONS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "full": ("3,600, 0 %", {}, {}),
    "no mating": ("5,557, 0 %", {}, {"mutation_only": 1.0}),
    "random start": ("23,033, 5 %", {}, {"start": "random"}),
    "no speciation": ("25,600, 25 %", {}, {"threshold": math.inf}),
    "no growth": ("30,239, 80 %", {"add_node": 0.0, "add_connection": 0.0, "hidden": 10}, {}),
}
GENERATIONS = 20  # of the measurement of speed
NEAT_PYTHON = """
[NEAT]
fitness_criterion = max
fitness_threshold = 3.9
no_fitness_termination = True
pop_size = {population}
reset_on_extinction = False

[DefaultGenome]
activation_default = sigmoid
activation_mutate_rate = 0.0
activation_options = sigmoid
aggregation_default = sum
aggregation_mutate_rate = 0.0
aggregation_options = sum
bias_init_mean = 0.0
bias_init_stdev = 1.0
bias_max_value = 30.0
bias_min_value = -30.0
bias_mutate_power = 0.5
bias_mutate_rate = 0.7
bias_replace_rate = 0.1
compatibility_disjoint_coefficient = 1.0
compatibility_weight_coefficient = 0.5
conn_add_prob = 0.5
conn_delete_prob = 0.5
enabled_default = True
enabled_mutate_rate = 0.01
feed_forward = True
initial_connection = full_direct
node_add_prob = 0.2
node_delete_prob = 0.2
num_hidden = 0
num_inputs = 2
num_outputs = 1
response_init_mean = 1.0
response_init_stdev = 0.0
response_max_value = 30.0
response_min_value = -30.0
response_mutate_power = 0.0
response_mutate_rate = 0.0
response_replace_rate = 0.0
weight_init_mean = 0.0
weight_init_stdev = 1.0
weight_max_value = 30.0
weight_min_value = -30.0
weight_mutate_power = 0.5
weight_mutate_rate = 0.8
weight_replace_rate = 0.1

[DefaultSpeciesSet]
compatibility_threshold = 3.0

[DefaultStagnation]
species_fitness_func = max
max_stagnation = 20
species_elitism = 2

[DefaultReproduction]
elitism = 2
survival_threshold = 0.2
"""


@dataclass(frozen=True)
class Outcome:
    """One search: how long it took, and what solved the task if anything did."""

    generations: int
    networks: int
    seconds: float
    arch: Any = None


def search(
    name: str,
    seed: int,
    generations: int,
    space: Any = None,
    strategy: Any = None,
    *,
    to_the_end: bool = False,
) -> Outcome:
    task = load(name)
    genomes = Topology.of(task.facts, **(space or {}))
    estimator = Simulation(genomes, task)
    neat = NEAT(genomes, seed=seed, **({"population": 150} | (strategy or {})))
    start = time.process_time()
    for generation in range(1, generations + 1):
        asked = [each for _ in range(neat.size) if (each := neat.ask()) is not None]
        results = [told.result for told in estimator.evaluate_many([(each, {}) for each in asked])]
        best = max(results, key=lambda result: result.value)
        for result in [] if to_the_end else [best, *results]:
            solved = estimator.solved(result)
            if solved is None and result is best:  # the champion of the generation, as in the paper
                solved = estimator.confirmed(result)
            if solved:
                passed = time.process_time() - start
                return Outcome(generation, neat.asked, passed, result.candidate.arch)
        for result in results:
            neat.tell(result)
    return Outcome(generations, neat.asked, time.process_time() - start)


def row(label: str, outcomes: list[Outcome], paper: str) -> str:
    solved = [each for each in outcomes if each.arch is not None]
    networks = [each.networks for each in outcomes]
    spread = statistics.stdev(networks) if len(networks) > 1 else 0.0
    nodes = [len(hidden(each.arch)) for each in solved]
    genes = [sum(gene[3] for gene in each.arch) for each in solved]
    cells = (
        label,
        f"{len(solved)} of {len(outcomes)}",
        f"{statistics.mean(each.generations for each in outcomes):.1f}",
        f"{statistics.mean(networks):,.0f} (sd {spread:,.0f}, worst {max(networks):,})",
        f"{statistics.mean(nodes):.2f}, {statistics.mean(genes):.2f}" if solved else "-",
        f"{statistics.mean(each.seconds for each in outcomes):.2f}",
        paper,
    )
    return f"| {' | '.join(cells)} |"


HEAD = """\
| | solved | generations | networks | hidden nodes, connections | seconds | paper |
| --- | --- | --: | --: | --: | --: | --- |"""


def searches(one: Callable[[int], Outcome], seeds: int, processes: int) -> Iterator[Outcome]:
    """Yield the outcomes of seeds 0, 1, ... in their order, some of them at a time."""
    if processes == 1:
        yield from map(one, range(seeds))
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(one, range(seeds))


def solve(name: str, options: argparse.Namespace, own: dict[str, Any]) -> None:
    large = name == "double-pole-no-velocity"
    base, strategy = (LARGE["space"], LARGE["strategy"]) if large else ({}, {})
    space = {**({} if name == "xor" else POLES), **base, **own}
    one = partial(search, name, generations=options.generations, space=space, strategy=strategy)
    outcomes = []
    for seed, last in enumerate(searches(one, options.seeds, options.processes)):
        outcomes.append(last)
        solved = "solved" if last.arch is not None else "not solved"
        print(seed, solved, last.generations, last.networks, f"{last.seconds:.1f} s", flush=True)
    print(HEAD)
    print(row(name, outcomes, PAPER[name]), flush=True)
    task = load(name)
    found = [each for each in outcomes if each.arch is not None]
    if task.tests and found:
        estimator = Simulation(Topology.of(task.facts), task)
        scores = [round(625 * estimator.test(each.arch)) for each in found]
        print(f"other starts balanced, of 625: mean {statistics.mean(scores):.0f}, {scores}")


def ablations(options: argparse.Namespace, own: dict[str, Any]) -> None:
    print(HEAD)
    for label, (paper, space, strategy) in ABLATIONS.items():
        if options.cases and label not in options.cases:
            continue
        settings: dict[str, Any] = {"space": {**POLES, **space, **own}, "strategy": strategy}
        one = partial(search, "double-pole", generations=options.generations, **settings)
        outcomes = list(searches(one, options.seeds, options.processes))
        print(row(label, outcomes, paper), flush=True)


def ours(population: int) -> tuple[float, float]:
    """Return seconds per generation: without a store, and of a whole search with its loop and store."""
    bare = search("xor", 0, GENERATIONS, {}, {"population": population}, to_the_end=True)
    task = load("xor")
    genomes = Topology.of(task.facts)
    estimator, neat = Simulation(genomes, task), NEAT(genomes, population=population, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "run.db", write=True)
        context = Context(Spec(task, "topology", "simulation"), genomes, estimator)
        start = time.process_time()
        evaluator = InMemory(context, slots=population)
        Search(evaluator, trials=GENERATIONS * population).run(neat, store)
        whole = time.process_time() - start
        store.close()
    return bare.seconds / GENERATIONS, whole / GENERATIONS


def theirs(population: int) -> float:
    """Return neat-python's seconds per generation, with the settings of its XOR example."""
    import neat

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "xor.ini"
        file.write_text(NEAT_PYTHON.format(population=population))
        parts = neat.DefaultGenome, neat.DefaultReproduction, neat.DefaultSpeciesSet
        config = neat.Config(*parts, neat.DefaultStagnation, str(file))

    def evaluate(genomes: Any, config: Any) -> None:
        for _, genome in genomes:
            net = neat.nn.FeedForwardNetwork.create(genome, config)
            genome.fitness = 4.0
            for x, y in zip(((0, 0), (0, 1), (1, 0), (1, 1)), (0, 1, 1, 0), strict=True):
                genome.fitness -= (net.activate(x)[0] - y) ** 2

    population_ = neat.Population(config, seed=0)
    start = time.process_time()
    population_.run(evaluate, GENERATIONS)
    return (time.process_time() - start) / GENERATIONS


def speed(rounds: int) -> None:
    """Milliseconds of this processor per generation of XOR, in turn, the best of some rounds."""
    print("| members | strategy and evaluation | with loop and durable store | neat-python |")
    print("| --: | --: | --: | --: |")
    for population in (150, 1000):
        turns = [(*ours(population), theirs(population)) for _ in range(rounds)]
        row = (f"{1000 * min(values):.1f} ms" for values in zip(*turns, strict=True))
        print(f"| {population} | {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*PAPER, "ablations", "speed"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--power", type=float, help="of the changes of weights")
    parser.add_argument("--processes", type=int, default=1, help="searches at a time")
    parser.add_argument("--cases", nargs="*", help="of the ablations")
    parser.add_argument("--rounds", type=int, default=3, help="of the measurement of speed")
    options = parser.parse_args()
    own = {} if options.power is None else {"power": options.power}
    if options.what == "speed":
        speed(options.rounds)
    elif options.what == "ablations":
        ablations(options, own)
    else:
        solve(options.what, options, own)


if __name__ == "__main__":
    main()
