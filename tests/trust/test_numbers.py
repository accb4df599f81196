"""NaN and infinity are refused in the layer where they arise; float16 is refused by everything."""
import numpy as np
import pytest

from minimoe import op, op_cases, ops
from minimoe.backend import to_host
from minimoe.models import EncoderConfig, MaskedLanguageModel, SequenceClassifier
from minimoe.training import Trainer

from small import CONFIG, small_task  # isort: skip  conftest.py knows where it lies

IDS = np.array([[3, 7, 5, 2, 9], [4, 6, 0, 0, 0]])
KINDS = {"experts": {}, "experts in every second layer": dict(moe_every=2), "dense": dict(n_experts=0)}


def model_of(kind, model_class=SequenceClassifier, **options):
    sizes = dict(vocab_size=20, d_model=8, n_layers=3, n_heads=2, d_ff=6, n_experts=4, max_length=9, dropout=0.0)
    return model_class(EncoderConfig(**sizes | KINDS[kind] | options))


# NaN and infinity that a test plants make NumPy warn on their way to the place that is asked for here
NUMPY_WARNS_TOO = pytest.mark.filterwarnings("ignore::RuntimeWarning")
PLANTED = [(kind, name) for kind in KINDS for name, _ in model_of(kind).named_parameters() if "head" not in name]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind, name", PLANTED)
@NUMPY_WARNS_TOO
def test_a_bad_number_in_any_parameter_is_refused_with_the_name_of_its_layer(kind, name, bad, backend):
    model = model_of(kind).to(backend=backend)
    dict(model.named_parameters())[name].data[...] = bad
    first, second, *_ = name.split(".")
    where = {"layers": f"layers.{second}", "final_norm": first}.get(first, "layers.0")          # what embeddings reach
    with pytest.raises(FloatingPointError, match=rf"^{where}: .* of \d+ of \d+ tokens are NaN or infinite") as caught:
        model(IDS)
    assert kind != "dense" or "on_nonfinite" not in str(caught.value)      # a dense model has nothing to skip


@pytest.mark.parametrize("name", ["head.weight", "head.bias"])
def test_a_bad_number_in_the_head_is_refused_on_the_host(name):
    """A device is asked once for all layers, before the head; there the loss shows it."""
    model = model_of("experts")
    dict(model.named_parameters())[name].data[...] = np.nan
    with pytest.raises(FloatingPointError, match=r"^head: outputs of 2 of 2 tokens are NaN or infinite"):
        model(IDS)


def test_a_bad_number_in_the_bias_of_a_language_models_scores_is_refused_in_its_loss():
    model = model_of("experts", MaskedLanguageModel)
    model.head_bias.data[3] = np.nan
    with pytest.raises(FloatingPointError, match="head_bias: scores of 10 of 10 tokens are NaN"):
        model.loss(IDS, IDS)


@NUMPY_WARNS_TOO
def test_routers_that_skip_bad_tokens_let_them_pass_the_layers_too(backend):
    model = model_of("experts", router_options={"on_nonfinite": "skip"}).to(backend=backend)
    model.layers[1].moe.experts.w1.data[...] = np.nan
    output = model(IDS)
    assert [int(to_host(r.nonfinite)) for r in output.routings] == [0, 0, 7]


def test_finite_numbers_however_large_pass():
    model = model_of("dense")
    model.head.bias.data[...] = 1e38
    assert (model(IDS).logits.data > 9e37).all()


def test_a_gradient_that_overflows_is_named_by_its_parameter():
    trainer = Trainer(CONFIG, small_task(), progress=False)


    @op
    def overflow(xp, x):
        return x * 1, lambda gy: (gy * np.inf,)

    norm = trainer.model.final_norm
    norm.forward = lambda x: overflow(type(norm).forward(norm, x))
    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match=r"1: .*not finite .* in final_norm"):
        trainer.run()


FLOATS = [case for case in op_cases.CASES if any(a.dtype.kind == "f" and a.ndim
                                                for a in case.inputs(np.random.default_rng(0)))]


@pytest.mark.parametrize("case", FLOATS, ids=str)
def test_every_operation_refuses_float16_with_a_clear_type_error(case):
    inputs = [a.astype(np.float16) if a.dtype.kind == "f" else a for a in case.inputs(np.random.default_rng(0))]
    with pytest.raises(TypeError, match="float16"):
        op_cases.apply(case, inputs)


def test_every_operation_with_a_float_argument_is_asked():
    assert {case.op for case in FLOATS} == set(ops.OPS)
