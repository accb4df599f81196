"""In which order threads and blocks run, and how settings are set."""
import numpy as np
import pytest

import minimoe.cudasim as cs

MODULE = cs.RawModule(code="""
extern "C" __global__ void order(int* turn, int* rank)
{
    rank[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(turn, 1);
}
extern "C" __global__ void float_sum(const float* x, float* sum)
{
    atomicAdd(sum, x[blockIdx.x * blockDim.x + threadIdx.x]);
}
extern "C" __global__ void second_round(int* turn, int* rank)
{
    atomicAdd(turn, 1);
    __syncthreads();
    rank[threadIdx.x] = atomicAdd(turn, 1) - blockDim.x;
}
extern "C" __global__ void two_orders(int* turn, int* first, int* second)
{                                                     // a race, but unchecked; without atomics, which may give way
    first[threadIdx.x] = turn[0]++;
    __syncthreads();
    second[threadIdx.x] = turn[0]++ - blockDim.x;
}
extern "C" __global__ void late(int* flag, int* seen)
{
    if (threadIdx.x == 0) while (atomicAdd(flag, 0) == 0) {}
    else atomicExch(flag, 1);
    seen[threadIdx.x] = 1;
}
""")


def ranks(schedule, kernel="order", blocks=3, threads=32):
    """The order in which the threads ran: ranks[i] is the turn of thread i."""
    turn, rank = cs.zeros(1, np.int32), cs.zeros(blocks * threads, np.int32)
    with cs.settings(schedule=schedule):
        MODULE.get_function(kernel)((blocks,), (threads,), (turn, rank))
    return rank.get().tolist()


def test_forward_is_the_default_and_runs_threads_and_blocks_in_order():
    assert ranks(None) == ranks("forward") == list(range(96))


def test_reversed_runs_the_last_block_and_thread_first():
    assert ranks("reversed") == list(range(96))[::-1]


def test_a_seed_gives_a_random_order_that_is_the_same_every_time():
    assert ranks(1) == ranks(1) and sorted(ranks(1)) == list(range(96))
    assert len({tuple(ranks(seed)) for seed in range(4)}) == 4
    assert ranks(0) != ranks("forward")


def test_under_a_seed_blocks_are_shuffled_too():
    first_turns = [min(ranks(5, blocks=16)[b * 32:b * 32 + 32]) for b in range(16)]
    assert first_turns != sorted(first_turns)


@pytest.mark.parametrize("schedule, order", [("forward", list(range(32))), ("reversed", list(range(32))[::-1])])
def test_a_fixed_order_holds_after_a_barrier(schedule, order):
    assert ranks(schedule, "second_round", blocks=1) == order


def test_a_seed_draws_a_new_order_at_every_barrier():
    turn, first, second = cs.zeros(1, np.int32), cs.zeros(64, np.int32), cs.zeros(64, np.int32)
    with cs.settings(schedule=2):
        MODULE.get_function("two_orders")((1,), (64,), (turn, first, second))
    assert sorted(first.get()) == sorted(second.get()) == list(range(64))
    assert first.get().tolist() != second.get().tolist()


def test_a_sum_of_floats_by_atomics_depends_on_the_schedule():
    x = cs.asarray(np.random.default_rng(0).standard_normal(256).astype(np.float32))
    sums = set()
    for schedule in ("forward", "reversed", *range(8)):
        total = cs.zeros(1, np.float32)
        with cs.settings(check=True, schedule=schedule):
            MODULE.get_function("float_sum")((4,), (64,), (x, total))
        sums.add(float(total[0]))
    assert len(sums) > 1 and max(sums) - min(sums) < 1e-4


def test_under_a_seed_a_thread_that_waits_by_atomics_lets_others_go_on():
    flag, seen = cs.zeros(1, np.int32), cs.zeros(32, np.int32)
    with cs.settings(schedule=7):
        MODULE.get_function("late")((1,), (32,), (flag, seen))
    assert seen.get().tolist() == [1] * 32


def test_settings_nest_and_are_undone():
    code = 'extern "C" __global__ void off(int* y) { y[1] = 0; }'
    buffer = cs.zeros(2, np.int32)
    off, y = cs.RawKernel(code, "off"), buffer[:1]
    with cs.settings(check=True):
        with cs.settings(schedule="reversed"), pytest.raises(cs.SimulationError):
            off((1,), (1,), (y,))                   # still checked
        with cs.settings(check=False):
            off((1,), (1,), (y,))                   # the write lands in the buffer's second cell: harmless
        with pytest.raises(cs.SimulationError):
            off((1,), (1,), (y,))
    off((1,), (1,), (y,))


@pytest.mark.parametrize("schedule", ["backward", -1, 1.5, True, 2**64])
def test_another_schedule_is_refused(schedule):
    with pytest.raises(ValueError, match="give 'forward', 'reversed' or a seed"), cs.settings(schedule=schedule):
        pass
