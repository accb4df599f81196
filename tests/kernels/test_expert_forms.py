"""The two ways in which a GPU multiplies expert by expert: one library call each, or one launch for all."""
import numpy as np
import pytest

from minimoe import Tensor, cudasim, ops
from minimoe.backend import get_backend
from minimoe.kernels.launch import launch_count
from minimoe.moe.experts import Experts
from minimoe.ops.activations import ACTIVATIONS, hidden_width

OFFSETS = np.array([0, 3, 3, 9], np.int32)          # the expert in the middle has no row
FORMS = ["library", "kernel"]


def walk(form, device, activation="gelu"):
    """Output and gradients of one expert layer on the device, dropout included."""
    random, hidden = np.random.default_rng(0), hidden_width(activation, 6)
    shapes = [(9, 5), (3, 5, hidden), (3, hidden), (3, 6, 5), (3, 5)]
    inputs = [Tensor(random.standard_normal(shape), requires_grad=True, backend=device) for shape in shapes]
    u = ops.expert_ffn(*inputs, get_backend(device).asarray(OFFSETS), activation, 0.25, 1, grouped=form)
    u.backward(get_backend(device).asarray(random.standard_normal(u.shape)))
    return [u.data, *(t.grad for t in inputs)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_both_forms_give_what_numpy_gives(form, activation, device):
    for found, expected in zip(walk(form, device, activation), walk("library", "numpy", activation), strict=True):
        np.testing.assert_allclose(found.get(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form, waits", [("library", 1), ("kernel", 0)])
def test_the_host_waits_for_the_offsets_once_in_the_library_form_and_never_in_the_kernel_form(form, waits):
    before = cudasim.host_synchronisations()
    walk(form, "cudasim")
    assert cudasim.host_synchronisations() - before == waits


def test_the_hidden_layer_has_one_launch_for_bias_and_activation_of_all_experts():
    before = launch_count()
    walk("library", "cudasim")
    assert launch_count() - before == 4             # activation, output bias; backward: the sums of the two biases
    walk("kernel", "cudasim")
    assert launch_count() - before == 4 + 4 + 6     # and two products forward, four backward


def test_the_layer_of_experts_passes_its_form_on(device):
    x, offsets = Tensor(np.ones((9, 5), "float32"), backend=device), get_backend(device).asarray(OFFSETS)
    layer = Experts(5, 6, 3, rng=0, grouped="fast").to(backend=device)
    with pytest.raises(ValueError, match="expert_ffn: grouped is 'fast'; it must be 'library' or 'kernel'"):
        layer(x, offsets)
