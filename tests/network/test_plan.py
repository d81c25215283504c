"""Networks as data: what is not used is left out."""

from evolvent.network.plan import Block, Call, Plan, call


def block(name, inputs, output, *calls, params=()):
    return Block(name, inputs, output, calls, params)


def outs(of):
    return [each.out for each in of.calls]


def test_a_call_is_written_in_one_line():
    assert call("y", "ConvBN", "x", c_in=3, kernel=1) == Call(
        "y", "ConvBN", ("x",), (("c_in", 3), ("kernel", 1))
    )


def test_what_the_output_does_not_depend_on_is_left_out():
    made = block(
        "B",
        ("x",),
        "out",
        call("a", "ReLU", "x"),
        call("dead", "ReLU", "a"),
        call("deader", "ReLU", "dead"),
        call("b", "ReLU", "a"),
        call("out", "add", "a", "b"),
    ).pruned()
    assert outs(made) == ["a", "b", "out"]


def test_parameters_and_inputs_that_nothing_names_are_left_out():
    made = block(
        "B",
        ("x", "unread"),
        "y",
        call("y", "ConvBN", "x", c_in="c", c_out="c"),
        call("z", "ConvBN", "unread", c_in="d", c_out="e"),
        params=("c", "d", "e"),
    ).pruned()
    assert (made.inputs, made.params) == (("x",), ("c",))


def test_pruning_twice_changes_nothing_more():
    made = block("B", ("x",), "y", call("z", "ReLU", "x"), call("y", "ReLU", "x")).pruned()
    assert made.pruned() == made


READS_ONE = block(
    "Inner",
    ("before_last", "last"),
    "y",
    call("y", "ConvBN", "before_last", c_in="c_before_last", c_out="c"),
    call("z", "ConvBN", "last", c_in="c_last", c_out="c"),
    params=("c_before_last", "c_last", "c"),
)


def test_calls_of_a_pruned_block_pass_only_what_it_still_takes():
    network = block(
        "Network",
        ("x",),
        "inner",
        call("inner", "Inner", "x", "x", c_before_last=1, c_last=2, c=3),
    )
    inner, outer = Plan((READS_ONE, network)).blocks
    assert (inner.inputs, inner.params) == (("before_last",), ("c_before_last", "c"))
    assert outer.calls == (call("inner", "Inner", "x", c_before_last=1, c=3),)


def test_a_whole_cell_that_no_later_cell_reads_is_left_out():
    network = block(
        "Network",
        ("x",),
        "third",
        call("first", "Inner", "x", "x", c_before_last=1, c_last=1, c=1),
        call("second", "Inner", "x", "first", c_before_last=1, c_last=1, c=1),
        call("third", "Inner", "first", "second", c_before_last=1, c_last=1, c=1),
    )
    assert outs(Plan((READS_ONE, network)).network) == ["first", "third"]


def test_a_block_that_is_never_called_is_left_out():
    unused = block("Unused", ("x",), "y", call("y", "Deep", "x"))
    deep = block("Deep", ("x",), "y", call("y", "ReLU", "x"))
    network = block("Network", ("x",), "y", call("y", "ReLU", "x"))
    assert [each.name for each in Plan((deep, unused, network)).blocks] == ["Network"]
    calling = block("Network", ("x",), "y", call("y", "Unused", "x"))
    kept = Plan((deep, unused, calling)).blocks
    assert [each.name for each in kept] == ["Deep", "Unused", "Network"]


def test_the_network_keeps_its_input():
    network = block("Network", ("x", "state"), "y", call("y", "ReLU", "x"))
    assert Plan((network,)).network.inputs == ("x", "state")


def test_blocks_are_found_by_name():
    plan = Plan((READS_ONE, block("Network", ("x",), "y", call("y", "Inner", "x", "x"))))
    assert plan.block("Inner") is plan.blocks[0]
    assert plan.block("ConvBN") is None
    assert plan.network is plan.blocks[-1]


def test_equal_plans_are_equal_values():
    network = block("Network", ("x",), "y", call("y", "ReLU", "x"))
    assert Plan((network,)) == Plan((network,))
    assert hash(Plan((network,))) == hash(Plan((network,)))
