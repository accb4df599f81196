"""Starting from a pre-trained model: every weight of it is taken over, or the file is refused by name."""
from dataclasses import replace

import numpy as np
import pytest
from small import CONFIG, small_task

from minimoe.commands.reading import PACKAGED
from minimoe.models import EncoderConfig, MaskedLanguageModel, SequenceClassifier
from minimoe.training import TrainConfig, Trainer, load_checkpoint, save_checkpoint
from minimoe.training.task import start_from

TOKENIZER = small_task().tokenizer
SHAPE = EncoderConfig(vocab_size=TOKENIZER.vocab_size, d_model=16, n_heads=2, d_ff=8, n_experts=4, max_length=32)


def start(folder, model, **changes):
    """A trainer that starts from `model`, saved in `folder`."""
    save_checkpoint(folder, model, tokenizer=TOKENIZER)
    return Trainer(replace(CONFIG, init_from=str(folder), vocab_size=None, **changes), small_task(), progress=False)


def without(*names):
    """A language model that lacks these weights."""
    model = MaskedLanguageModel(SHAPE, 7)
    state = model.state_dict()
    model.state_dict = lambda: {name: array for name, array in state.items() if name not in names}
    return model


@pytest.mark.parametrize("name", ["final_norm.weight", "layers.1.moe.router.weight", "layers.0.moe.experts.b2",
                                  "segment_embedding.weight", "layers.0.attention.in_proj_weight"])
def test_a_weight_that_is_missing_is_named_with_the_file(name, tmp_path):
    with pytest.raises(ValueError, match=rf"checkpoint\.safetensors: .*{name}"):
        start(tmp_path, without(name))


def test_weights_of_other_names_are_refused(tmp_path):
    model = MaskedLanguageModel(SHAPE)
    state = model.state_dict()
    model.state_dict = lambda: state | {"layers.2.norm1.weight": np.ones(16, np.float32)}
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: .*unexpected layers\.2\.norm1\.weight"):
        start(tmp_path, model)


def test_a_model_without_its_head_is_enough(tmp_path):
    trainer = start(tmp_path, without("head_bias"))
    own, given = trainer.model.state_dict(), load_checkpoint(tmp_path).weights
    assert own.keys() - given.keys() == {"head.weight", "head.bias"}
    assert all(np.array_equal(own[name], array) for name, array in given.items())


def test_what_a_router_has_beside_its_weight_starts_afresh(tmp_path):
    soft = {"soft_importance": True}
    trainer = start(tmp_path / "plain", MaskedLanguageModel(SHAPE), router_options=soft)
    assert trainer.model.layers[0].moe.router.kappa.data == 0
    trainer = start(tmp_path / "soft", MaskedLanguageModel(replace(SHAPE, router_options=soft)), router_options={})
    assert trainer.model.layers[0].moe.router.kappa is None


def test_a_classifiers_head_is_taken_over(tmp_path):
    model = SequenceClassifier(SHAPE, 7)
    assert np.array_equal(start(tmp_path, model).model.head.weight.data, model.head.weight.data)


@pytest.mark.parametrize("change", [{"moe_every": 2}, {"activation": "relu"}], ids=str)
def test_a_model_that_training_could_not_go_on_with_is_refused(change, tmp_path):
    (name, value), = change.items()
    with pytest.raises(ValueError, match=f"init_from: the model in .* has {name} {value}; training can only start"):
        start(tmp_path, MaskedLanguageModel(replace(SHAPE, **change)))


def test_the_packaged_model_can_be_started_from():
    config, found = start_from(TrainConfig(init_from=str(PACKAGED)))
    model = SequenceClassifier(config.model_config(found.tokenizer.vocab_size))
    found.fill(model)
    assert all(np.array_equal(array, found.weights[name]) for name, array in model.state_dict().items())
