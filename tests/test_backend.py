"""Which arrays can be used, and clear words for those that cannot."""
import numpy as np
import pytest

import minimoe
from minimoe import Tensor
from minimoe.backend import array_module, backend_name, blas_threads, get_backend, to_host


def test_numpy_is_usable_and_the_others_say_in_one_line_what_is_missing():
    found = minimoe.available_backends()
    assert list(found) == ["numpy", "cupy", "cudasim"] and found["numpy"] == ""
    assert all("\n" not in text for text in found.values())


def test_an_unknown_backend_lists_the_known_ones():
    with pytest.raises(ValueError, match="'abacus' is not one of numpy, cupy, cudasim"):
        get_backend("abacus")


@pytest.mark.parametrize("name", ["cupy", "cudasim"])
def test_an_unusable_backend_says_why(name):
    missing = minimoe.available_backends()[name]
    if not missing:
        assert get_backend(name) is not None
        return
    with pytest.raises(RuntimeError, match=f"backend {name}: "):
        Tensor([1.0], backend=name)


def test_arrays_name_their_backend_and_other_things_are_refused():
    assert backend_name(np.zeros(2)) == "numpy" and array_module(np.zeros(2), None, 3.0) is np
    with pytest.raises(TypeError, match="expected an array of one of numpy, cupy, cudasim, got list"):
        backend_name([1.0])


def test_to_host_of_a_host_array_is_the_array_itself():
    array = np.zeros(3)
    assert to_host(array) is array


def test_the_matrix_librarys_threads_are_limited_inside_and_restored_after():
    from threadpoolctl import threadpool_info

    def threads():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    before = threads()
    with blas_threads(1):
        assert set(threads()) == {1}
    assert threads() == before
    with blas_threads(None):
        assert threads() == before
