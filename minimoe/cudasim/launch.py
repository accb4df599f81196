"""One kernel, ready to be launched: its parameters are known, and the memory for its arguments is laid out once."""
from __future__ import annotations

import ctypes
import threading
from pathlib import Path

from minimoe.cudasim.arguments import Parameter, address, check_count, parse_signature, scalar_bytes
from minimoe.cudasim.build import runtime, source_line
from minimoe.cudasim.errors import SimulationError
from minimoe.cudasim.settings import Settings

GRAIN = 4                                           # bytes of an array that the checker tells apart, at most
SCHEDULES = {"forward": 0, "reversed": 1}           # any other is a seed
ONE_AT_A_TIME = threading.Lock()                    # launches run one after the other, as on one stream


class Request(ctypes.Structure):                    # struct Request of runtime/run.h
    _fields_ = [("call", ctypes.c_void_p), ("touch", ctypes.c_void_p), ("arguments", ctypes.c_void_p),
                ("grid", ctypes.c_uint32 * 3), ("block", ctypes.c_uint32 * 3),
                ("dynamic_shared", ctypes.c_uint64), ("seed", ctypes.c_uint64),
                ("schedule", ctypes.c_int32), ("check", ctypes.c_int32), ("arrays", ctypes.c_int32),
                ("begins", ctypes.c_void_p), ("sizes", ctypes.c_void_p), ("grains", ctypes.c_void_p),
                ("numbers", ctypes.c_void_p), ("read_only", ctypes.c_void_p)]


class Fault(ctypes.Structure):                      # struct Fault of runtime/run.h
    _fields_ = [("pc", ctypes.c_uint64), ("earlier_pc", ctypes.c_uint64), ("line", ctypes.c_int32),
                ("block", ctypes.c_uint32 * 3), ("thread", ctypes.c_uint32 * 3), ("text", ctypes.c_char * 400)]


class Launcher:
    """Kernel number `index` of a loaded library."""

    def __init__(self, name: str, library: ctypes.CDLL, path: Path, index: int):
        self.name, self.path = name, path
        text = ctypes.create_string_buffer(1 << 14)
        library[f"cudasim_signature_{index}"](text, ctypes.c_size_t(len(text)))
        self.parameters: list[Parameter] = parse_signature(text.value.decode())
        # every argument has a place of its own in one buffer, and the kernel is given a table of their addresses
        places = []
        for parameter in self.parameters:
            end = places[-1][1] if places else 0
            start = -(-end // 16) * 16
            places.append((start, start + (8 if parameter.pointer else parameter.size)))
        self.slices = [slice(start, end) for start, end in places]
        self.storage = ctypes.create_string_buffer((places[-1][1] if places else 0) + 16)
        base = -(-ctypes.addressof(self.storage) // 16) * 16
        self.bytes = memoryview(self.storage).cast("B")[base - ctypes.addressof(self.storage):]
        self.table = (ctypes.c_void_p * len(places))(*[base + start for start, _ in places])
        call, touch = (ctypes.cast(library[function], ctypes.c_void_p).value
                       for function in (f"cudasim_call_{index}", "cudasim_touch"))
        self.request = Request(call=call, touch=touch, arguments=ctypes.addressof(self.table))
        self.fault = Fault()

    def __call__(self, grid: tuple, block: tuple, args, shared_mem: int, settings: Settings) -> None:
        """Runs the kernel. Raises SimulationError with the first fault, TypeError or ValueError for bad arguments."""
        check_count(self.name, self.parameters, args)
        with ONE_AT_A_TIME:
            arrays = []
            for number, (parameter, value, place) in enumerate(zip(self.parameters, args, self.slices, strict=True)):
                if parameter.pointer:
                    begin = address(self.name, number, parameter, value)
                    self.bytes[place] = begin.to_bytes(8, "little")
                    if settings.check and begin:
                        arrays.append((begin, value._host, number, parameter.constant))
                else:
                    self.bytes[place] = scalar_bytes(self.name, number, parameter, value)
            request = self.request
            request.grid[:], request.block[:], request.dynamic_shared = grid, block, shared_mem
            request.schedule = SCHEDULES.get(settings.schedule, 2)
            request.seed = settings.schedule if request.schedule == 2 else 0
            request.check = settings.check
            tables = self._describe(arrays)
            failed = runtime().cudasim_launch(ctypes.byref(request), ctypes.byref(self.fault))
            del tables                                  # which had to live until here
            if failed:
                raise self._error()

    def _describe(self, arrays) -> list:
        """Tells the checker where the arrays lie."""
        n = len(arrays)
        self.request.arrays = n
        columns = {"begins": (ctypes.c_void_p, [begin for begin, *_ in arrays]),
                   "sizes": (ctypes.c_uint64, [host.nbytes for _, host, *_ in arrays]),
                   "grains": (ctypes.c_uint64, [min(GRAIN, host.itemsize) for _, host, *_ in arrays]),
                   "numbers": (ctypes.c_int32, [number for *_, number, _ in arrays]),
                   "read_only": (ctypes.c_uint8, [constant or not host.flags.writeable
                                                  for _, host, _, constant in arrays])}
        tables = []
        for name, (kind, values) in columns.items() if n else ():
            tables.append((kind * n)(*values))
            setattr(self.request, name, ctypes.addressof(tables[-1]))
        return tables

    def _error(self) -> SimulationError:
        fault = self.fault
        line = fault.line or (source_line(self.path, fault.pc) if fault.pc else None)
        what = fault.text.decode(errors="replace")
        if fault.earlier_pc:
            what += f"; the earlier one is on line {source_line(self.path, fault.earlier_pc)}"
        return SimulationError(what, self.name, line, tuple(fault.block), tuple(fault.thread))
