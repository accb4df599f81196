"""Checkpoints: one safetensors file whose header carries the rest as JSON. No pickle, nothing is ever imported.

One file means that parameters, optimiser and step always come from the same moment: it is written under a temporary
name, flushed to disk and renamed over the old one, so that an interruption leaves either the old or the new.
"""
from __future__ import annotations

import json
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from minimoe.data.tokenizer import tokenizer_from_dict
from minimoe.files import write_bytes
from minimoe.models import EncoderConfig, MaskedLanguageModel, SequenceClassifier
from minimoe.moe.make import ROUTERS
from minimoe.ops.activations import hidden_width

FILE = "checkpoint.safetensors"
MODELS = {"classifier": SequenceClassifier, "language_model": MaskedLanguageModel}
OWN = re.compile(r"head[._]|layers\.\d+\.moe\.router\.(?!weight$)")   # what one model has and the next may lack


@dataclass(frozen=True)
class Checkpoint:
    """What a file held. Arrays are NumPy; `config["router"]` is a name only, for a router of one's own its class."""

    path: Path
    kind: str                                       # a key of MODELS
    config: dict                                    # of EncoderConfig
    weights: dict[str, np.ndarray]
    tokenizer: object = None
    task: dict = field(default_factory=dict)        # name, metrics, label_names of the task it was trained on
    optimiser: dict = field(default_factory=dict)   # optimiser.state_dict()
    best: dict[str, np.ndarray] = field(default_factory=dict)
    state: dict = field(default_factory=dict)       # the trainer's counters and generators

    def model_config(self, router: str | None = None) -> EncoderConfig:
        """The model's shape. `router`: "file.py:ClassName", needed when the model used a router of one's own.

        Raises ValueError when it is missing, names another class, or is given where none is needed.
        """
        recorded = self.config.get("router")
        if recorded in ROUTERS and router in (None, recorded):
            return EncoderConfig.from_dict(self.config)
        if router is None:
            raise ValueError(f"trained with a router of its own, {recorded!r}; say where it is with "
                             f"--router FILE.py:{recorded}")
        if router.rpartition(":")[2] != recorded:
            raise ValueError(f"trained with router {recorded!r}, not {router!r}")
        return EncoderConfig.from_dict(self.config | {"router": router})

    def model(self, router: str | None = None, backend: str = "numpy"):
        """The model with its weights, in evaluation mode. Raises ValueError when they do not fit its configuration."""
        with self._naming_the_file():
            config = self.model_config(router)
            self._check_sizes(config, head=self.kind == "classifier")
            self._check_values()
            model = MODELS[self.kind](config)
            model.load_state_dict(self.weights)
        return model.eval().to(backend=backend)

    def shape(self) -> EncoderConfig:
        """The sizes of a model that starts from these weights and chooses its router itself. Raises ValueError when the
        arrays do not fit them."""
        with self._naming_the_file():
            config = EncoderConfig.from_dict(self.config | {"router": EncoderConfig.router, "router_options": {}})
            self._check_sizes(config, head=False)
            self._check_values()
        return config

    def fill(self, model) -> None:
        """Writes the weights into `model`. A head, or what a router has beside its weight, may be missing in the file
        and then stays as it is; raises ValueError when anything else is missing, unexpected or of another shape."""
        own = model.state_dict()
        fresh = {name: array for name, array in own.items() if OWN.match(name)}
        given = {name: array for name, array in self.weights.items() if name in own or not OWN.match(name)}
        with self._naming_the_file():
            model.load_state_dict(fresh | given)

    @contextmanager
    def _naming_the_file(self):
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        except TypeError as error:                  # a router's option of a kind that it does not expect
            raise ValueError(f"{self.path}: its configuration cannot be used ({error})") from error

    def _check_sizes(self, config: EncoderConfig, head: bool) -> None:
        """The large arrays that a configuration asks for must be in the file, before memory is taken for them."""
        d, hidden = config.d_model, hidden_width(config.activation, config.d_ff)
        wanted = {"token_embedding.weight": (config.vocab_size, d), "position_embedding.weight": (config.max_length, d)}
        for layer in range(min(config.n_layers, len(self.weights))):
            experts = (f"layers.{layer}.moe.experts.w1", (config.n_experts, d, hidden))
            plain = (f"layers.{layer}.feedforward.linear1.weight", (hidden, d))
            name, shape = experts if config.has_experts(layer) else plain
            wanted |= {name: shape, f"layers.{layer}.attention.in_proj_weight": (3 * d, d)}
        if head:
            wanted["head.weight"] = (config.n_classes, d)
        for name, shape in wanted.items():
            found = self.weights[name].shape if name in self.weights else "missing"
            if found != shape:
                raise ValueError(f"{name} is {found}, the configuration asks for {shape}")

    def _check_values(self) -> None:
        name = not_finite(self.weights)
        if name is not None:
            raise ValueError(f"{name} holds NaN or infinite numbers, so the model can say nothing; train it again with "
                             "a lower --lr")


def not_finite(arrays: dict) -> str | None:
    """The name of the first array or number that is NaN or infinite somewhere."""
    return next((name for name, values in arrays.items() if not np.isfinite(values).all()), None)


def save_checkpoint(path, model, *, tokenizer=None, task: dict | None = None, optimiser=None,
                    best: dict | None = None, state: dict | None = None) -> Path:
    """Writes `path`/checkpoint.safetensors (making the folder) and returns its path. Raises OSError when it cannot."""
    optimiser_state = optimiser.state_dict() if optimiser is not None else {}
    groups = {"model": model.state_dict(), "best": best or {},
              "optimiser": {k: v for k, v in optimiser_state.items() if isinstance(v, np.ndarray)}}
    tensors = {f"{group}.{name}": np.ascontiguousarray(array)
               for group, arrays in groups.items() for name, array in arrays.items()}
    kind = next((kind for kind, cls in MODELS.items() if type(model) is cls), None)
    if kind is None:
        raise TypeError(f"save_checkpoint: model is a {type(model).__name__}; what can be saved is "
                        f"{' or '.join(cls.__name__ for cls in MODELS.values())}")
    config = model.config.to_dict()
    config["router"] = config["router"].rpartition(":")[2]      # a class name: where its file lies is nobody's business
    content = {
        "format": 1, "kind": kind, "config": config,
        "tokenizer": tokenizer.to_dict() if tokenizer is not None else None, "task": task or {}, "state": state or {},
        "optimiser": {k: v for k, v in optimiser_state.items() if not isinstance(v, np.ndarray)},
    }
    header = json.dumps(content, sort_keys=True)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / FILE, save(tensors, metadata={"minimoe": json.dumps([_checksum(header, tensors), header])}))
    return folder / FILE


@contextmanager
def saying_what_is_kept(path):
    """An OSError inside, say of a full disk, also says that the checkpoint in folder `path` is whole, if it has one."""
    try:
        yield
    except OSError as error:
        if path is None or not (Path(path) / FILE).is_file():
            raise
        raise OSError(error.errno, f"{error.strerror}; the last checkpoint is whole: go on from it with --resume",
                      error.filename) from error


def load_checkpoint(path) -> Checkpoint:
    """Reads a folder written by `save_checkpoint`, or the file in it.

    Raises FileNotFoundError when there is none, OSError when it may not be read and ValueError when it is damaged or no
    checkpoint of minimoe.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{path}: there is no checkpoint here; looked for {file}")
    with open(file, "rb"):                          # says why a file cannot be read; safe_open would say it is missing
        pass
    try:
        with safe_open(file, framework="numpy") as opened:
            checksum, header = json.loads((opened.metadata() or {})["minimoe"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        if checksum != _checksum(header, tensors):
            raise ValueError("the checksum does not match")
        content = json.loads(header)
        tokenizer = None if content["tokenizer"] is None else tokenizer_from_dict(content["tokenizer"])
        groups = {"model": {}, "best": {}, "optimiser": dict(content["optimiser"])}
        for name, array in tensors.items():
            group, _, rest = name.partition(".")
            if group not in groups:
                raise ValueError(f"no array is called {name!r:.60}")
            groups[group][rest] = array
        if content["kind"] not in MODELS or content["format"] != 1:
            raise ValueError(f"kind {content['kind']!r} of format {content['format']!r} is not known here")
        return Checkpoint(file, content["kind"], dict(content["config"]), groups["model"], tokenizer,
                          dict(content["task"]), groups["optimiser"], groups["best"], dict(content["state"]))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{file}: not a readable minimoe checkpoint, but damaged or something else ({reason})"
                         ) from error


def _checksum(header: str, tensors: dict[str, np.ndarray]) -> int:
    """CRC-32 of everything that matters, against flipped bits."""
    total = zlib.crc32(header.encode())
    for name in sorted(tensors):
        array = tensors[name]
        total = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), total)
        total = zlib.crc32(array.tobytes() if array.ndim == 0 else np.ascontiguousarray(array).data.cast("B")
                           if array.size else b"", total)
    return total
