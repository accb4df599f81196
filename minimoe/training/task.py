"""A task made ready: its splits encoded, its tokenizer, how it is scored."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minimoe.data.batching import Encoded, encode_dataset
from minimoe.data.builtin import load_builtin
from minimoe.data.dataset import Dataset
from minimoe.data.glue import load_glue
from minimoe.data.tokenizer import tokenizer_class
from minimoe.models import EncoderConfig
from minimoe.moe.make import make_router
from minimoe.training.checkpoint import Checkpoint, load_checkpoint
from minimoe.training.config import RunConfig, TrainConfig

SIZES = {"layers": "n_layers", "d_model": "d_model", "heads": "n_heads", "d_ff": "d_ff", "experts": "n_experts",
         "max_length": "max_length", "vocab_size": "vocab_size"}         # key of a run -> field of the model
VALIDATION_SHARE, VALIDATION_MOST = 0.1, 2000


@dataclass(frozen=True)
class Task:
    """train and validation: the published training split, carved; test: where the reported score comes from, the
    development split of GLUE (its test labels are hidden) or the built-in test split."""

    name: str
    n_classes: int
    metrics: tuple[str, ...]
    label_names: tuple[str, ...]
    tokenizer: object
    train: Encoded
    validation: Encoded
    test: Encoded
    test_data: Dataset
    second_test: Encoded | None = None      # MNLI's mismatched development split

    def facts(self) -> dict:
        """What a checkpoint keeps of the task."""
        return {"name": self.name, "n_classes": self.n_classes, "metrics": list(self.metrics),
                "label_names": list(self.label_names), "pairs": self.test_data.examples[0].pair is not None}


def load_split(config: TrainConfig, split: str) -> Dataset:
    """A split of the task. For a built-in task the data is always the one of seed 0: a seed moves only the training."""
    if config.builtin:
        return load_builtin(config.task, split)
    return load_glue(config.task, config.data_dir, split)


def prepare_task(config: TrainConfig) -> Task:
    """Loads, carves, trains the tokenizer (or takes that of config.init_from) and encodes; fills in defaults."""
    config = config.resolved() if config.init_from is None else start_from(config)[0]
    whole = load_split(config, "train")
    test = load_split(config, "test" if config.builtin else "dev")
    train, validation = carve(whole, config.seed)
    if config.init_from is not None:
        tokenizer = start_from(config)[1].tokenizer
    else:
        tokenizer = tokenizer_class(config.tokenizer).train(train.texts(), config.vocab_size)
    encoded = (encode_dataset(data, tokenizer, config.max_length) for data in (train, validation, test))
    second = None
    if config.task == "mnli":
        second = encode_dataset(load_split(config, "dev_mismatched"), tokenizer, config.max_length)
    return Task(whole.name, whole.n_classes, whole.metrics, whole.label_names, tokenizer, *encoded, test, second)


def start_from(config: TrainConfig) -> tuple[TrainConfig, Checkpoint]:
    """(the resolved config with the sizes of the pre-trained model in config.init_from, that model's checkpoint).

    Raises ValueError for a size that was asked for and differs, and for a model that cannot be started from."""
    found = load_checkpoint(config.init_from)
    if found.tokenizer is None:
        raise ValueError(f"init_from: {config.init_from} has no tokenizer")
    if config.tokenizer not in (RunConfig.tokenizer, found.tokenizer.kind):
        raise ValueError(f"tokenizer: {config.tokenizer} is not that of the model in {config.init_from}, which is "
                         f"{found.tokenizer.kind}; leave the option out")
    shape = found.shape()
    for field in ("moe_every", "activation"):       # a run has no such key: it would go on with the usual one
        usual, own = getattr(EncoderConfig, field), getattr(shape, field)
        if own != usual:
            raise ValueError(f"init_from: the model in {config.init_from} has {field} {own}; training can only start "
                             f"from one with {usual}")
    for key, field in SIZES.items():
        asked, own = getattr(config, key), getattr(shape, field)
        if asked not in (None, own):
            raise ValueError(f"{key}: {asked} does not fit the model in {config.init_from}, which has {own}; leave the "
                             "option out")
    return replace(config, **{key: getattr(shape, field) for key, field in SIZES.items()}).resolved(), found


def check_model(config: RunConfig) -> None:
    """Builds the model's configuration and a router, so that a wrong option shows before any data is read."""
    whole = start_from(config)[0] if getattr(config, "init_from", None) else config.resolved()
    model = whole.model_config(vocab_size=1)
    if model.n_experts:
        make_router(model.router, model.d_model, model.n_experts, **model.router_options)


def carve(data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """(train, validation): a tenth, at most 2,000 examples, drawn with `seed`; both keep the file's order."""
    n = len(data)
    if n < 2:
        raise ValueError(f"{data.name}: {n} training example is too few; training and validation need one each")
    held_out = np.zeros(n, bool)
    size = max(1, min(VALIDATION_MOST, int(n * VALIDATION_SHARE)))
    held_out[np.random.default_rng(seed).permutation(n)[:size]] = True
    examples = list(zip(data.examples, held_out, strict=True))
    return (replace(data, examples=tuple(e for e, out in examples if not out)),
            replace(data, examples=tuple(e for e, out in examples if out), split="validation"))
