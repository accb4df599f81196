"""Routers by name, or from a file of one's own."""
from __future__ import annotations

import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path

from minimoe.moe.base import Router
from minimoe.moe.routers import DynamicRouter, ExpertChoiceRouter, SwitchRouter, TopKRouter, TopPRouter

ROUTERS = {"da": DynamicRouter, "switch": SwitchRouter, "topk": TopKRouter, "topp": TopPRouter,
           "expert_choice": ExpertChoiceRouter}


def make_router(name: str, d_model: int, n_experts: int, **options) -> Router:
    """The router called `name` (da, switch, topk, topp, expert_choice) or "path/to/file.py:ClassName".

    `options`: the keywords of that router, and `rng`. Raises ValueError for an unknown name or option, a file that is
    missing or cannot be run, and a class that is not a Router.
    """
    router = router_class(name)
    options.setdefault("rng", 0)
    known = router_options(router)
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"router {name}: option {unknown[0]!r} is not one of {', '.join(sorted(known - {'rng'}))}")
    return router(d_model, n_experts, **options)


def router_class(name: str) -> type[Router]:
    """The class behind a router's name or "file.py:ClassName"; running that file is the caller's wish."""
    if name in ROUTERS:
        return ROUTERS[name]
    path, _, class_name = name.rpartition(":")
    if not class_name or not path.endswith(".py"):
        raise ValueError(f"router: {name!r} is not one of {', '.join(ROUTERS)}, nor path/to/file.py:ClassName")
    if class_name in ROUTERS:
        raise ValueError(f"router: {name}: give your class another name, {class_name!r} is a built-in router")
    if not Path(path).is_file():
        raise ValueError(f"router: there is no file {path}")
    return _class_in_file(path, Path(path).stat().st_mtime_ns, class_name)


@cache
def _class_in_file(path: str, changed: int, class_name: str) -> type[Router]:
    """The class in a file, which is run once for every state (`changed`) that it is in."""
    spec = importlib.util.spec_from_file_location(f"minimoe_router_file_{Path(path).stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module                 # dataclasses and inspect look a class's module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise ValueError(f"router: {path} cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, Router)):
        raise ValueError(f"router: {path} has no class {class_name} derived from minimoe.moe.Router")
    return found


def router_options(router: type[Router]) -> set[str]:
    """Every keyword that the router's constructors take."""
    names: set[str] = set()
    for cls in router.__mro__:
        init = cls.__dict__.get("__init__")
        if init is None or not issubclass(cls, Router):
            continue
        parameters = inspect.signature(init).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
        names |= set(getattr(cls, "extra_options", ()))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self", "d_model", "n_experts"}
