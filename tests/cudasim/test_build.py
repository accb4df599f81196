"""The cache of compiled kernels: whose folder it is, what is loaded from it; and machines without a compiler."""
import os
import platform
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minimoe.cudasim as cs
from minimoe.cudasim import build
from minimoe.cudasim.translate import translate

TEXT, _ = translate('extern "C" __global__ void f(int* y) { y[0] = 7; }')


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A cache of its own, and nothing remembered of the usual one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.runtime()
    for remembered in (build.cache_folder, build.kernel_library):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (build.cache_folder, build.kernel_library):
        remembered.cache_clear()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def build_again() -> Path:
    build.kernel_library.cache_clear()
    return build.kernel_library(TEXT, (), False)[1]


def test_the_folder_is_made_for_its_owner_alone(base):
    assert build.cache_folder() == base / "minimoe" / "cudasim"
    assert mode(base / "minimoe") == mode(base / "minimoe" / "cudasim") == 0o700


def unsafe_is_not_used(base):
    folder = build.cache_folder()
    assert base not in folder.parents and mode(folder) == 0o700 and folder.is_dir()


@pytest.mark.parametrize("outer, inner", [(0o700, 0o750), (0o700, 0o705), (0o770, 0o700), (0o702, 0o700)])
def test_a_folder_open_to_others_is_not_used(base, outer, inner):
    (base / "minimoe" / "cudasim").mkdir(parents=True)
    (base / "minimoe").chmod(outer)
    (base / "minimoe" / "cudasim").chmod(inner)
    unsafe_is_not_used(base)


def test_a_link_is_not_used(base, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (base / "minimoe").mkdir(mode=0o700)
    (base / "minimoe" / "cudasim").symlink_to(tmp_path / "elsewhere")
    unsafe_is_not_used(base)


def test_a_folder_of_another_user_is_not_used(base, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    unsafe_is_not_used(base)


def test_a_folder_that_cannot_be_made_is_not_used(base):
    (base / "minimoe").write_text("a file", encoding="utf-8")
    unsafe_is_not_used(base)


def test_a_relative_cache_home_is_ignored(base, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(base))
    assert build.cache_folder() == base / ".cache" / "minimoe" / "cudasim"


def test_without_a_home_the_folder_is_temporary(base, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    unsafe_is_not_used(base)


def test_a_kernel_is_compiled_once(base, monkeypatch):
    path = build_again()
    made = path.stat().st_ino
    monkeypatch.setattr(build, "_gxx", lambda *_: pytest.fail("compiled again"))
    assert build_again() == path and path.stat().st_ino == made
    assert os.listdir(path.parent) == [path.name]   # and nothing temporary is left


def test_a_library_appears_by_one_renaming_when_it_is_whole(base, monkeypatch):
    def interrupted(made, path):
        assert build._is_whole(made) and not path.exists()
        raise KeyboardInterrupt
    with monkeypatch.context() as changed, pytest.raises(KeyboardInterrupt):
        changed.setattr(os, "replace", interrupted)
        build_again()
    assert os.listdir(build.cache_folder()) == []


@pytest.mark.parametrize("harm", [lambda b: b[:5000] + bytes([b[5000] ^ 1]) + b[5001:], lambda b: b[:-100],
                                  lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])],
                         ids=["a bit", "cut short", "empty", "the hash"])
def test_a_cached_file_that_was_altered_is_made_anew(base, harm):
    path = build_again()
    good = path.read_bytes()
    path.unlink()                                   # it is mapped into this process: write another file
    path.write_bytes(harm(good))
    assert build_again() == path and path.read_bytes() == good


def test_what_does_not_compile_leaves_nothing_behind(base):
    text, _ = translate('extern "C" __global__ void f(int* y) { nonsense }')
    with pytest.raises(cs.SimulationError, match="(?s)^g.. does not compile this kernel file:.*nonsense"):
        build.kernel_library(text, (), False)
    assert os.listdir(build.cache_folder()) == []


def test_the_name_depends_on_all_that_a_library_is_made_from(base, monkeypatch):
    monkeypatch.setattr(build, "_compile", lambda *_: None)
    options = ["-O2"]
    names = {build._library("kernel", TEXT, options), build._library("kernel", TEXT + " ", options),
             build._library("kernel", TEXT, [*options, "-DREAL=float"])}
    for part in ("_sources", "_compiler"):
        with monkeypatch.context() as changed:
            changed.setattr(build, part, lambda: "another")
            names.add(build._library("kernel", TEXT, options))
    assert len(names) == 5


def test_modules_of_the_same_text_share_one_library():
    code = 'extern "C" __global__ void f(int* y) { y[0] = 8; }'
    compiled = build.kernel_library.cache_info().misses
    for _ in range(3):
        y = cs.zeros(1, np.int32)
        cs.RawKernel(code, "f")((1,), (1,), (y,))
        assert int(y[0]) == 8
    assert build.kernel_library.cache_info().misses <= compiled + 1


def test_nothing_is_missing_here():
    assert cs.missing() == ""


@pytest.mark.parametrize("where, name, value, says", [
    (sys, "platform", "darwin", "the CUDA simulator needs Linux, and this is darwin; a Linux container will do"),
    (platform, "machine", lambda: "aarch64", "the CUDA simulator needs an x86-64 processor, and this is aarch64"),
    (shutil, "which", lambda p: None, "the CUDA simulator needs g++: apt install g++ (or dnf install gcc-c++)"),
    (shutil, "which", lambda p: p if p == "g++" else None,
     "the CUDA simulator needs addr2line: apt install binutils (or dnf install binutils)"),
])
def test_a_machine_that_cannot_simulate_says_why_in_one_line(monkeypatch, where, name, value, says):
    monkeypatch.setattr(where, name, value)
    assert cs.missing() == says


def test_importing_compiles_nothing_and_needs_no_compiler(tmp_path):
    program = ("import minimoe.cudasim as cs, sys; m = cs.RawModule(code='');"
               "assert cs.missing().startswith('the CUDA simulator needs g++')")
    environment = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert os.listdir(tmp_path) == []
