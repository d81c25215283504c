"""A network as data: what `build` makes a module of, and what `export` prints as plain PyTorch.

Every family of spaces describes its networks as a `Plan`, and so gets training, counting, export and
drawing from one place. A plan is a list of blocks; a block is a class, its calls the lines of its
``forward``. The last block is the network itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

Value = int | float | str | bool

#: Calls without parameters that are written as functions. Everything else is a module: an operation
#: of `operations.py`, or a block of the same plan.
FUNCTIONS = ("add", "concat", "zeros", "flatten", "pool")


@dataclass(frozen=True)
class Call:
    """One line of a forward: ``out = op(inputs)``.

    Args:
        out: the variable that it sets; also the attribute, and so the prefix of its parameters'
            names. Families derive it from the identifiers of genes, never from a running number.
        op: an operation of `operations.MODULES`, one of `FUNCTIONS`, or the name of a block.
        inputs: variables it reads.
        args: constructor arguments by name; a text that is a parameter of the block stands for it.
    """

    out: str
    op: str
    inputs: tuple[str, ...]
    args: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Block:
    """One class: its constructor's parameters, its forward's inputs, calls and output.

    Args:
        name: the class's name.
        inputs: arguments of its forward.
        output: the variable it returns.
        calls: in an order in which every variable is set before it is read.
        params: names of the constructor's parameters.
        doc: one line for the reader of the exported source.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    calls: tuple[Call, ...]
    params: tuple[str, ...] = ()
    doc: str = ""

    def pruned(self) -> Block:
        """Return the block without what its output does not depend on: calls, then parameters."""
        needed, kept = {self.output}, []
        for call in reversed(self.calls):
            if call.out in needed:
                needed |= set(call.inputs)
                kept.append(call)
        named = {value for call in kept for _, value in call.args}
        params = tuple(param for param in self.params if param in named)
        return replace(self, calls=tuple(reversed(kept)), params=params)

    def _passing_only(self, accepted: dict[str, tuple[str, ...]]) -> Block:
        """Return the block with arguments to other blocks cut down to what those accept."""
        calls = tuple(
            replace(call, args=tuple(arg for arg in call.args if arg[0] in accepted[call.op]))
            if call.op in accepted
            else call
            for call in self.calls
        )
        return replace(self, calls=calls)


@dataclass(frozen=True)
class Plan:
    """The blocks of a network, the network itself last; whatever is not used is left out."""

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        blocks: list[Block] = []
        for block in self.blocks:  # a block calls earlier ones only
            accepted = {done.name: done.params for done in blocks}
            blocks.append(block._passing_only(accepted).pruned())
        object.__setattr__(self, "blocks", tuple(blocks))

    @property
    def network(self) -> Block:
        """The block that is the network."""
        return self.blocks[-1]

    def block(self, name: str) -> Block | None:
        """Return the block of that name, or None if it is an operation."""
        return next((block for block in self.blocks if block.name == name), None)


def call(out: str, op: str, *inputs: str, **args: Value) -> Call:
    """Return a `Call`, written in one line."""
    return Call(out, op, inputs, tuple(args.items()))
