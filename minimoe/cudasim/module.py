"""Run CUDA C kernels on the CPU behind CuPy's RawModule/RawKernel call shape."""
import ctypes as C, hashlib, os, re, subprocess, sys, tempfile
import numpy as np
HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("CUDASIM_CACHE", os.path.join(tempfile.gettempdir(), "cudasim-cache"))
FLAGS = {"fast": ["-O2"], "check": ["-O1", "-g", "-fsanitize=thread,undefined", "-fno-sanitize-recover=undefined", "-fno-sanitize=vptr", "--param", "tsan-distinguish-volatile=1"],
         "asan": ["-O1", "-g", "-fsanitize=address,undefined"]}
from minimoe.cudasim.errors import SimulationError
class Options(C.Structure):
    _fields_ = [("seed", C.c_uint64), ("threads", C.c_int), ("check", C.c_int), ("yield_pct", C.c_int), ("strict", C.c_int), ("races_off", C.c_int)]
class config:  # process-wide knobs, set by the tests
    mode = os.environ.get("CUDASIM_MODE", "fast"); seed = int(os.environ.get("CUDASIM_SEED", "0")); threads = 1; yield_pct = 0; strict = True; races = True; smem_limit = 48 << 10
def _run(cmd):
    p = subprocess.run(cmd, capture_output=True, text=True)
    if p.returncode: raise SimulationError("compile failed:\n" + p.stderr[:4000])
def _build(tag, srcs, cmd, link=None):
    key = hashlib.sha256("\0".join([*map(str, cmd)] + [open(s).read() for s in srcs]).encode()).hexdigest()[:16]
    out = os.path.join(CACHE, f"{tag}-{key}.so"); os.makedirs(CACHE, exist_ok=True)
    if not os.path.exists(out):
        tmp = out + f".{os.getpid()}.tmp"
        if link: _run([*cmd, "-c", "-o", tmp + ".o"]); _run([*link, tmp + ".o", "-o", tmp]); os.unlink(tmp + ".o")
        else: _run([*cmd, "-o", tmp])
        os.replace(tmp, out)
    return out
_rt = {}
def runtime(mode):
    k = "asan" if mode == "asan" else "rt"
    if k not in _rt:
        src = os.path.join(HERE, "runtime", "cudasim_rt.cpp"); cmd = ["g++", "-std=c++17", "-O2", "-g", "-fPIC", "-shared", "-pthread", *(["-fsanitize=address"] if k == "asan" else []), *os.environ.get("CUDASIM_RTFLAGS", "").split(), src, f"-Wl,-soname,libcudasim_{k}.so"]
        path = _build("rt", [src, os.path.join(HERE, "runtime", "cudasim.h")], cmd); lib = C.CDLL(path, mode=C.RTLD_GLOBAL); lib.cudasim_launch.restype = C.c_int; _rt[k] = lib
    return _rt[k]
_strip = lambda s: re.sub(r'//[^\n]*|/\*.*?\*/', lambda m: re.sub(r"[^\n]", " ", m.group()), s, flags=re.S)
_DYN = re.compile(r"\bextern\s+__shared__\s+(?:(__align__|alignas)\s*\(\s*\d+\s*\)\s*)?([\w:]+(?:\s+\w+)*?)\s+(\w+)\s*\[\s*\]\s*;")
_KER = re.compile(r'(extern\s+"C"\s+)?__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\(')
def translate(code, names):
    src = _DYN.sub(r"\2* \3 = reinterpret_cast<\2*>(cudasim::cudasim_blk->dyn_smem);", code)
    clean = _strip(src)
    if re.search(r"extern\s+__shared__", clean): raise SimulationError("dynamic shared memory must be declared as: extern __shared__ TYPE NAME[];")
    ker = [m.group(2) for m in _KER.finditer(clean) if not re.search(r"template\s*<[^;{}]*>\s*$", clean[:m.start()])]
    ker += [n for n in names or () if n not in ker]
    tail = "\n#line 1 \"cudasim-exports\"\n" + "".join(f"CUDASIM_EXPORT({i}, {n})\n" for i, n in enumerate(ker))
    tail += 'static __thread char cudasim_probe; extern "C" __attribute__((no_sanitize("thread","undefined","address"))) void cudasim_touch() { *(volatile char*)&cudasim_probe = 0; }\n'
    return src + tail, ker
class RawModule:
    def __init__(self, *, code, options=(), name_expressions=None, backend="nvrtc", **kw):
        self.code, self.options, self.names = code, tuple(options), tuple(name_expressions or ()); self._lib = {}
    def compile(self, log_stream=None): self._load()
    def _load(self):
        mode = config.mode
        if mode in self._lib: return self._lib[mode]
        runtime(mode); text, ker = translate(self.code, self.names); os.makedirs(CACHE, exist_ok=True)
        src = os.path.join(CACHE, "k-" + hashlib.sha256(text.encode()).hexdigest()[:16] + ".cpp"); open(src, "w").write(text)
        opts = [o for o in self.options if re.match(r"-[DIU]", o)]; hdr = os.path.join(HERE, "runtime", "cudasim.h")
        cmd = ["g++", "-std=c++17", "-fPIC", "-shared", "-fno-gnu-unique", "-Wl,-Bsymbolic", "-ffp-contract=off", "-fno-strict-aliasing", "-w", "-I" + os.path.join(HERE, "inc"), *FLAGS[mode], *opts, "-include", hdr, src]
        if mode == "check":  # instrument with g++, link WITHOUT libtsan: our runtime supplies the hooks
            inc = []
            path = _build("k", [src, hdr, *inc], [c for c in cmd if c != "-shared"], link=["g++", "-shared", "-Wl,-Bsymbolic"])
        else: path = _build("k", [src, hdr], cmd)
        lib = C.CDLL(path); self._lib[mode] = (lib, path, {n: i for i, n in enumerate(ker)}); return self._lib[mode]
    def get_function(self, name): return RawKernel._of(self, name)
KINDS = {"f": "f", "i": "i", "u": "u", "b": "b"}
class RawKernel:
    def __init__(self, code, name, options=(), **kw): self.module, self.name, self.max_dynamic_shared_size_bytes = RawModule(code=code, options=options), name, config.smem_limit
    @classmethod
    def _of(cls, mod, name): k = cls.__new__(cls); k.module, k.name, k.max_dynamic_shared_size_bytes = mod, name, config.smem_limit; return k
    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        lib, path, ids = self.module._load()
        if self.name not in ids: raise SimulationError(f"named symbol not found: {self.name}")   # cudaErrorNotFound on a GPU
        i = ids[self.name]; sb = C.create_string_buffer(4096); getattr(lib, f"cudasim_sig_{i}")(sb, C.c_size_t(4096)); sig = [s for s in sb.value.decode().split(";") if s]
        g, b = (tuple(int(v) for v in t) + (1, 1, 1) for t in (grid, block)); g, b = g[:3], b[:3]
        if min(g + b) < 1: raise SimulationError(f"cudaErrorInvalidConfiguration: grid {g}, block {b}")       # n == 0 must be handled by the wrapper
        if b[0] * b[1] * b[2] > 1024 or b[2] > 64 or g[1] > 65535 or g[2] > 65535: raise SimulationError(f"cudaErrorInvalidConfiguration: grid {g}, block {b}")
        if shared_mem > self.max_dynamic_shared_size_bytes: raise SimulationError(f"dynamic shared memory {shared_mem} > {self.max_dynamic_shared_size_bytes}: set max_dynamic_shared_size_bytes")
        if len(args) != len(sig): raise SimulationError(f"{self.name} takes {len(sig)} arguments, {len(args)} given (a GPU would read garbage)")
        keep, vals, arrs = [], (C.c_void_p * len(args))(), {}
        for n, (a, s) in enumerate(zip(args, sig)):
            a = getattr(a, "_host", a); kind, size = s[1], int(s[2:])
            if s[0] in "PC":
                if isinstance(a, np.ndarray) is False and a is not None: raise SimulationError(f"argument {n} of {self.name}: pointer expected, got {type(a).__name__}")
                if a is None: p = C.c_void_p(0)
                else:
                    if kind != "V" and (KINDS.get(a.dtype.kind), a.dtype.itemsize) != (kind, size): raise SimulationError(f"argument {n} of {self.name}: array is {a.dtype}, the kernel wants {kind}{size}")
                    if not a.flags.c_contiguous: raise SimulationError(f"argument {n} of {self.name}: array is not C-contiguous")
                    p = C.c_void_p(a.ctypes.data); o = arrs.get((a.ctypes.data, a.nbytes)); arrs[(a.ctypes.data, a.nbytes)] = (n, a.dtype.itemsize, (s[0] == "C" or not a.flags.writeable) and (o is None or o[2]))
            else:
                if isinstance(a, np.ndarray) or not isinstance(a, (np.generic, bytes)) : raise SimulationError(f"argument {n} of {self.name}: pass a NumPy scalar ({kind}{size}), not {type(a).__name__}: CuPy would send {'8 bytes' if isinstance(a,(int,float)) else 'something else'}")
                if kind != "V" and (KINDS.get(a.dtype.kind), a.dtype.itemsize) != (kind, size) or a.dtype.itemsize != size: raise SimulationError(f"argument {n} of {self.name}: scalar is {a.dtype}, the kernel wants {kind}{size}")
                p = C.create_string_buffer(a.tobytes(), max(size, 1))
            keep.append(p); vals[n] = C.cast(C.pointer(p) if isinstance(p, C.c_void_p) else p, C.c_void_p)
        items = sorted(arrs.items()); m = len(items); err = C.create_string_buffer(2048); chk = config.mode == "check"
        o = Options(config.seed, config.threads, int(chk), config.yield_pct, int(config.strict), int(not config.races))
        rc = runtime(config.mode).cudasim_launch(path.encode(), getattr(lib, f"cudasim_thunk_{i}"), lib.cudasim_touch, vals, (C.c_uint * 6)(*g, *b), C.c_size_t(shared_mem), C.byref(o), m,
            (C.c_void_p * m)(*[k[0] for k, _ in items]), (C.c_size_t * m)(*[k[1] for k, _ in items]), (C.c_uint * m)(*[min(4, v[1]) for _, v in items]), (C.c_int * m)(*[v[0] for _, v in items]), (C.c_ubyte * m)(*[int(v[2]) for _, v in items]), err, C.c_size_t(2048))
        if rc: raise SimulationError(f"{self.name}: " + self._where(path, err.value.decode()))
    @staticmethod
    def _where(path, msg):
        m = re.match(r"pc\+0x([0-9a-f]+)", msg)
        if not m: return msg
        r = subprocess.run(["addr2line", "-i", "-e", path, hex(int(m.group(1), 16) - 1)], capture_output=True, text=True).stdout.split("\n")
        k = [x for x in r if x and "cudasim.h" not in x]; return (f"line {k[0].rsplit(':',1)[-1].split()[0]}" if k else m.group(0)) + msg[m.end():]
