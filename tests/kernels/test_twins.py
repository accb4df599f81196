"""`kernels.reference` and `kernels.cuda` are one interface: callers never ask which of them they have."""
import inspect
import re
from importlib import resources

import numpy as np
import pytest

from minimoe import kernels
from minimoe.backend import get_backend
from minimoe.kernels import cuda, reference
from minimoe.kernels.launch import _parameters, source

FILES = sorted(file.name for file in resources.files(kernels).iterdir() if file.name.endswith(".cu"))


def public_functions(package) -> dict:
    return {name: value for name, value in vars(package).items() if inspect.isfunction(value) and name[0] != "_"}


def test_both_packages_offer_the_same_functions_and_no_others():
    assert public_functions(cuda).keys() == public_functions(reference).keys() == set(reference.__all__)
    assert cuda.__all__ == reference.__all__ == sorted(reference.__all__)


@pytest.mark.parametrize("name", reference.__all__)
def test_twins_have_the_same_signature(name):
    assert inspect.signature(getattr(cuda, name)) == inspect.signature(getattr(reference, name))


@pytest.mark.parametrize("name", reference.__all__)
def test_the_twin_on_numpy_says_what_is_computed(name):
    assert getattr(reference, name).__doc__


def test_the_arrays_choose_the_package():
    assert kernels.of(np.ones(1)) is reference and kernels.of(np.float64(1)) is reference


def test_arrays_of_the_simulator_choose_cuda(device):
    assert kernels.of(get_backend(device).ones(1)) is cuda


@pytest.mark.parametrize("file", FILES)
def test_the_launch_layer_reads_every_kernel_of_a_file(file):
    assert len(_parameters(file)) == len(re.findall("__global__", source(file))) > 0


def test_every_kernel_is_launched_by_some_wrapper():
    wrappers = "".join(path.read_text(encoding="utf-8") for path in resources.files(cuda).iterdir()
                       if path.name.endswith(".py"))
    for file in FILES:
        assert f'"{file}"' in wrappers
        for kernel in _parameters(file):
            assert f'"{kernel}"' in wrappers
