"""A network as data: `build` makes a module of it, `export` prints it as plain PyTorch.

Every family of spaces describes its networks as a `Plan`, so that training, counting, export and
drawing are written once. A plan is a list of blocks; a block is a class, its calls the lines of its
``forward``. The last block is the network itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

Value = int | float | str | bool

#: Calls without parameters that are written as functions. Everything else is a module: an operation
#: of `operations.py`, or a block of the same plan.
FUNCTIONS = (
    *("add", "concat", "zeros", "flatten", "pool", "pool_max"),
    *("mean", "mean_of_softmax", "mean_of_sigmoid", "mean_of_views"),
)


@dataclass(frozen=True)
class Call:
    """One line of a forward: ``out = op(inputs)``.

    Args:
        out: the variable that it sets; also the attribute, and so the prefix of its parameters'
            names. Families derive it from the identifiers of genes, never from a running number.
        op: an operation of `operations.MODULES`, one of `FUNCTIONS`, or the name of a block.
        inputs: variables it reads.
        args: constructor arguments by name; the name of a parameter of the block stands for its value.
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
        shapes: of input and output of the forward, for that reader; "" is those of most networks.
        passes: methods of the module that sets the output, which the network has as well.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    calls: tuple[Call, ...]
    params: tuple[str, ...] = ()
    doc: str = ""
    shapes: str = ""
    passes: tuple[str, ...] = ()

    def pruned(self, *, inputs: bool = True) -> Block:
        """Return the block with only the calls and parameters that its output depends on.

        Args:
            inputs: whether unused arguments of the forward are removed too.
        """
        needed, kept = {self.output}, []
        for call in reversed(self.calls):
            if call.out in needed:
                needed |= set(call.inputs)
                kept.append(call)
        named = {value for call in kept for _, value in call.args}
        return replace(
            self,
            calls=tuple(reversed(kept)),
            inputs=tuple(name for name in self.inputs if name in needed or not inputs),
            params=tuple(param for param in self.params if param in named),
        )

    def _fitting(self, pruned: dict[str, tuple[Block, Block]]) -> Block:
        """Return the block; its calls pass only arguments that the pruned blocks still take."""

        def fitted(call: Call) -> Call:
            if call.op not in pruned:
                return call
            before, after = pruned[call.op]
            pairs = zip(before.inputs, call.inputs, strict=True)
            return replace(
                call,
                inputs=tuple(value for name, value in pairs if name in after.inputs),
                args=tuple(arg for arg in call.args if arg[0] in after.params),
            )

        return replace(self, calls=tuple(fitted(call) for call in self.calls))


@dataclass(frozen=True)
class Plan:
    """The blocks of a network, the network itself last; unused blocks and calls are left out.

    A cell that reads only one of its two inputs may leave a whole cell before it without a reader:
    that one is left out too, so that neither time nor parameters are spent on it.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        pruned: dict[str, tuple[Block, Block]] = {}
        for block in self.blocks:  # a block calls earlier ones only
            fitting = block._fitting(pruned).pruned(inputs=block is not self.blocks[-1])
            pruned[block.name] = (block, fitting)
        used: list[Block] = []
        for _, block in reversed(pruned.values()):
            called = {call.op for user in used for call in user.calls}
            if not used or block.name in called:
                used.insert(0, block)
        object.__setattr__(self, "blocks", tuple(used))

    @property
    def network(self) -> Block:
        """The block that is the network."""
        return self.blocks[-1]

    @property
    def any_size(self) -> bool:
        """Whether images of any size fit: nothing is flattened or dense before the global pooling."""
        before = []
        for line in self.network.calls:
            if line.op in ("pool", "pool_max"):
                break
            before.append(line.op)
        else:
            return False
        inner = [line.op for block in self.blocks[:-1] for line in block.calls]
        return not {"flatten", "Linear"} & {*before, *inner}

    @property
    def views(self) -> int:
        """Views of every input whose outputs are averaged in eval mode. [count]"""
        for line in self.network.calls:
            if line.op == "Views":
                args = dict(line.args)
                return (1 + int(args["shifts"])) * (1 + int(args["mirrored"]))
        return 1

    def block(self, name: str) -> Block | None:
        """Return the block of that name, or None if it is an operation."""
        return next((block for block in self.blocks if block.name == name), None)


def with_max_head(calls: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the lines of a block; global poolings take the maximum in place of the mean."""
    return tuple(
        replace(line, op="pool_max") if getattr(line, "op", None) == "pool" else line
        for line in calls
    )


def with_views(plan: Plan, count: int, *, mirrored: bool) -> Plan:
    """Return the plan of a network for images that looks at several views of each in eval mode.

    The logits are averaged, not the probabilities: the output stays what the loss and users expect,
    and a quantity is treated as a class is.

    Args:
        plan: of a network whose outputs are [B, outputs].
        count: of views, an even one with mirrored images: 1 is off.
        mirrored: whether every second view is a mirrored one.
    """
    if count == 1:
        return plan
    network = plan.network
    shifts, (x,) = count // (1 + mirrored) - 1, network.inputs
    calls = [call("views", "Views", x, shifts=shifts, mirrored=mirrored)]
    for line in network.calls:
        inputs = tuple("views" if name == x else name for name in line.inputs)
        calls.append(replace(line, inputs=inputs))
    calls.append(call("mean", "mean_of_views", network.output, x))
    changed = replace(network, calls=tuple(calls), output="mean")
    return replace(plan, blocks=(*plan.blocks[:-1], changed))


def with_temperature(plan: Plan, value: float) -> Plan:
    """Return the plan of a network whose outputs, logits [B, outputs], are divided by a number."""
    if value == 1.0:
        return plan
    network = plan.network
    last = call("calibrated", "Temperature", network.output, value=value)
    changed = replace(network, calls=(*network.calls, last), output="calibrated")
    return replace(plan, blocks=(*plan.blocks[:-1], changed))


@dataclass(frozen=True)
class Term:
    """One summand of a `Mix`: an operation on a state, times an entry of the mixture.

    Args:
        group: of the mixture.
        row: in its group.
        column: in its group.
        out: the attribute that holds the operation.
        op: an operation of `operations.MODULES`; ``identity``; or ``none``, which adds nothing.
        source: the variable it reads.
        args: constructor arguments, as of a `Call`.
    """

    group: str
    row: int
    column: int
    out: str
    op: str
    source: str
    args: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Mix:
    """A line of a block in which all operations of a space stand side by side: a weighted sum.

    Args:
        out: the variable that it sets.
        terms: the summands.
        like: a variable of as many channels; an empty sum is zeros of its size.
        stride: by which the sum is smaller than `like`. [pixels]
    """

    out: str
    terms: tuple[Term, ...]
    like: str
    stride: int = 1


@dataclass(frozen=True)
class MixedCall(Call):
    """A call of a module that takes the mixture itself, as a recurrent cell does in every step.

    Its `op` is one of `shared.recurrent.MIXED`.
    """


@dataclass(frozen=True)
class MixedBlock:
    """A block of a supernet: its lines are calls and mixes, and it is never pruned.

    Its calls have one more function: ``loose`` concatenates those of its inputs that no term of
    the block reads under the present mixture.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    lines: tuple[Call | Mix, ...]

    @staticmethod
    def of(block: Block) -> MixedBlock:
        """Return a block in which nothing is mixed."""
        return MixedBlock(block.name, block.inputs, block.output, block.calls)


def windowed(calls: list[Call], data: Any, vocabulary: int) -> str:
    """Return the variable of a text's tokens, of which a network reads a fixed number.

    Texts of any length (``any_length`` of the data) are cut or padded by a first call.
    """
    if not getattr(data, "any_length", False):
        return "x"
    length = data.input_shape[0]
    calls.append(
        call("window", "TokenWindow", "x", length=length, vocabulary=vocabulary, fixed=True)
    )
    return "window"


def link_of_several(data: Any) -> str:
    """Return the link of the outputs for several targets, as `Facts.link`; mostly ``""``.

    Args:
        data: the shapes of inputs and outputs: a task, its facts, or ``input_shape`` and ``outputs``.
    """
    link = getattr(data, "link", "")
    return link if data.outputs > 1 and link != "softmax" else ""


def call(out: str, op: str, *inputs: str, **args: Value) -> Call:
    """Return a `Call`, written in one line."""
    return Call(out, op, inputs, tuple(args.items()))
