// float4, int2 and the other vector types, with CUDA's sizes and alignments, and make_float4 and its friends.
#pragma once

#define CUDASIM_VECTORS(T, NAME)                                                                      \
    struct NAME##1 { T x; };                                                                          \
    struct alignas(sizeof(T) * 2) NAME##2 { T x, y; };                                                \
    struct NAME##3 { T x, y, z; };                                                                    \
    struct alignas(sizeof(T) * 4 > 16 ? 16 : sizeof(T) * 4) NAME##4 { T x, y, z, w; };                \
    inline NAME##1 make_##NAME##1(T x) { return {x}; }                                                \
    inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                                        \
    inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }                                \
    inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUDASIM_VECTORS(signed char, char)
CUDASIM_VECTORS(unsigned char, uchar)
CUDASIM_VECTORS(short, short)
CUDASIM_VECTORS(unsigned short, ushort)
CUDASIM_VECTORS(int, int)
CUDASIM_VECTORS(unsigned, uint)
CUDASIM_VECTORS(long long, longlong)
CUDASIM_VECTORS(unsigned long long, ulonglong)
CUDASIM_VECTORS(float, float)
CUDASIM_VECTORS(double, double)
