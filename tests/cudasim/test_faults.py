"""One planted fault for everything that the checker checks: it names what is wrong, the kernel, line, block, thread."""
import re

import numpy as np
import pytest
from planted_faults import FAULTS

import minimoe.cudasim as cs

UNCHECKED = ("two different barriers", "return before a barrier", "warps count barriers differently",
             "block barrier against warp barrier", "shuffle with absent lanes", "shuffle against ballot",
             "shuffle that does not name its caller", "shuffle from a lane outside its mask", "stack overflow")
# all in one file, which is compiled once; the lines of each are counted from 1
MODULE = cs.RawModule(code="".join(f'#line 1\nextern "C" __global__ void faulty_{i}{fault.code}\n'
                                   for i, fault in enumerate(FAULTS.values())))


def run(name: str, check: bool) -> cs.SimulationError:
    fault, kernel = FAULTS[name], f"faulty_{list(FAULTS).index(name)}"
    with cs.settings(check=check), pytest.raises(cs.SimulationError) as caught:
        MODULE.get_function(kernel)((fault.grid,), (fault.block,), fault.args, shared_mem=fault.shared_mem)
    assert caught.value.kernel == kernel
    return caught.value


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_reported_with_its_place(name):
    fault, error = FAULTS[name], run(name, check=True)
    assert re.search(fault.kind, str(error)), str(error)
    wanted, = [n for n, text in enumerate(fault.code.splitlines(), 1) if text.endswith("// HERE")]
    assert error.line == wanted
    assert error.block[0] in fault.blocks and error.thread[0] in fault.threads
    assert str(error).startswith(f"{error.kernel}, line {error.line}, block {error.block}, thread {error.thread}: ")


@pytest.mark.parametrize("name", UNCHECKED)
def test_a_divergent_barrier_a_wrong_mask_and_a_full_stack_are_errors_even_unchecked(name):
    assert re.search(FAULTS[name].kind, str(run(name, check=False)))


@pytest.mark.parametrize("schedule", ["forward", "reversed", 3])
def test_a_missing_barrier_is_reported_whatever_the_schedule(schedule):
    with cs.settings(schedule=schedule):
        assert "race on dynamic shared memory" in str(run("scan with one barrier per step", check=True))


def test_the_line_of_a_fault_in_a_device_function_is_the_functions():
    module = cs.RawModule(code="""__device__ void store(float* y, int i)
    {
        y[i] = 1.0f;
    }

    extern "C" __global__ void through(float* y) { store(y, threadIdx.x + blockDim.x * threadIdx.y); }""")
    with cs.settings(check=True), pytest.raises(cs.SimulationError) as caught:
        module.get_function("through")((1,), (4, 2), (cs.zeros(7, "float32"),))
    assert (caught.value.kernel, caught.value.line, caught.value.thread) == ("through", 3, (3, 1, 0))


def test_a_write_to_a_variable_of_the_device_is_out_of_bounds():
    code = "__device__ int calls;\nextern \"C\" __global__ void count(int* y)\n{\n    calls = y[0];\n}"
    with cs.settings(check=True), pytest.raises(cs.SimulationError, match="line 4, .*out-of-bounds write"):
        cs.RawKernel(code, "count")((1,), (1,), (cs.zeros(1, "int32"),))


def test_the_simulator_goes_on_after_a_fault():
    fault = FAULTS["write past the end"]
    kernel = MODULE.get_function(f"faulty_{list(FAULTS).index('write past the end')}")
    for n, fails in ((100, True), (99, False), (100, True), (99, False)):
        y = cs.zeros(100, np.float32)
        with cs.settings(check=True):
            if fails:
                with pytest.raises(cs.SimulationError):
                    kernel((fault.grid,), (fault.block,), (y, np.int32(n)))
            else:
                kernel((fault.grid,), (fault.block,), (y, np.int32(n)))
                assert (y.get() == 1).all()
