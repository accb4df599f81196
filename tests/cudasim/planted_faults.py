"""Kernels with one planted fault each: the table of test_faults.py."""
from typing import NamedTuple

import numpy as np

import minimoe.cudasim as cs

FULL = "0xffffffffu"
i32, f32 = np.int32, np.float32


class Fault(NamedTuple):
    code: str                                       # parameters and body; the line at fault ends in "// HERE"
    grid: int
    block: int
    args: tuple
    kind: str                                       # a pattern that the report must hold
    blocks: tuple                                   # which blocks, and which threads, it may name
    threads: tuple
    shared_mem: int = 0


def zeros(n, dtype=i32):
    return cs.zeros(n, dtype)


def read_only(n):
    array = zeros(n)
    array._host.flags.writeable = False
    return array


def overlapping(n):
    array = zeros(n + 1)
    return array[:n], array[1:]


FAULTS = {
    "write past the end": Fault("""(float* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i <= n)
            y[i] = 1.0f; // HERE
    }""", 2, 64, (zeros(100, f32), i32(100)), r"out-of-bounds write of 4 bytes at byte 400 of argument 0.* 400 bytes",
        (1,), (36,)),
    "read past the end": Fault("""(const float* x, float* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) y[i] = x[i + 1]; // HERE
    }""", 2, 64, (zeros(100, f32), zeros(100, f32), i32(100)),
        "out-of-bounds read of 4 bytes at byte 400 of argument 0",
        (1,), (35,)),
    "read before the begin": Fault("""(const double* x, double* y) {
        int i = threadIdx.x;
        y[i] = x[i - 1]; // HERE
    }""", 1, 32, (zeros(32, "f8"), zeros(32, "f8")),
        "out-of-bounds read of 8 bytes at byte -8 of argument 0", (0,), (0,)),
    "wild pointer": Fault("""(long long* y) {
        y[(1ll << 40) + threadIdx.x] = 1; // HERE
    }""", 1, 32, (zeros(32, "i8"),), "out-of-bounds write of 8 bytes, outside every array", (0,), (0,)),
    "null pointer": Fault("""(int* y) {
        y[threadIdx.x] = 1; // HERE
    }""", 1, 32, (None,), "null or misaligned pointer", (0,), range(32)),
    "copy past the end": Fault("""(int* y, const int* x, int bytes) {
        memcpy(y, x, bytes); // HERE
    }""", 1, 1, (zeros(4), zeros(8), i32(20)), "out-of-bounds write of 20 bytes at byte 0 of argument 0", (0,), (0,)),
    "copy from past the end": Fault("""(int* y, const int* x, int bytes) {
        memmove(y, x, bytes); // HERE
    }""", 1, 1, (zeros(8), zeros(4), i32(20)), "out-of-bounds read of 20 bytes at byte 0 of argument 1", (0,), (0,)),
    "fill past the end": Fault("""(int* y, int bytes) {
        memset(y, 0, bytes); // HERE
    }""", 1, 1, (zeros(4), i32(20)), "out-of-bounds write of 20 bytes at byte 0 of argument 0", (0,), (0,)),
    "index of a fixed shared array": Fault("""(float* y) {
        __shared__ float s[64];
        s[threadIdx.x + 1] = 1.0f; // HERE
        __syncthreads();
        y[threadIdx.x] = s[threadIdx.x];
    }""", 1, 64, (zeros(64, f32),), "out-of-bounds index of a fixed-size array", (0,), (63,)),
    "past the dynamic shared memory": Fault("""(float* y) {
        extern __shared__ float s[];
        s[threadIdx.x + 1] = 1.0f; // HERE
    }""", 1, 64, (zeros(64, f32),), "out-of-bounds write of 4 bytes at byte 256 of dynamic shared memory.* 256 bytes",
        (0,), (63,), 256),
    "misaligned float4": Fault("""(const float* x, float* y) {
        y[threadIdx.x] = reinterpret_cast<const float4*>(x + threadIdx.x)->y; // HERE
    }""", 1, 32, (zeros(64, f32), zeros(32, f32)), "null or misaligned pointer", (0,), (1,)),
    "missing barrier": Fault("""(const int* x, int* y) {
        __shared__ int s[256];
        int t = threadIdx.x;
        s[t] = x[t];
        __syncthreads();
        s[t] += 1; // HERE
        y[t] = s[(t + 97) % 256];
    }""", 1, 256, (zeros(256), zeros(256)),
        "race on static shared memory.*this write and an earlier read by thread 0 of block 0.*one is on line 7",
        (0,), (97,)),
    "missing barrier in a buffer not yet written": Fault("""(const int* x, int* y) {
        __shared__ int s[256];
        int t = threadIdx.x;
        s[t] = x[t];
        y[t] = s[(t + 97) % 256]; // HERE
    }""", 1, 256, (zeros(256), zeros(256)), "read of static shared memory, byte [0-9]+, that no thread", (0,), (0,)),
    "scan with one barrier per step": Fault("""(const int* x, int* y, int n) {
        extern __shared__ int s[];
        int t = threadIdx.x;
        s[t] = x[t];
        __syncthreads();
        for (int d = 1; d < n; d *= 2) {
            int v = t >= d ? s[t - d] : 0; // HERE
            s[t] += v;
            __syncthreads();
        }
        y[t] = s[t];
    }""", 1, 64, (zeros(64), zeros(64), i32(64)), "race on dynamic shared memory", (0,), (1,), 256),
    "missing barrier at the end of a loop": Fault("""(int* y) {
        __shared__ int s[64];
        int t = threadIdx.x;
        for (int i = 0; i < 2; i++) {
            s[t] = i;
            __syncthreads();
            y[t] = s[63 - t]; // HERE
        }
    }""", 1, 64, (zeros(64),), "race on static shared memory.*this read and an earlier write by thread 31 .* line 5$",
        (0,), (32,)),
    "missing __syncwarp": Fault("""(int* y) {
        __shared__ int s[32];
        int t = threadIdx.x;
        s[t] = t;
        __syncwarp();
        s[t] += 1; // HERE
        y[t] = s[31 - t];
    }""", 1, 32, (zeros(32),), "race on static shared memory.*earlier read by thread 31 of.*on line 7$", (0,),
        (0,)),
    "only half a warp synchronises": Fault(f"""(int* y) {{
        __shared__ int s[32];
        int t = threadIdx.x;
        s[t] = 0;
        __syncwarp({FULL});
        if (t < 16) {{ __syncwarp(0x0000ffffu); s[t] = t; }}
        else y[t] = s[31 - t]; // HERE
    }}""", 1, 32, (zeros(32),),
        "race on static shared memory.*this read and an earlier write by thread 15 .*on line 6$",
        (0,), (16,)),
    "volatile warp reduction": Fault("""(int* y) {
        __shared__ volatile int s[64];
        int t = threadIdx.x;
        s[t] = t; s[t + 32] = t;
        s[t] += s[t + 1]; // HERE
        y[t] = s[t];
    }""", 1, 32, (zeros(32),), "race on static shared memory|that no thread of this block", (0,), range(32)),
    "shared memory read before written": Fault("""(int* y) {
        __shared__ int s[64];
        if (threadIdx.x < 32) s[threadIdx.x] = 1;
        __syncthreads();
        y[threadIdx.x] = s[threadIdx.x]; // HERE
    }""", 1, 64, (zeros(64),), "read of static shared memory, byte [0-9]+, that no thread of this block", (0,), (32,)),
    "shared memory that an earlier block wrote": Fault("""(int* y) {
        __shared__ int s[32];
        if (blockIdx.x == 0) s[threadIdx.x] = 1;
        y[threadIdx.x + 32 * blockIdx.x] = s[threadIdx.x]; // HERE
    }""", 2, 32, (zeros(64),), "read of static shared memory, byte [0-9]+, that no thread of this block", (1,), (0,)),
    "two different barriers": Fault("""(int* y) {
        if (threadIdx.x < 32) {
            __syncthreads();
        } else {
            __syncthreads(); // HERE
        }
    }""", 1, 64, (zeros(64),),
        "barrier divergence: __syncthreads here while other threads wait at line 3", (0,), (32,)),
    "return before a barrier": Fault("""(int* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i >= n) return;
        __syncthreads(); // HERE
        y[i] = 1;
    }""", 2, 64, (zeros(100), i32(100)), "barrier divergence.*28 threads have returned, 36 wait at __syncthreads", (1,),
        range(36)),
    "warps count barriers differently": Fault("""(int* y) {
        for (int i = 0; i <= threadIdx.x / 32; i++)
            __syncthreads(); // HERE
        y[threadIdx.x] = 1;
    }""", 1, 64, (zeros(64),), "barrier divergence.*32 threads have returned, 32 wait", (0,), range(32, 64)),
    "block barrier against warp barrier": Fault("""(int* y) {
        if (threadIdx.x < 16) __syncthreads();
        else __syncwarp(); // HERE
    }""", 1, 32, (zeros(32),),
        "barrier divergence.*16 wait at __syncthreads .line 2., 16 wait at a warp function .line 3.",
        (0,), range(16, 32)),
    "shuffle with absent lanes": Fault(f"""(int* y) {{
        int v = threadIdx.x;
        if (v >= 16) return;
        v = __shfl_xor_sync({FULL}, v, 1); // HERE
        y[threadIdx.x] = v;
    }}""", 1, 32, (zeros(32),), "mask 0xffffffff names lanes 0xffff0000 that have returned", (0,), range(16)),
    "shuffle against ballot": Fault(f"""(int* y) {{
        if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync({FULL}, 1, 0);
        else y[threadIdx.x] = __ballot_sync({FULL}, 1); // HERE
    }}""", 1, 32, (zeros(32),), "barrier divergence.*0 wait at __syncthreads .line 0., 32 wait at a warp function",
        (0,), range(16, 32)),
    "shuffle that does not name its caller": Fault("""(int* y) {
        y[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0); // HERE
    }""", 1, 32, (zeros(32),), "the calling lane 16 is not in its mask 0x0000ffff", (0,), (16,)),
    "shuffle from a lane outside its mask": Fault("""(int* y) {
        if (threadIdx.x < 16)
            y[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 20); // HERE
    }""", 1, 32, (zeros(32),), "shuffle reads a lane that is not in its mask", (0,), range(16)),
    "sum without atomics": Fault("""(int* y) {
        y[0] += 1; // HERE
    }""", 1, 64, (zeros(1),),
        "race on argument 0, byte 0: this read and an earlier write by thread 0 of block 0", (0,), (1,)),
    "atomic against ordinary": Fault("""(int* y) {
        if (threadIdx.x == 0)
            y[0] = 1;
        else
            atomicAdd(y, 1); // HERE
    }""", 1, 32, (zeros(1),), "race on argument 0, byte 0: this write and an earlier write by thread 0", (0,), (1,)),
    "ordinary against atomic": Fault("""(int* y) {
        if (threadIdx.x == 0) atomicAdd(y, 1);
        else y[threadIdx.x] = y[0]; // HERE
    }""", 1, 32, (zeros(32),), "race on argument 0, byte 0: this read and an earlier write by thread 0", (0,), (1,)),
    "atomic past the end": Fault("""(int* y) {
        atomicAdd(y + threadIdx.x, 1); // HERE
    }""", 1, 32, (zeros(31),), "out-of-bounds write of 4 bytes at byte 124", (0,), (31,)),
    "write after reads by several warps": Fault("""(int* x, int* y) {
        y[threadIdx.x] = x[0];
        __syncwarp();
        if (threadIdx.x == 33)
            x[0] = 1; // HERE
    }""", 1, 64, (zeros(1), zeros(64)), "race on argument 0, byte 0: this write and an earlier read by thread 31 of",
        (0,), (33,)),
    "atomic on shared memory that nobody has written": Fault("""(int* y) {
        __shared__ int s[1];
        atomicAdd(s, 1); // HERE
        y[threadIdx.x] = s[0];
    }""", 1, 32, (zeros(32),), "read of static shared memory, byte 0, that no thread", (0,), (0,)),
    "two blocks write one cell": Fault("""(int* y) {
        y[threadIdx.x] = 7; // HERE
    }""", 2, 32, (zeros(32),), "race on argument 0, byte 0: this write and an earlier write by thread 0 of block 0",
        (1,), (0,)),
    "arrays that overlap": Fault("""(const int* x, int* y) {
        y[threadIdx.x] = x[threadIdx.x]; // HERE
    }""", 1, 32, overlapping(32), "race on argument [01]", (0,), (1,)),
    "write through const": Fault("""(const int* x) {
        const_cast<int*>(x)[threadIdx.x] = 0; // HERE
    }""", 1, 32, (zeros(32),), "write to argument 0, which is read-only", (0,), (0,)),
    "write to a read-only array": Fault("""(int* x) {
        x[threadIdx.x] = 0; // HERE
    }""", 1, 32, (read_only(32),), "write to argument 0, which is read-only", (0,), (0,)),
    "integer overflow": Fault("""(int* y, int big) {
        y[threadIdx.x] = big + int(threadIdx.x); // HERE
    }""", 1, 32, (zeros(32), i32(2**31 - 3)), r"signed integer overflow in \+", (0,), (3,)),
    "division by zero": Fault("""(int* y, int n) {
        y[threadIdx.x] = 7 / n; // HERE
    }""", 1, 32, (zeros(32), i32(0)), "integer division by zero", (0,), (0,)),
    "shift by too much": Fault("""(int* y, int n) {
        y[threadIdx.x] = 1 << n; // HERE
    }""", 1, 32, (zeros(32), i32(40)), "shift by more bits than the type has", (0,), (0,)),
    "stack overflow": Fault("""(float* y) {
        volatile float big[17000];
        for (int i = 0; i < 17000; i++) big[i] = y[threadIdx.x]; // HERE
        y[threadIdx.x] = big[0];
    }""", 1, 32, (zeros(32, f32),), "stack overflow: local variables need more than 65536 bytes", (0,), (0,)),
}
