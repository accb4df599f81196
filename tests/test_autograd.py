"""The engine: what is recorded, what a walk adds, and what it refuses."""
import gc
import inspect
import threading
import weakref

import numpy as np
import pytest

import minimoe
from minimoe import Tensor, no_grad, ops
from minimoe.autograd import grad_enabled


def leaf(*values, dtype="float64"):
    return Tensor(np.array(values, dtype), requires_grad=True)


def test_backward_adds_to_what_grad_holds():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    assert x.grad.tolist() == [7, 7]


def test_first_gradient_is_not_the_callers_array_and_later_sums_leave_it_alone():
    x, start = leaf(1.0, 2.0), np.array([1.0, 1.0])
    x.backward(start)
    x.backward(start)
    assert x.grad.tolist() == [2, 2] and start.tolist() == [1, 1]


def test_gradient_of_one_element_starts_at_one():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.tolist() == [6]


def test_upstream_gradient_may_be_a_tensor_of_another_float_dtype():
    x = leaf(1.0, 2.0, dtype="float32")
    (x * 2).backward(Tensor(np.array([1.0, 10.0])))
    assert x.grad.tolist() == [2, 20] and x.grad.dtype == np.float32


def test_backward_of_many_elements_needs_an_upstream_gradient():
    with pytest.raises(ValueError, match=r"shape \(2,\) needs grad="):
        (leaf(1.0, 2.0) * 2).backward()


@pytest.mark.parametrize("grad", [np.ones(3), np.ones((2, 1)), np.ones(())])
def test_upstream_gradient_must_have_the_tensors_shape(grad):
    with pytest.raises(ValueError, match=r"the tensor is \(2,\); they must be equal"):
        (leaf(1.0, 2.0) * 2).backward(grad)


def test_backward_without_any_leaf_that_asks_is_an_error():
    with pytest.raises(RuntimeError, match="nothing to do"):
        (Tensor([1.0]) * 2).backward()


def test_a_graph_is_walked_once():
    y = leaf(1.0) * 2
    y.backward()
    with pytest.raises(RuntimeError, match=r"walked before and is freed \(mul\)"):
        y.backward()


def test_a_second_walk_that_meets_a_freed_part_says_so():
    x = leaf(1.0)
    shared = x * 2
    (shared + 1).backward()
    with pytest.raises(RuntimeError, match="walked before"):
        (shared + 2).backward()


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.reshape(2, 1), lambda x: x.T, lambda x: x[:1],
                                  lambda x: ops.broadcast_to(x, (3, 2)), lambda x: ops.split(x, 2)[0],
                                  lambda x: ops.dropout(x, 0.0), lambda x: x.detach()])
def test_writing_a_leaf_after_its_view_was_used_is_noticed(view):
    x, w = leaf(1.0, 2.0), leaf(3.0)
    y = (view(x) * w).sum()
    with no_grad():
        x[0] = 5.0
    with pytest.raises(RuntimeError, match=r"input of .* was written in place"):
        y.backward()


def test_writing_a_tensor_whose_values_were_copied_does_no_harm():
    constant, w = Tensor(np.array([1.0, 2.0])), leaf(3.0, 4.0)
    y = (constant * 2 * w).sum()
    constant[0] = 100.0
    y.backward()
    assert w.grad.tolist() == [2, 4]


def test_writing_a_leaf_after_the_walk_or_before_the_graph_is_fine():
    x = leaf(1.0, 2.0)
    for _ in range(2):
        with no_grad():
            x[0] = x[0] + 1
        (x * x).sum().backward()
    assert x.grad.tolist() == [4 + 6, 4 + 4]


def test_a_tensor_in_a_graph_is_never_written_in_place():
    x = leaf(1.0, 2.0)
    for tensor in (x, x * 2):
        with pytest.raises(RuntimeError, match=r"never written in place.*minimoe\.ops\.where"):
            tensor[0] = 5.0


def test_unused_output_of_an_operation_counts_as_zero():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    first, _ = ops.split(x, 2)
    first.sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0]


def test_output_used_twice_and_its_neighbour_once():
    x = leaf(1.0, 2.0)
    a, b = ops.split(x, 2)
    (a * a + b * 3).backward()
    assert x.grad.tolist() == [2, 3]


def test_no_grad_records_nothing_and_ends_with_the_block_even_after_an_error():
    x = leaf(1.0)
    with no_grad():
        with no_grad():
            pass
        assert not grad_enabled() and not (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert grad_enabled() and (x * 2).requires_grad


def test_no_grad_holds_for_its_own_thread_only():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_operations_on_tensors_that_do_not_ask_keep_no_graph():
    y = Tensor([1.0]) * Tensor([2.0])
    assert y._node is None and not y.requires_grad


def test_tensors_in_the_middle_keep_no_gradient_unless_asked():
    x = leaf(1.0, 2.0)
    plain, kept = x * 2, (x * 3).retain_grad()
    (plain + kept * kept).sum().backward()
    assert plain.grad is None
    assert kept.grad.tolist() == [6, 12]


def test_retained_gradient_is_complete_when_the_value_has_two_users():
    x = leaf(1.0)
    middle = (x * 2).retain_grad()
    (middle * 3 + middle * middle).backward()
    assert middle.grad.tolist() == [3 + 4] and x.grad.tolist() == [14]


def test_retaining_the_last_tensor_and_a_leaf():
    x = leaf(1.0, 2.0)
    y = (x.retain_grad() * 2).retain_grad()
    y.backward(np.array([1.0, 5.0]))
    assert y.grad.tolist() == [1, 5] and x.grad.tolist() == [2, 10]


def test_a_retained_tensor_that_is_gone_does_no_harm():
    x = leaf(1.0)
    y = (x * 2).retain_grad() * 3
    y.backward()
    assert x.grad.tolist() == [6]


def test_gradients_do_not_reach_tensors_that_do_not_ask():
    x, constant = leaf(1.0), Tensor(np.array([2.0]))
    (x * constant).backward()
    assert constant.grad is None


def test_detach_cuts_the_graph():
    x = leaf(3.0)
    (x * x.detach()).backward()
    assert x.grad.tolist() == [3]


def test_gradient_takes_the_inputs_dtype_when_dtypes_were_mixed():
    narrow, wide = leaf(1.0, 2.0, dtype="float32"), leaf(3.0, 4.0)
    y = (narrow * wide).sum()
    y.backward()
    assert y.dtype == np.float64
    assert narrow.grad.dtype == np.float32 and narrow.grad.tolist() == [3, 4]
    assert wide.grad.dtype == np.float64 and wide.grad.tolist() == [1, 2]


def test_a_new_operation_is_one_function_and_stays_out_of_the_table():
    @minimoe.op
    def double(xp, x, times=2):
        """Doubles."""
        return x * times, lambda gy: (gy * times,)

    x = leaf(1.0, 2.0)
    double(double(x), times=5).sum().backward()
    assert x.grad.tolist() == [10, 10]
    assert "double" not in ops.OPS
    assert (double.__name__, double.__doc__, str(inspect.signature(double))) == ("double", "Doubles.", "(x, times=2)")


@pytest.mark.parametrize("as_list", [False, True])
def test_one_new_array_given_to_two_inputs_is_not_shared_by_their_gradients(as_list):
    @minimoe.op
    def add_pair(xp, a, b):
        def backward(gy):
            g = gy * 1
            return g, g
        return a + b, backward

    @minimoe.op
    def add_list(xp, tensors):
        def backward(gy):
            g = gy * 1
            return ([g, g],)
        return tensors[0] + tensors[1], backward

    x, y = leaf(1.0), leaf(2.0)
    (add_list([x, y]) if as_list else add_pair(x, y)).backward()
    (x * 5).backward()
    assert x.grad.tolist() == [6] and y.grad.tolist() == [1]


def test_arrays_may_come_by_name_or_in_a_list():
    x, y = leaf(1.0), leaf(2.0)
    (ops.mul(b=y, a=x) + ops.concatenate(tensors=[x, y, x]).sum()).backward()
    assert x.grad.tolist() == [2 + 2] and y.grad.tolist() == [1 + 1]


def test_the_same_tensor_in_both_places_of_one_operation():
    x = leaf(3.0)
    ops.stack([x, x * x, x]).sum().backward()
    assert x.grad.tolist() == [1 + 6 + 1]


def test_numpy_scalars_count_as_numbers():
    x = leaf(1.0, 2.0, dtype="float32")
    for scalar in (np.float64(2), np.int64(2)):
        assert (x * scalar).dtype == np.float32 and (scalar * x).dtype == np.float32


def test_what_a_step_kept_is_freed_during_the_walk():
    freed_before = []

    @minimoe.op
    def keep(xp, x):
        big = np.zeros(3)
        alive.append(weakref.ref(big))
        return x * 1, lambda gy: (gy + big[0],)

    @minimoe.op
    def look(xp, x):
        return x * 1, lambda gy: freed_before.append(alive[0]() is None) or (gy,)

    alive = []
    x = leaf(1.0)
    y = keep(look(x))
    gc.disable()
    try:
        y.backward()
    finally:
        gc.enable()
    assert freed_before == [True]
