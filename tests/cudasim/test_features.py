"""CUDA features that work: every kernel runs unchecked and checked, forward and under a seed, and agrees with NumPy."""
from pathlib import Path

import numpy as np
import pytest

import minimoe.cudasim as cs

CODE = Path(__file__).with_name("features.cu").read_text(encoding="utf-8")
MODULE = cs.RawModule(code=CODE, name_expressions=("reverse<float, 64>", "reverse<int, 96>"))
LANE = np.arange(32)


@pytest.fixture(params=[(False, "forward"), (True, "reversed"), (True, 11)], ids=str)
def run(request):
    """Launches on NumPy arrays and answers with all of them afterwards."""
    def launch(name, grid, block, *args, shared_mem=0):
        moved = tuple(cs.asarray(a) if isinstance(a, np.ndarray) else a for a in args)
        with cs.settings(check=request.param[0], schedule=request.param[1]):
            MODULE.get_function(name)(grid, block, moved, shared_mem=shared_mem)
        return [a.get() for a in moved if isinstance(a, cs.ndarray)]
    return launch


def zeros(n, dtype=np.int32):
    return np.zeros(n, dtype)


def test_constant_tables(run):
    assert run("constants", (1,), (8,), zeros(8, "f4"))[0].tolist() == [1, 2, 3, 4] * 2


def test_grids_and_blocks_of_two_dimensions(run):
    y, = run("indices", (2, 3), (4, 2), zeros(48), np.int32(8))
    np.testing.assert_array_equal(y.reshape(6, 8), 300000 + 1000 * np.arange(6)[:, None] + np.arange(8))


def test_aligned_shared_memory_is_read_four_floats_at_a_time(run):
    assert run("aligned", (1,), (128,), zeros(128, "f4"))[0].tolist() == list(range(128))


def test_vector_types_have_cudas_layout(run):
    _, b, c = run("vectors", (1,), (1,), np.arange(1, 5, dtype="f4"), zeros(4), zeros(2, "f8"))
    assert b.tolist() == [1, 2, 3, 4] and c.tolist() == [4, 6]


def test_structs_are_passed_by_value_and_shared(run):
    pair = np.dtype([("value", "f4"), ("index", "i4")])
    out, = run("structs", (1,), (32,), np.array([(1.5, 7)], pair)[0], np.zeros((32, 2), "f4"))
    out = out.view(pair)[:, 0]
    np.testing.assert_array_equal(out["value"], np.cumsum(1.5 + LANE))
    assert (out["index"] == 7).all()


def test_dynamic_shared_memory_and_barriers_in_a_loop(run):
    x = np.random.default_rng(0).integers(0, 9, 256, dtype=np.int32)
    _, y = run("scan", (1,), (256,), x, zeros(256), shared_mem=1024)
    np.testing.assert_array_equal(y, np.cumsum(x))


def test_lambdas(run):
    assert run("lambdas", (1,), (8,), zeros(8))[0].tolist() == [0, 1, 4, 9, 16, 25, 36, 49]


@pytest.mark.parametrize("name, dtype, n", [("reverse<float, 64>", "f4", 64), ("reverse<int, 96>", "i4", 96)])
def test_instances_of_templates_each_with_shared_memory_of_its_own(run, name, dtype, n):
    x = np.arange(3 * n, dtype=dtype)
    np.testing.assert_array_equal(run(name, (3,), (n,), x)[0].reshape(3, n), x.reshape(3, n)[:, ::-1])


def test_votes_matches_and_counting_barriers(run):
    x = np.array([0, 1, 2, 1] * 8, np.int32)
    y = run("votes", (1,), (32,), x, zeros(160, "u4"))[1].reshape(5, 32)
    bits = 1 << LANE.astype(np.uint64)
    assert (y[0] == bits[x > 0].sum()).all()
    assert (y[1] == 11).all()
    assert y[2].tolist() == [bits[x == v].sum() for v in x]
    assert (y[3] == 24).all()
    assert (y[4] == 1).all()


def test_reductions_of_a_warp(run):
    x = np.random.default_rng(1).integers(-99, 99, 32, dtype=np.int32)
    _, y, z = run("reductions", (1,), (32,), x, zeros(96), zeros(32, "u4"))
    assert y.reshape(3, 32).tolist() == [[x.sum()] * 32, [x.min()] * 32, [x.max()] * 32]
    assert (z == np.bitwise_xor.reduce(x.view("u4"))).all()


def test_shuffles_of_four_types_and_of_narrow_segments(run):
    values = [np.random.default_rng(2).integers(0, 2**31, 32).astype(kind) for kind in ("i4", "u4", "f4", "f8")]
    values[3] *= np.pi                              # needs all 8 bytes
    args = [a for v in values for a in (v, np.zeros(128, v.dtype))]
    results = run("shuffles", (1,), (32,), *args)[1::2]
    for x, y in zip(values, results, strict=True):
        up, down = np.where(LANE < 3, LANE, LANE - 3), np.where(LANE % 8 >= 5, LANE, LANE + 3)
        np.testing.assert_array_equal(y.reshape(4, 32), [x[(LANE + 5) % 32], x[up], x[down], x[LANE ^ 9]])


def test_halves_of_a_warp_that_synchronise_apart_and_then_together(run):
    low, high = sum(range(16)), sum(range(16, 32))
    assert run("half_warps", (1,), (32,), zeros(32))[0].tolist() == [high] * 16 + [low + 16] * 16


def test_what_a_lane_wrote_is_known_to_a_lane_that_meets_it_through_another(run):
    assert run("passed_on", (1,), (32,), zeros(1))[0].tolist() == [5]


def test_atomics(run):
    before = np.array([2**32 - 1, 0, 0, 0, 0, 3, 3], "u4")
    i, u, long, f, d = run("atomics", (1,), (32,), zeros(4), before, zeros(2, "u8"), np.array([0, 0, 9], "f4"),
                           zeros(1, "f8"))
    assert i.tolist() == [496, -496, 0, -31]        # the third was 0 and stays the largest
    assert u.tolist() == [0, 2**32 - 1, 0, 32, 33, 4, 3]
    assert long.tolist() == [32 << 40, 1 << 31]
    assert f.tolist() == [16, 9, 7] and d.tolist() == [8]


def test_a_maximum_of_floats_by_compare_and_swap(run):
    x = np.random.default_rng(3).standard_normal(100).astype("f4")
    assert run("largest_float", (1,), (100,), x, np.full(1, -np.inf, "f4"))[1][0] == x.max()


def test_memory_is_copied_and_filled(run):
    x = np.arange(16, dtype=np.int32)
    assert run("copies", (1,), (32,), x, zeros(32))[1].tolist() == [-1] * 16 + x.tolist()


def test_printf(run, capfd):
    run("print_one", (1,), (32,), np.int32(42))
    cs.RawKernel('extern "C" __global__ void flush() { fflush(stdout); }', "flush")((1,), (1,), ())
    assert capfd.readouterr().out == "value 42\n"


def test_defines_are_followed_and_other_options_are_not():
    code = 'extern "C" __global__ void f(REAL* y) { y[0] = sizeof(REAL) + ONE; }'
    for real, dtype, size in (("float", "f4", 4), ("double", "f8", 8)):
        y = cs.zeros(1, dtype)
        options = ("-std=c++11", "--use_fast_math", f"-DREAL={real}", "--define-macro=ONE=1")
        cs.RawKernel(code, "f", options)((1,), (1,), (y,))
        assert float(y[0]) == size + 1


def test_arrays_from_empty_hold_the_same_poison_as_shared_memory():
    y = cs.zeros(1, np.uint32)
    code = 'extern "C" __global__ void f(unsigned* y) { __shared__ unsigned s[1]; y[0] = *(volatile unsigned*)s; }'
    cs.RawKernel(code, "f")((1,), (1,), (y,))
    assert int(y[0]) == 0xCBCBCBCB == int(cs.empty(1, np.uint32)[0])
