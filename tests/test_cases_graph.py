"""Public trouble with graphs: values used twice, long chains, shared buffers, graphs that stay alive (G01 to G04)."""
import gc
import sys
import time
import weakref

import numpy as np
import pytest

from minimoe import Tensor, no_grad, op_cases, ops
from minimoe.autograd import Node


def leaf(values, dtype="float64"):
    return Tensor(np.array(values, dtype), requires_grad=True)


def test_g01_a_value_used_twice_receives_its_whole_gradient_before_passing_it_on():
    """G01 (karpathy/micrograd#2): plain recursion pushes unfinished gradients on."""
    a, b = leaf(1.5), leaf(-2.0)
    u = (a * b).retain_grad()
    v = (u + a).retain_grad()
    y = u * v + v * v
    y.backward()
    assert [y.item(), v.grad, u.grad, a.grad, b.grad] == [6.75, -6, -7.5, 9, -11.25]


def test_g01_doubling_thirty_times_takes_thirty_steps_not_a_thousand_million():
    """G01 (karpathy/micrograd#64): one visit per path never ends."""
    first = s = leaf(1.0)
    start = time.perf_counter()
    for _ in range(30):
        s = s + s
    s.backward()
    assert time.perf_counter() - start < 1
    assert (s.item(), first.grad) == (2**30, 2**30)


@pytest.mark.parametrize("seed", range(5))
def test_g01_random_graphs_give_the_gradient_of_the_whole_expression(seed):
    """G01 (karpathy/micrograd#68): every pattern of reuse, against forward derivatives."""
    random = np.random.default_rng(seed)
    x = leaf(0.7)
    values, slopes = [x], [1.0]
    for _ in range(40):
        i, j = random.integers(0, len(values), 2)
        if random.random() < 0.5:
            values.append(values[i] + values[j] * 0.5)
            slopes.append(slopes[i] + slopes[j] * 0.5)
        else:
            values.append((values[i] * values[j]).tanh())
            slopes.append((slopes[i] * values[j].item() + values[i].item() * slopes[j]) * (1 - values[-1].item() ** 2))
    values[-1].backward()
    np.testing.assert_allclose(x.grad, slopes[-1], rtol=1e-10)


def test_g02_fifty_thousand_steps_need_no_deeper_recursion():
    """G02 (karpathy/micrograd#90): a recursive walk stops at about a thousand."""
    limit = sys.getrecursionlimit()
    first = x = leaf(0.25)
    for _ in range(50_000):
        x = x + 1
    assert x.item() == 50000.25
    x.backward()
    del x
    assert first.grad == 1 and sys.getrecursionlimit() == limit


def test_g02_letting_go_of_a_long_chain_that_was_never_walked_does_not_crash():
    """G02 (pytorch/pytorch#115506): freeing node by node by recursion overflows the stack."""
    x = leaf(0.25)
    for _ in range(50_000):
        x = x + 1
    alive = weakref.ref(x._node)
    del x
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("reverse", [False, True])
def test_g03_two_users_do_not_share_one_buffer(reverse):
    """G03 (Oneflow-Inc/oneflow#9497): an addition hands one array to both inputs."""
    x, y = leaf([1, 2]), leaf([10, 20])
    for passes in (1, 2):
        terms = [(x + y).sum(), (x * 5).sum()]
        first, second = reversed(terms) if reverse else terms
        (first + second).backward()
        assert x.grad.tolist() == [6 * passes] * 2 and y.grad.tolist() == [passes] * 2
    assert not np.shares_memory(x.grad, y.grad)


SPREADERS = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "stack": lambda x, y: ops.stack([x, y]).sum(axis=0),
             "concatenate": lambda x, y: ops.concatenate([x, y]), "broadcast": lambda x, y: x + y.reshape(2, 1)}


@pytest.mark.parametrize("name", SPREADERS)
def test_g03_operations_that_hand_one_array_on_twice(name):
    """G03 (pytorch/pytorch#119334): adding to one input's gradient must not change the other's."""
    x, y = leaf([1, 2]), leaf([10, 20])
    SPREADERS[name](x, y).sum().backward()
    before = y.grad.copy()
    (x * 5).sum().backward()
    assert y.grad.tolist() == before.tolist() and not np.shares_memory(x.grad, y.grad)


def test_g03_a_view_and_its_source():
    """G03 (Oneflow-Inc/oneflow#9497): the gradient seen at the view stays that of the view."""
    x = leaf([1, 2])
    r = x.reshape(2, 1).retain_grad()
    (r.sum() + x.sum()).backward()
    assert x.grad.tolist() == [2, 2] and r.grad.tolist() == [[1], [1]]


def test_g03_one_tensor_on_both_sides():
    """G03 (pytorch/pytorch#119334): w * w and x - x."""
    w, x = leaf([1, 2, 3]), leaf([1, 2])
    ((w * w).sum() + (x - x).sum()).backward()
    assert w.grad.tolist() == [2, 4, 6] and x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("function", [lambda x: x, lambda x: x + x, lambda x: x.reshape(2, 1).reshape(2),
                                      lambda x: x + 0])
def test_g03_the_callers_starting_gradient_stays_as_it_is(function):
    """G03 (Oneflow-Inc/oneflow#9497): also after later passes that add to the leaf."""
    x, start = leaf([1, 2]), np.array([3.0, 4.0])
    function(x).backward(start)
    (x * 10).sum().backward()
    assert start.tolist() == [3, 4]


def live_nodes() -> int:
    gc.collect()
    return sum(type(o) is Node for o in gc.get_objects())


def test_g04_a_running_total_of_losses_keeps_no_graph():
    """G04 (jostmey/NakedAttention#1): as many nodes after step 200 as after step 20."""
    w, total, counts = leaf([0.5, -0.5]), 0.0, {}
    for step in range(1, 201):
        loss = ((w * step).tanh() ** 2).sum()
        loss.backward()
        total += loss.item()
        if step in (20, 200):
            counts[step] = live_nodes()
    assert counts[200] == counts[20]


@pytest.mark.parametrize("case", op_cases.CASES, ids=str)
def test_g04_a_dropped_graph_is_freed_at_once_without_the_collector(case):
    """G04 (pytorch/pytorch#1840): a backward that closes over its own tensor would form a cycle."""
    inputs = [Tensor(a, requires_grad=a.dtype.kind == "f") for a in case.inputs(np.random.default_rng(1))]
    gc.disable()
    try:
        outputs = op_cases.apply(case, inputs)
        node = weakref.ref((outputs[0] if isinstance(outputs, tuple) else outputs)._node)
        assert node() is not None
        del outputs
        assert node() is None
    finally:
        gc.enable()


def test_g04_interior_arrays_die_with_the_loss_without_the_collector():
    """G04 (pytorch/pytorch#1840): device memory does not wait for a collection."""
    w = leaf(np.ones((3, 3)))
    gc.disable()
    try:
        hidden = (w @ w).tanh()
        interior = weakref.ref(hidden.data)
        loss = hidden.sum()
        del hidden
        assert interior() is not None                # the backward of tanh needs it
        del loss
        assert interior() is None
    finally:
        gc.enable()


def test_g04_a_walk_frees_the_graph_while_the_loss_is_still_held():
    """G04 (HEmile/storchastic#26): a loss kept for the log is one number."""
    w = leaf(np.ones((3, 3)))
    hidden = (w @ w).tanh()
    interior = weakref.ref(hidden.data)
    loss = hidden.sum()
    del hidden
    loss.backward()
    assert interior() is None and loss.item() > 0


def test_g04_evaluation_records_nothing():
    """G04 (jostmey/NakedAttention#1)."""
    w, before = leaf([0.5, -0.5]), live_nodes()
    with no_grad():
        kept = [(w * i).tanh().sum() for i in range(10)]
    assert live_nodes() == before and not any(y.requires_grad for y in kept)
