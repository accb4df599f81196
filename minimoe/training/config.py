"""Everything that decides a training run, as data: the same keys on the command line, in TOML and in JSON."""
from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from minimoe.data.builtin import BUILTIN as BUILTIN_TASKS
from minimoe.data.glue import TASKS as GLUE_TASKS
from minimoe.models.config import EncoderConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What None means in a TrainConfig: a model of under 240,000 parameters for a built-in task, a larger one for GLUE.
BUILTIN_DEFAULTS = dict(layers=2, d_model=64, heads=4, d_ff=64, experts=8, epochs=8, batch_size=32, lr=5e-4,
                        max_length=64, vocab_size=1000)
GLUE_DEFAULTS = dict(layers=2, d_model=128, heads=4, d_ff=512, experts=8, epochs=4, batch_size=32, lr=5e-4,
                     max_length=128, vocab_size=16000)


@dataclass(frozen=True)
class TrainConfig:
    """None stands for the task's default (`resolved()` fills it in). Raises ValueError naming the key.

    With no data_dir, task is a built-in one; with one, a GLUE task in the published layout. importance, allocation,
    mean_experts, k_min, k_max and router_options are options of the router.
    """

    task: str = "sentiment"
    data_dir: str | None = None
    router: str = "da"
    experts: int | None = None
    importance: str | None = None
    allocation: str | None = None
    mean_experts: float | None = None
    k_min: int | None = None
    k_max: int | None = None
    router_options: dict = field(default_factory=dict)
    layers: int | None = None
    d_model: int | None = None
    heads: int | None = None
    d_ff: int | None = None
    dropout: float = 0.1
    tokenizer: str = "word"
    vocab_size: int | None = None
    max_length: int | None = None
    epochs: int | None = None
    max_steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    label_smoothing: float = 0.0
    init_from: str | None = None
    out: str | None = None
    save_every: int = 50
    seed: int = 0
    backend: str = "numpy"
    threads: int | None = None

    def __post_init__(self):
        for f in fields(self):
            _check(f.name, getattr(self, f.name))
        if self.data_dir is None and self.task not in BUILTIN_TASKS:
            hint = ("; a GLUE task needs --data-dir, the folder with the GLUE files" if self.task in GLUE_TASKS else "")
            raise ValueError(f"task: {self.task!r} is not a built-in task ({', '.join(BUILTIN_TASKS)}){hint}")
        if self.data_dir is not None and self.task not in GLUE_TASKS:
            raise ValueError(f"task: {self.task!r} is not a GLUE task ({', '.join(GLUE_TASKS)}); "
                             "leave out --data-dir for a built-in one")

    @property
    def builtin(self) -> bool:
        return self.data_dir is None

    def resolved(self) -> TrainConfig:
        """The same run with the task's defaults in place of None."""
        defaults = BUILTIN_DEFAULTS if self.builtin else GLUE_DEFAULTS
        return replace(self, **{key: value for key, value in defaults.items() if getattr(self, key) is None})

    def model_config(self, vocab_size: int, n_classes: int) -> EncoderConfig:
        """The model of a resolved run."""
        return EncoderConfig(vocab_size=vocab_size, n_classes=n_classes, d_model=self.d_model, n_layers=self.layers,
                             n_heads=self.heads, d_ff=self.d_ff, n_experts=self.experts, router=self.router,
                             router_options=self.all_router_options(), max_length=self.max_length,
                             dropout=self.dropout)

    def all_router_options(self) -> dict:
        """router_options and the options that have a key of their own."""
        named = dict(measure=self.importance, allocation=self.allocation, mean_experts=self.mean_experts,
                     k_min=self.k_min, k_max=self.k_max)
        return {key: value for key, value in named.items() if value is not None} | self.router_options

    def baseline(self) -> TrainConfig:
        """The Switch Transformer of the same run: same data, same seed, one expert per token."""
        out = None if self.out is None else str(Path(self.out) / "baseline")
        return replace(self, router="switch", importance=None, allocation=None, mean_experts=None, k_min=None,
                       k_max=None, router_options={}, out=out)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"{unknown[0]}: there is no such key; the keys are {', '.join(f.name for f in fields(cls))}")
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        return cls.from_dict(json.loads(text))

    def to_toml(self) -> str:
        """TOML text; keys that are None are left out, since TOML has no null."""
        values = {key: value for key, value in self.to_dict().items() if value is not None and key != "router_options"}
        lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
        if self.router_options:
            lines += ["", "[router_options]"] + [f"{json.dumps(k)} = {_toml(v)}" for k, v in self.router_options.items()]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> TrainConfig:
        return cls.from_dict(parse_toml(text))


def parse_toml(text: str) -> dict:
    """The keys of a TOML text, dashes read as underscores. Raises ValueError with the line that is wrong."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"TOML: {error}") from error
    return {key.replace("-", "_"): value for key, value in values.items()}


INTEGERS = dict(experts=0, k_min=0, k_max=0, layers=1, d_model=1, heads=1, d_ff=1, vocab_size=6, max_length=4,
                epochs=1, max_steps=1, batch_size=1, save_every=1, seed=0, threads=1)
NUMBERS = dict(mean_experts=(0, math.inf), dropout=(0, 0.999), lr=(1e-12, 1e3), warmup=(0, 1), weight_decay=(0, 1e3),
               clip=(1e-12, math.inf), label_smoothing=(0, 0.999))
STRINGS = ("task", "data_dir", "router", "importance", "allocation", "tokenizer", "init_from", "out", "backend")
MAY_BE_NONE = {f.name for f in fields(TrainConfig) if f.default is None}


def _check(name: str, value) -> None:
    if value is None and name in MAY_BE_NONE:
        return
    if name in INTEGERS:
        fits = isinstance(value, int) and not isinstance(value, bool) and INTEGERS[name] <= value < 2**31
        wanted = f"an integer of at least {INTEGERS[name]}"
    elif name in NUMBERS:
        low, high = NUMBERS[name]
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        wanted = f"a number from {low:g} to {high:g}"
    elif name in STRINGS:
        fits, wanted = isinstance(value, str) and "\0" not in value and value != "", "a text"
    else:
        fits, wanted = isinstance(value, dict), "a table of KEY = VALUE"
    if not fits:
        raise ValueError(f"{name}: {value!r} is not {wanted}")
    if name == "tokenizer" and value not in ("word", "wordpiece"):
        raise ValueError(f"tokenizer: {value!r} is not word or wordpiece")


def _toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)
