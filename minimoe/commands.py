"""What each command does; `cli` parses, this module runs and prints."""
from __future__ import annotations

import csv
import io
import platform
from pathlib import Path

import numpy as np

import minimoe
from minimoe.backend import available_backends, blas_threads, get_backend
from minimoe.data.batching import encode_dataset
from minimoe.files import write_bytes, write_json, write_text
from minimoe.moe.make import make_router
from minimoe.study.reading import Reading, read_sentence
from minimoe.study.summary import compare_rows, deciding_lines, health_lines, k_ranges, routed_sentence, table
from minimoe.training import Checkpoint, PretrainConfig, Pretrainer, TrainConfig, Trainer, load_checkpoint
from minimoe.training import evaluate as evaluate_model
from minimoe.training.config import RunConfig
from minimoe.training.loop import Loop
from minimoe.training.task import load_split, prepare_task

PICTURES = (".png", ".svg", ".pdf")
PACKAGED = Path(minimoe.__file__).parent / "assets" / "sentiment"


def train(quiet=False, resume=False, baseline=None, json=None, router_options=None, **keys) -> int:
    """Trains, then prints a table, the state of the routing and one sentence per class."""
    if router_options is not None:
        keys["router_options"] = dict(router_options)
    config = TrainConfig.from_dict(keys)
    get_backend(config.backend)
    if resume and not config.out:
        raise ValueError("--resume needs --out, the folder with the checkpoint")
    _check_writable(json)
    runs = [config]
    if config.builtin if baseline is None else baseline:
        runs.append(config.baseline())
    for run in runs:
        _check_model(run)
    task = prepare_task(config)
    trainers = [Trainer(run, task, progress=not quiet) for run in runs]
    if resume and all([_resume(trainer) and trainer.finished for trainer in trainers]):
        return 0
    results = [trainer.train() for trainer in trainers]

    da = trainers[0]
    print(f"\n{task.name}: {da.task.test_data.split} split, {len(da.task.test_data)} examples\n")
    print(table(compare_rows(results)), end="\n\n")
    for line in health_lines(da.evaluation.layer_stats, k_ranges(da.model)) + deciding_lines(results[0]):
        print(line)
    if da.model.config.n_experts:
        for label, example in da.examples():
            reading = read_sentence(da.model, task.tokenizer, example.text, example.pair)
            print(f"\n{label}:\n{routed_sentence(reading)}")
    if config.out:
        print(f"\ncheckpoint: {config.out}")
    if json:
        write_json(json, results[0] | ({"baseline": results[1]} if len(results) > 1 else {}))
    return 0


def pretrain(quiet=False, resume=False, json=None, router_options=None, **keys) -> int:
    """Trains a masked language model and prints its perplexity on held-out text beside the unigram's."""
    if router_options is not None:
        keys["router_options"] = dict(router_options)
    config = PretrainConfig.from_dict(keys)
    get_backend(config.backend)
    if not config.out:
        raise ValueError("pretrain needs --out, the folder for the checkpoint")
    _check_writable(json)
    _check_model(config)
    trainer = Pretrainer(config, progress=not quiet)
    if resume and _resume(trainer) and trainer.finished:
        return 0
    figures = trainer.train()
    found = figures["metrics"]
    print(f"held-out masked perplexity {found['perplexity']:.1f}, unigram {found['unigram_perplexity']:.1f}, ratio "
          f"{found['ratio']:.3f}; {figures['mean_experts_per_token']:.2f} experts per token, "
          f"{figures['tokens']:,} tokens at {figures['tokens_per_second']:,.0f} a second")
    for line in health_lines(figures["layers"], k_ranges(trainer.model)):
        print(line)
    print(f"checkpoint: {config.out}")
    if json:
        write_json(json, figures)
    return 0


def _check_model(config: RunConfig) -> None:
    """A wrong option shows before any data is read."""
    model = config.resolved().model_config(vocab_size=1)
    if model.n_experts:
        make_router(model.router, model.d_model, model.n_experts, **model.router_options)


def _resume(trainer: Loop) -> bool:
    """Whether there was something to resume."""
    found = trainer.restore()
    if found:
        done = ": finished, nothing to do" if trainer.finished else ""
        print(f"resuming at step {trainer.step}{done} ({trainer.config.out})")
    return found


def evaluate(checkpoint, task=None, data_dir=None, split=None, router=None, backend="numpy", threads=None, json=None,
             seed=0, quiet=True) -> int:
    """Scores a checkpoint on a split."""
    found = _classifier(checkpoint)
    task = task or found.task.get("name")
    config = TrainConfig(task=task, data_dir=data_dir)
    _check_writable(json)
    model = found.model(router, backend)
    data = load_split(config, split or ("test" if config.builtin else "dev"))
    if data.n_classes != model.config.n_classes:
        raise ValueError(f"{checkpoint}: trained for {found.task.get('name')} with {model.config.n_classes} classes; "
                         f"{task} has {data.n_classes}")
    with blas_threads(threads):
        result = evaluate_model(model, encode_dataset(data, found.tokenizer, model.config.max_length), data.metrics)
    for name, value in result.metrics.items():
        print(f"{name}: {value:.4f}")
    print(f"{task} {data.split}: score {result.score:.4f}, {result.mean_experts_per_token:.2f} experts per token")
    if json:
        write_json(json, {"task": task, "split": data.split, "metrics": result.metrics, "score": result.score,
                          "mean_experts_per_token": result.mean_experts_per_token, "examples": len(data)})
    return 0


def predict(text, checkpoint, pair=None, router=None, backend="numpy", threads=None, json=None, seed=0,
            quiet=True) -> int:
    """Classifies one text, or scores one pair; a language model fills every [MASK]."""
    found = load_checkpoint(checkpoint)
    _check_writable(json)
    with blas_threads(threads):
        reading = read_sentence(found.model(router, backend), found.tokenizer, text, pair)
    values = _answer(found, reading) if found.kind == "classifier" else _fill(found, reading)
    print(values["text"])
    _say_unknown(reading)
    if json:
        write_json(json, values)
    return 0


def inspect(text, checkpoint=None, plot=None, export=None, router=None, backend="numpy", threads=None, json=None,
            seed=0, quiet=True) -> int:
    """Shows the experts of every token, and the state of the routing."""
    found = load_checkpoint(PACKAGED if checkpoint is None else checkpoint)
    for path in (plot, export, json):
        _check_writable(path)
    if plot and Path(plot).suffix.lower() not in PICTURES:
        raise ValueError(f"--plot {plot}: the name must end in {', '.join(PICTURES)}")
    with blas_threads(threads):
        model = found.model(router, backend)
        reading = read_sentence(model, found.tokenizer, text)
    if not reading.routings:
        raise ValueError(f"{checkpoint}: a dense model has no experts to show")
    print(routed_sentence(reading), end="\n\n")
    _say_unknown(reading)
    if found.kind == "classifier":
        print(_answer(found, reading)["text"])
    for line in health_lines([routing.stats for routing in reading.routings], k_ranges(model)):
        print(line)
    if plot:
        _draw(reading, plot)
    if export:
        write_text(export, _assignments(reading))
    if json:
        write_json(json, {"tokens": reading.tokens, "k": [k.tolist() for k in reading.k], "unknown": reading.unknown,
                          "importance": [i.tolist() if i is not None else None for i in reading.importance]})
    return 0


def gradcheck(backend="numpy", seed=0, threads=None, json=None, quiet=False) -> int:
    """Runs the whole table of operations."""
    from minimoe.op_cases import check_all

    get_backend(backend)
    _check_writable(json)
    try:
        with blas_threads(threads):
            found = check_all(backend, seed)
    except minimoe.GradientError as error:
        print(error)
        return 1
    if not quiet:
        print(table([{"operation": name, "cases": entry["cases"], "largest relative error": f"{entry['worst']:.1e}"}
                     for name, entry in sorted(found.items())]))
    worst = max(entry["worst"] for entry in found.values())
    print(f"{len(found)} operations, {sum(e['cases'] for e in found.values())} cases, largest relative error "
          f"{worst:.1e}, allowed 1e-06, {backend}, float64")
    if json:
        write_json(json, {"backend": backend, "worst": worst, "kernel_launches": 0,
                          "ops": {name: {**entry, "kernel_launches": 0} for name, entry in found.items()}})
    return 0


def info(backend="numpy", seed=0, threads=None, json=None, quiet=False) -> int:
    """Versions, backends, the matrix library."""
    from importlib import metadata

    from threadpoolctl import threadpool_info

    versions = {"minimoe": minimoe.__version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in ("numpy", "scipy", "safetensors", "tokenizers", "matplotlib"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    blas = [f"{lib['internal_api']} {lib['version']}, {lib['num_threads']} threads" for lib in threadpool_info()]
    for name, version in versions.items():
        print(f"{name:12} {version}")
    print(f"{'matrices':12} {'; '.join(dict.fromkeys(blas))}")
    for name, missing in available_backends().items():
        print(f"{name:12} {missing or 'usable'}")
    if json:
        write_json(json, {"versions": versions, "blas": blas, "backends": available_backends()})
    return 0


def _classifier(path) -> Checkpoint:
    found = load_checkpoint(path)
    if found.kind != "classifier":
        raise ValueError(f"{path}: this is a {found.kind.replace('_', ' ')}, not a classifier")
    return found


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
    if reading.unknown:
        print(f"unknown to this vocabulary, read as [UNK]: {', '.join(reading.unknown)}")


def _draw(reading: Reading, path: str) -> None:
    from minimoe import plots

    figure = plots.experts_per_token(reading.tokens, np.stack(reading.k), format="figure")
    data = io.BytesIO()
    figure.savefig(data, format=Path(path).suffix.lstrip(".").lower(), dpi=150, bbox_inches="tight")
    write_bytes(path, data.getvalue())


def _assignments(reading: Reading) -> str:
    """CSV: one row per assignment. token is the position in the sentence; gate is 0 where a capacity dropped it."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["sentence", "layer", "token", "text", "importance", "k", "expert", "gate", "probability"])
    for layer, routing in enumerate(reading.routings):
        importance = reading.importance[layer]
        pairs = zip(routing.plan.token.tolist(), routing.plan.expert.tolist(), strict=True)
        for a, (token, expert) in enumerate(pairs):
            rows.writerow([0, layer, token, reading.tokens[token],
                           "" if importance is None else float(importance[token]), int(routing.k[token]), expert,
                           float(routing.gates.data[a]), float(routing.probabilities.data[token, expert])])
    return out.getvalue()


def _check_writable(path: str | None) -> None:
    """Refuses an output file in a missing folder before the work, not after it."""
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise ValueError(f"{path}: there is no folder {Path(path).absolute().parent}; make it first")
