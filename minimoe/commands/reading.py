"""Trained models at work: `evaluate`, `predict`, `inspect`."""
from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

import minimoe
from minimoe.backend import blas_threads
from minimoe.data.batching import encode_dataset
from minimoe.files import write_bytes, write_json, write_text
from minimoe.moe.health import describe_layers
from minimoe.study.reading import Reading, read_sentence
from minimoe.study.summary import k_ranges, routed_sentence
from minimoe.training import Checkpoint, TrainConfig, load_checkpoint
from minimoe.training import evaluate as evaluate_model
from minimoe.training.task import load_split

PICTURES = (".png", ".svg", ".pdf")
PACKAGED = Path(minimoe.__file__).parent / "assets" / "sentiment"


def evaluate(checkpoint=None, task=None, data_dir=None, split=None, router=None, backend="numpy", threads=None,
             json=None, seed=0, quiet=True) -> int:
    """Scores a checkpoint on a split."""
    found = _classifier(checkpoint)
    task = task or found.task.get("name")
    config = TrainConfig(task=task, data_dir=data_dir)
    model = found.model(router, backend)
    data = load_split(config, split or ("test" if config.builtin else "dev"))
    if list(data.label_names) != found.task["label_names"]:
        raise ValueError(f"{found.path}: trained for {found.task.get('name')}, whose labels are "
                         f"{', '.join(found.task['label_names'])}; {task} has {', '.join(data.label_names)}")
    with blas_threads(threads):
        result = evaluate_model(model, encode_dataset(data, found.tokenizer, model.config.max_length), data.metrics)
    for name, value in result.metrics.items():
        print(f"{name}: {value:.4f}")
    print(f"{task} {data.split}: score {result.score:.4f}, {result.mean_experts_per_token:.2f} experts per token")
    if json:
        write_json(json, {"task": task, "split": data.split, "metrics": result.metrics, "score": result.score,
                          "mean_experts_per_token": result.mean_experts_per_token, "examples": len(data)})
    return 0


def predict(text, checkpoint=None, pair=None, router=None, backend="numpy", threads=None, json=None, seed=0,
            quiet=True) -> int:
    """Classifies one text, or scores one pair; a language model fills every [MASK]."""
    found = _open(checkpoint)
    _check_pair(found, pair)
    with blas_threads(threads):
        reading = read_sentence(found.model(router, backend), found.tokenizer, text, pair)
    values = _answer(found, reading) if found.kind == "classifier" else _fill(found, reading)
    print(values["text"])
    _say_unknown(reading)
    if json:
        write_json(json, values)
    return 0


def inspect(text, pair=None, checkpoint=None, plot=None, export=None, router=None, backend="numpy", threads=None,
            json=None, seed=0, quiet=True) -> int:
    """Shows the experts of every token, and the state of the routing."""
    found = _open(checkpoint)
    if plot and Path(plot).suffix.lower() not in PICTURES:
        raise ValueError(f"--plot {plot}: the name must end in {', '.join(PICTURES)}")
    _check_pair(found, pair)
    with blas_threads(threads):
        model = found.model(router, backend)
        reading = read_sentence(model, found.tokenizer, text, pair)
    if not reading.routings:
        raise ValueError(f"{checkpoint}: a dense model has no experts to show")
    print(routed_sentence(reading), end="\n\n")
    _say_unknown(reading)
    if found.kind == "classifier":
        print(_answer(found, reading)["text"])
    for line in describe_layers([routing.stats for routing in reading.routings], k_ranges(model)):
        print(line)
    if plot:
        _draw(reading, model.config.n_experts, plot)
        print(f"written: {plot}")
    if export:
        write_text(export, _assignments(reading))
        print(f"written: {export}")
    if json:
        write_json(json, {"tokens": reading.tokens, "k": [k.tolist() for k in reading.k], "unknown": reading.unknown,
                          "importance": [i.tolist() if i is not None else None for i in reading.importance]})
    return 0


def _open(path) -> Checkpoint:
    """A checkpoint that can read a text; None is the one in the package."""
    found = load_checkpoint(PACKAGED if path is None else path)
    if found.tokenizer is None or (found.kind == "classifier" and not _names_labels(found)):
        raise ValueError(f"{found.path}: saved without a tokenizer or the names of its labels, so it reads no text")
    rows = len(np.atleast_1d(found.weights.get("token_embedding.weight", ())))
    if found.tokenizer.vocab_size > rows:
        raise ValueError(f"{found.path}: the tokenizer has {found.tokenizer.vocab_size} tokens, the model {rows}")
    return found


def _names_labels(found: Checkpoint) -> bool:
    """Whether the file has a printable name for every class."""
    names = found.task.get("label_names")
    return (isinstance(names, list) and all(isinstance(name, str) and name.isprintable() for name in names)
            and len(names) == found.config.get("n_classes", 2))


def _classifier(path) -> Checkpoint:
    found = _open(path)
    if found.kind != "classifier":
        raise ValueError(f"{found.path}: this is a {found.kind.replace('_', ' ')}, not a classifier")
    return found


def _check_pair(found: Checkpoint, pair: str | None) -> None:
    """A task on pairs needs two texts, any other one."""
    pairs = found.task.get("pairs")
    if pairs is not None and pairs != (pair is not None):
        raise ValueError(f"{found.path}: {found.task.get('name', 'this model')} reads "
                         f"{'two texts, give both' if pairs else 'one text'}")


def _answer(found: Checkpoint, reading: Reading) -> dict:
    """The classifier's answer in words and numbers."""
    names = found.task["label_names"]
    if len(reading.logits) == 1:
        return {"prediction": float(reading.logits[0]), "text": f"{names[0]}: {reading.logits[0]:.3f}"}
    p = np.exp(reading.logits - reading.logits.max())
    p = p / p.sum()
    best = int(p.argmax())
    return {"prediction": names[best], "probabilities": dict(zip(names, p.tolist(), strict=True)),
            "text": f"{names[best]} ({p[best]:.3f})"}


def _fill(found: Checkpoint, reading: Reading, best: int = 5) -> dict:
    """The most likely words at every [MASK] of a text, with their probabilities."""
    places = [i for i, token in enumerate(reading.ids) if token == found.tokenizer.mask_id]
    if not places:
        raise ValueError("a language model fills gaps: put [MASK] where a word is missing")
    p = np.exp(reading.logits[places] - reading.logits[places].max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    words = [[(found.tokenizer.tokens([int(i)])[0], float(row[i])) for i in np.argsort(-row, kind="stable")[:best]]
             for row in p]
    text = "\n".join("[MASK]: " + ", ".join(f"{word} ({q:.3f})" for word, q in row) for row in words)
    return {"text": text, "words": words}


def _say_unknown(reading: Reading) -> None:
    if reading.cut:
        print(f"cut to the model's {len(reading.ids)} tokens; {reading.cut} were left out")
    if reading.unknown:
        print(f"unknown to this vocabulary, read as [UNK]: {', '.join(reading.unknown)}")


def _draw(reading: Reading, n_experts: int, path: str) -> None:
    from minimoe import plots

    figure = plots.experts_per_token(reading.tokens, np.stack(reading.k), format="figure", k_max=n_experts)
    data = io.BytesIO()
    figure.savefig(data, format=Path(path).suffix.lstrip(".").lower(), dpi=150, bbox_inches="tight")
    write_bytes(path, data.getvalue())


def _assignments(reading: Reading) -> str:
    """CSV: one row per assignment. token is the position in the sentence; kept is 0 where a capacity dropped it."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["sentence", "layer", "token", "text", "importance", "k", "expert", "gate", "probability",
                   "kept"])
    for layer, routing in enumerate(reading.routings):
        importance = reading.importance[layer]
        pairs = zip(routing.plan.token.tolist(), routing.plan.expert.tolist(), strict=True)
        for a, (token, expert) in enumerate(pairs):
            rows.writerow([0, layer, token, reading.tokens[token],
                           "" if importance is None else float(importance[token]), int(routing.k[token]), expert,
                           float(routing.gates.data[a]), float(routing.probabilities.data[token, expert]),
                           int(routing.plan.inv[a] >= 0)])
    return out.getvalue()
