"""Device arrays of the simulator: memory, views, operators, and what comes from and goes to the host."""
import copy
import operator
import pickle

import numpy as np
import pytest

from minimoe import cudasim as xp

HOST = np.arange(6.0).reshape(2, 3)


def same(found, expected):
    assert isinstance(found, xp.ndarray) and found.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(found.get(), expected)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow",
                                  "lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("other", [3, 2.5, np.float32(2), np.int64(2)], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_operators_promote_as_numpy_does_on_either_side(name, other, dtype):
    host = np.array([[1, 2, 3], [5, 7, 4]], dtype)
    apply = getattr(operator, name)
    same(apply(xp.asarray(host), other), apply(host, other))
    same(apply(other, xp.asarray(host)), apply(other, host))
    same(apply(xp.asarray(host), xp.asarray(host[:1])), apply(host, host[:1]))


@pytest.mark.parametrize("name", ["and", "or", "xor", "lshift", "rshift"])
def test_operators_on_bits(name):
    host, apply = np.array([1, 2, 12]), getattr(operator, f"__{name}__")
    same(apply(xp.asarray(host), 3), apply(host, 3))
    same(apply(3, xp.asarray(host)), apply(3, host))


@pytest.mark.parametrize("name", ["neg", "pos", "abs"])
def test_operators_on_one_array(name):
    same(getattr(operator, name)(xp.asarray(-HOST)), getattr(operator, name)(-HOST))


def test_invert_and_matmul():
    same(~xp.asarray(HOST > 2), HOST <= 2)
    same(xp.asarray(HOST) @ xp.asarray(HOST).T, HOST @ HOST.T)


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"])
def test_in_place_operators_write_into_the_same_memory(name):
    a, host = xp.asarray(HOST), HOST.copy()
    kept, view = a, a[1]
    a = getattr(operator, name)(a, 2)
    getattr(operator, name)(host, 2)
    assert a is kept
    same(view, host[1])


def test_a_zero_dimensional_array_is_changed_in_place_too():
    total = xp.zeros((), "float32")
    kept = total
    total += 2
    assert total is kept and float(kept) == 2


def test_a_view_knows_the_array_that_owns_its_memory():
    a = xp.asarray(HOST)
    assert a.base is None
    for view in (a[0], a[:, None], a[0].reshape(3, 1), a.T, a.ravel(), a.swapaxes(0, 1), a.view(), a[...],
                 xp.broadcast_to(a, (4, 2, 3)), xp.expand_dims(a, 0), xp.squeeze(a[:1]), a.reshape(3, 2)):
        assert view.base is a and not view.flags.owndata
    a[0, 0] = 9
    assert float(a.T[0][0]) == 9


def test_what_is_no_view_has_no_base():
    a = xp.asarray(HOST)
    for fresh in (a + 1, a.copy(), a.sum(), a.sum(axis=0), a.astype("float32"), a[xp.asarray([0])], a[a > 1], xp.exp(a),
                  xp.concatenate([a, a]), xp.where(a > 1, a, 0), xp.isin(a, a[0]), xp.empty(3), a.flatten()):
        assert fresh.base is None and fresh.flags.owndata


def test_nothing_to_do_gives_the_same_array_back():
    a = xp.asarray(HOST)
    assert xp.asarray(a) is a and a.astype(a.dtype, copy=False) is a and xp.ascontiguousarray(a) is a
    assert a.astype(a.dtype) is not a and xp.array(a) is not a and a[0].T.base is a


def test_matmul_in_place_makes_a_new_array_as_in_cupy():
    a = kept = xp.asarray(np.eye(2))
    a @= a
    assert a is not kept


def test_out_is_written_and_is_the_answer():
    a, out = xp.asarray(HOST), xp.empty((2, 3))
    for answer in (xp.multiply(a, 2, out=out), xp.multiply(a, 2, out), xp.multiply(a, 2, out=(out,))):
        assert answer is out
    same(out, HOST * 2)
    total = xp.empty(3)
    assert a.sum(axis=0, out=total) is total and xp.sum(a, axis=0, out=total) is total
    same(total, HOST.sum(axis=0))
    square = xp.empty((2, 2))
    assert xp.matmul(a, a.T, out=square) is square
    same(square, HOST @ HOST.T)
    whole, rest = xp.empty((2, 3)), xp.empty((2, 3))
    assert xp.divmod(a, 2, out=(whole, None))[0] is whole and xp.modf(a, rest, whole)[1] is whole
    assert xp.divmod(a, 4, None, rest)[1] is rest and xp.divmod(a, 4, None, rest)[0] is not rest
    same(rest, HOST % 4)
    assert xp.add.reduceat(a, xp.asarray([0, 1]), 1, None, square) is square


def test_what_comes_from_the_host_and_goes_there_is_a_copy():
    host = HOST.copy()
    a = xp.asarray(host)
    host[0, 0] = 99
    a.get()[0, 1] = 99
    np.testing.assert_array_equal(a.get(), HOST)


def test_asarray_takes_lists_numbers_and_lists_of_device_arrays():
    same(xp.asarray([1, 2]), np.array([1, 2]))
    same(xp.asarray(2.5), np.array(2.5))
    same(xp.asarray([1, 2], dtype="float32"), np.array([1, 2], "float32"))
    same(xp.asarray([xp.asarray(HOST)[0], xp.asarray(HOST)[1]]), HOST)
    same(xp.array(3, ndmin=2), np.array([[3]]))


def test_asnumpy_takes_both_kinds():
    assert xp.asnumpy(xp.asarray(HOST)).tolist() == HOST.tolist() and xp.asnumpy(HOST) is HOST


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(), 5, (2, 3), [4]])
def test_empty_memory_holds_a_pattern_and_not_zeros(dtype, shape):
    assert (xp.empty(shape, dtype).get().reshape(-1).view(np.uint8) == 0xCB).all()
    assert (xp.empty_like(xp.zeros(shape, dtype)).get().reshape(-1).view(np.uint8) == 0xCB).all()


def test_empty_memory_of_truth_values_is_true_and_of_no_cells_is_empty():
    assert xp.empty(3, bool).get().all() and xp.empty((0, 3)).shape == (0, 3)
    assert xp.empty_like(xp.zeros(3), dtype="int32", shape=(2, 2)).shape == (2, 2)


def test_facts_about_an_array():
    a = xp.asarray(HOST.astype("float32"))
    assert (a.shape, a.ndim, a.size, a.nbytes, a.itemsize, a.strides, len(a)) == ((2, 3), 2, 6, 24, 4, (12, 4), 2)
    assert a.flags.c_contiguous and not a.T.flags.c_contiguous and a.T.flags.f_contiguous and a.dtype == xp.float32


def test_copies_and_pickles_have_their_own_memory():
    a = xp.asarray(HOST)
    for twin in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a)), copy.deepcopy({"a": a})["a"]):
        twin[0, 0] = 50
    same(a, HOST)


def test_iteration_gives_slices_that_share_the_memory():
    a = xp.asarray(HOST)
    for row in a:
        row[0] = 7
    assert a[:, 0].tolist() == [7, 7]


def test_text_shows_the_values():
    a = xp.asarray([1.5, 2.5])
    assert repr(a) == "array([1.5, 2.5])" and str(a) == "[1.5 2.5]" and f"{a[0]:.3f}" == "1.500"


def test_reading_a_value():
    a = xp.asarray(HOST)
    assert float(a[1, 2]) == 5 and int(a.sum()) == 15 and bool(a.any()) and complex(a[0, 1]) == 1
    assert a.sum().item() == 15 and a.tolist() == HOST.tolist()


def test_assignment_by_position_mask_and_index():
    a, host = xp.asarray(HOST), HOST.copy()
    for array, module in ((a, xp), (host, np)):
        array[0] = 1.0
        array[:, 1] = module.asarray([8.0, 9.0])
        array[array > 8] = 0.5
        array[module.asarray([1, 0])] = module.asarray(HOST)[:, ::-1]
        array[module.asarray([0, 1]), module.asarray([2, 2])] = module.asarray([3.0, 4.0])
        array[module.asarray([1, 1])] = 6.0         # one value for all: the same whoever comes last
        array[[]] = 7.0
        array[[0], [1]] = 8.0
    same(a, host)


def test_fill_takes_a_number_or_one_on_the_device():
    a = xp.zeros(3)
    a.fill(2)
    same(a, np.full(3, 2.0))
    a.fill(xp.asarray(4))
    same(a, np.full(3, 4.0))
