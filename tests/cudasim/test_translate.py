"""From CUDA text to C++: what is rewritten, which kernels are found, and that lines stay where they were."""
import pytest

from minimoe.cudasim import SimulationError
from minimoe.cudasim.translate import translate


@pytest.mark.parametrize("declaration, kind, name", [
    ("extern __shared__ float buffer[];", "float", "buffer"),
    ("extern  __shared__  unsigned  char raw [ ] ;", "unsigned  char", "raw"),
    ("extern __shared__ __align__(16) float4 v[];", "float4", "v"),
    ("extern __align__(16) __shared__ double d[];", "double", "d"),
])
def test_dynamic_shared_memory_becomes_a_pointer(declaration, kind, name):
    text, _ = translate(declaration)
    assert f"{kind}* {name} = reinterpret_cast<{kind}*>(cudasim::cudasim_grid->dynamic_shared);" in text


@pytest.mark.parametrize("declaration", ["extern __shared__ float a[4];", "extern __shared__ float a[], b[];",
                                         "extern __align__(8) __shared__ float a[2];"])
def test_other_forms_of_dynamic_shared_memory_are_refused(declaration):
    with pytest.raises(SimulationError, match="must be declared as: extern __shared__ TYPE NAME"):
        translate(declaration)


@pytest.mark.parametrize("kernel", [
    'extern "C" __global__ void f(int* y) {}', "__global__ void f(int* y) {}",
    '__global__ void __launch_bounds__(256) f(int* y) {}', '__global__ __launch_bounds__(256, 2) void f(int* y) {}',
    'extern "C" __global__\nvoid\nf(int* y) {}', "template <int N> struct S {}; __global__ void f(int* y) {}",
])
def test_a_kernel_is_found(kernel):
    text, kernels = translate(kernel)
    assert kernels == ["f"] and "CUDASIM_EXPORT(0, f)\n" in text


@pytest.mark.parametrize("kernel", ["template <typename T, int N> __global__ void f(T* y) {}",
                                    "// __global__ void f(int* y) {}", "/* __global__ void f(int* y) {} */",
                                    "__device__ void f(int* y) {}"])
def test_templates_comments_and_device_functions_are_no_kernels(kernel):
    assert translate(kernel)[1] == []


def test_instances_of_templates_are_kernels_by_their_names():
    text, kernels = translate("template <typename T, int N> __global__ void f(T* y) {}", ("f<float, 2>", "f<int, 4>"))
    assert kernels == ["f<float, 2>", "f<int, 4>"] and "CUDASIM_EXPORT(1, f<int, 4>)" in text


def test_lines_stay_where_they_were():
    code = 'a /* two\nlines */ b // end\nextern __shared__\nfloat\ns[];\nc "not // a comment" d\n'
    text = translate(code)[0].splitlines()
    first = text.index('#line 1 "kernel.cu"') + 1
    assert text[first].startswith("a") and text[first + 1].split() == ["b"]
    assert text[first + 5] == 'c "not // a comment" d'


def test_a_fault_that_is_none_of_the_kernel_names_nothing():
    assert str(SimulationError("g++ is gone")) == "g++ is gone"
