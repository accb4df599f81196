"""Everything that decides a training run, as data: the same keys on the command line, in TOML and in JSON."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import ClassVar, TypeVar

from minimoe.backend import cores
from minimoe.data.builtin import BUILTIN
from minimoe.data.glue import TASKS as GLUE
from minimoe.models.config import EncoderConfig
from minimoe.training.values import check_value, parse_toml, write_toml

Run = TypeVar("Run", bound="RunConfig")
MOST_THREADS = 4                                    # by default: a part of a batch of 32 should not be smaller than 8


@dataclass(frozen=True)
class RunConfig:
    """The keys that every run has. None stands for a default that `resolved()` fills in.

    importance, allocation, mean_experts, k_min, k_max and router_options are options of the router. warmup: share of
    the steps; max_steps: an end before the last epoch's; threads: parts of each batch that are computed side by side,
    where samples do not depend on one another, else threads of the matrix library. Raises ValueError naming the key.
    """

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
    out: str | None = None
    save_every: int = 50
    seed: int = 0
    backend: str = "numpy"
    threads: int | None = None

    # keys that may differ when a run is resumed: they do not decide its result
    FREE: ClassVar[tuple[str, ...]] = ("out", "threads", "backend", "save_every", "data_dir", "init_from")

    def __post_init__(self):
        for f in fields(self):
            if getattr(self, f.name) is not None or f.default is not None:
                check_value(f.name, getattr(self, f.name))
        chosen = ["router"] * (self.router != RunConfig.router) + list(self.all_router_options())
        if self.experts == 0 and chosen:
            raise ValueError(f"experts: 0 is the dense model, which has no router; leave out {', '.join(chosen)}")

    def defaults(self) -> dict:
        """What None means for the keys of this run."""
        raise NotImplementedError

    def resolved(self: Run) -> Run:
        """The same run with its defaults in place of None."""
        return replace(self, **{key: value for key, value in self.defaults().items() if getattr(self, key) is None})

    def model_config(self, vocab_size: int, n_classes: int = 2) -> EncoderConfig:
        """The model of a resolved run."""
        return EncoderConfig(vocab_size=vocab_size, n_classes=n_classes, d_model=self.d_model, n_layers=self.layers,
                             n_heads=self.heads, d_ff=self.d_ff, n_experts=self.experts, router=self.router,
                             router_options=self.all_router_options(), max_length=self.max_length,
                             dropout=self.dropout)

    def all_router_options(self) -> dict:
        """router_options and the options that have a key of their own."""
        named = dict(measure=self.importance, allocation=self.allocation, mean_experts=self.mean_experts,
                     k_min=self.k_min, k_max=self.k_max)
        named = {key: value for key, value in named.items() if value is not None}
        for key in named.keys() & self.router_options.keys():
            raise ValueError(f"router_options: {key} is given twice; it has an option of its own, leave it out here")
        return named | self.router_options

    def kept(self) -> dict:
        """The keys that decide the result, as JSON gives them back; of a router of one's own the class name alone."""
        values = {key: value for key, value in self.to_dict().items() if key not in self.FREE}
        values["router"] = values["router"].rpartition(":")[2]
        return json.loads(json.dumps(values))

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls: type[Run], values: dict) -> Run:
        if not isinstance(values, dict):
            raise ValueError(f"{cls.__name__}: {values!r:.60} is not a table of KEY = VALUE")
        keys = [f.name for f in fields(cls)]
        for key in values:
            if key not in keys:
                raise ValueError(f"{key}: there is no such key; the keys are {', '.join(keys)}")
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls: type[Run], text: str) -> Run:
        return cls.from_dict(json.loads(text))

    def to_toml(self) -> str:
        return write_toml(self.to_dict())

    @classmethod
    def from_toml(cls: type[Run], text: str) -> Run:
        return cls.from_dict(parse_toml(text))


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """A classifier on a task: a built-in one, or with data_dir a GLUE task in the published layout.

    init_from: folder of a pre-trained model, whose tokenizer and sizes are taken over.
    """

    task: str = "sentiment"
    data_dir: str | None = None
    label_smoothing: float = 0.0
    init_from: str | None = None

    # under 240,000 parameters for a built-in task, whose small products gain nothing from threads; more for GLUE
    BUILTIN_DEFAULTS: ClassVar[dict] = dict(layers=2, d_model=64, heads=4, d_ff=64, experts=8, epochs=8, batch_size=32,
                                            lr=1e-3, max_length=64, vocab_size=1000, threads=1)
    GLUE_DEFAULTS: ClassVar[dict] = dict(layers=2, d_model=128, heads=4, d_ff=512, experts=8, epochs=3, batch_size=32,
                                         lr=5e-4, max_length=128, vocab_size=16000)

    def __post_init__(self):
        super().__post_init__()
        if self.data_dir is None and self.task not in BUILTIN:
            hint = "; a GLUE task needs --data-dir, the folder with the GLUE files" if self.task in GLUE else ""
            raise ValueError(f"task: {self.task!r} is not a built-in task ({', '.join(BUILTIN)}){hint}")
        if self.data_dir is not None and self.task not in GLUE:
            raise ValueError(f"task: {self.task!r} is not a GLUE task ({', '.join(GLUE)}); "
                             "leave out --data-dir for a built-in one")

    @property
    def builtin(self) -> bool:
        return self.data_dir is None

    def defaults(self) -> dict:
        return self.BUILTIN_DEFAULTS if self.builtin else self.GLUE_DEFAULTS | {"threads": usual_threads()}

    def baseline(self) -> TrainConfig:
        """The Switch Transformer of the same run: same data, same seed, one expert per token."""
        return replace(self, router="switch", importance=None, allocation=None, mean_experts=None, k_min=None,
                       k_max=None, router_options={}, experts=self.experts or None,
                       out=None if self.out is None else str(Path(self.out) / "baseline"))


@dataclass(frozen=True)
class PretrainConfig(RunConfig):
    """A masked language model on text files, one paragraph a line; without any, on the standard library's
    documentation. held_out: files to measure on; without any, a twentieth of the paragraphs."""

    text: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    masked: ClassVar[float] = 0.15

    def __post_init__(self):
        super().__post_init__()
        for name in ("text", "held_out"):           # JSON and TOML give lists
            object.__setattr__(self, name, tuple(getattr(self, name)))

    DEFAULTS: ClassVar[dict] = dict(layers=2, d_model=128, heads=4, d_ff=512, experts=8, epochs=2, batch_size=32,
                                    lr=1e-3, max_length=64, vocab_size=8000)

    def defaults(self) -> dict:
        return self.DEFAULTS | {"threads": usual_threads()}


def usual_threads() -> int:
    """Threads of a run that asks for none, where a model is large enough to gain."""
    return min(cores(), MOST_THREADS)
