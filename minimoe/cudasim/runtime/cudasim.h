// cudasim.h -- compile unchanged CUDA C kernels with a host C++17 compiler.
// Force-included (g++ -include cudasim.h). Threads of a block are fibers.
#pragma once
#include <cassert>
#include <climits>
#include <cmath>
#include <math.h>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>
#define CUDASIM 1
#if !defined(CUDASIM_RT)   // NVRTC has no <cmath>/<climits> macros: neither may the simulator
#undef INFINITY
#undef NAN
#undef INT_MAX
#undef INT_MIN
#undef UINT_MAX
#undef M_PI
#undef HUGE_VALF
#undef assert
#endif
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __shared__ static __thread
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#if defined(__SANITIZE_THREAD__)
#define CS_RAW __attribute__((noinline, no_sanitize("thread")))
#define CS_RAW2 __attribute__((noinline, no_sanitize("thread")))
#else
#define CS_RAW inline
#define CS_RAW2
#endif
struct dim3 { unsigned x, y, z; constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {} };
#define CS_VEC(T, N) struct alignas(sizeof(T)*2) N##2 { T x, y; }; struct N##3 { T x, y, z; }; \
  struct alignas(sizeof(T)*4 > 16 ? 16 : sizeof(T)*4) N##4 { T x, y, z, w; }; \
  inline N##2 make_##N##2(T a, T b) { return {a, b}; } inline N##3 make_##N##3(T a, T b, T c) { return {a, b, c}; } \
  inline N##4 make_##N##4(T a, T b, T c, T d) { return {a, b, c, d}; }
CS_VEC(float, float) CS_VEC(double, double) CS_VEC(int, int) CS_VEC(unsigned, uint)
CS_VEC(signed char, char) CS_VEC(unsigned char, uchar) CS_VEC(short, short) CS_VEC(unsigned short, ushort) CS_VEC(long long, longlong)

namespace cudasim {
struct Thread { dim3 tid; unsigned linear; };                 // prefix of the runtime's Fiber
struct Launch { dim3 grid, block; dim3 bid; void* dyn_smem; };  // prefix of the runtime's Block
enum Op { SYNCWARP, SHFL, BALLOT, MATCH };
struct Slot { unsigned mask, arrived, left; int op; uint64_t v[32]; Slot* next; };
extern "C" {
extern __thread Thread* cudasim_cur __attribute__((tls_model("initial-exec")));
extern __thread Launch* cudasim_blk __attribute__((tls_model("initial-exec")));
int cudasim_barrier(int line, int kind, int pred);
Slot* cudasim_collective(unsigned mask, int op, uint64_t v, int line);
void cudasim_slot_done(Slot*);
[[noreturn]] void cudasim_fail(const char* msg, int line);
void cudasim_atomic_check(const volatile void* p, unsigned size, void* pc);
void cudasim_maybe_yield();
}
template <class T> inline uint64_t pack(T v) { static_assert(sizeof(T) <= 8, "shuffle of >8 bytes"); uint64_t r = 0; memcpy(&r, &v, sizeof(T)); return r; }
template <class T> inline T unpack(uint64_t r) { T v; memcpy(&v, &r, sizeof(T)); return v; }
inline unsigned lane() { return cudasim_cur->linear & 31u; }
template <class T> CS_RAW T shfl(unsigned mask, T v, int src, bool ok, int line) {
  Slot* s = cudasim_collective(mask, SHFL, pack(v), line);
  T r = v;
  if (ok) { if (!(s->arrived >> src & 1)) cudasim_fail("shuffle reads a lane that is not in the mask or has exited (undefined value)", line); r = unpack<T>(s->v[src]); }
  cudasim_slot_done(s); return r;
}
template <class T, class F> CS_RAW T atomic_rmw(T* p, F f) {
#if defined(__SANITIZE_THREAD__)
  cudasim_atomic_check(p, sizeof(T), __builtin_return_address(0));
#endif
  cudasim_maybe_yield();
  using U = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
  U* u = reinterpret_cast<U*>(p); U o = __atomic_load_n(u, __ATOMIC_RELAXED), n;
  do { T t; memcpy(&t, &o, sizeof t); t = f(t); memcpy(&n, &t, sizeof n); }
  while (!__atomic_compare_exchange_n(u, &o, n, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  T r; memcpy(&r, &o, sizeof r); return r;
}
// ---- argument signature, read by the Python side -------------------------------------------
template <class T> struct Code { static std::string get() { using U = std::remove_cv_t<T>;
  std::string k = std::is_same_v<U, bool> ? "b" : std::is_floating_point_v<U> ? "f" : std::is_integral_v<U> ? (std::is_signed_v<U> ? "i" : "u") : "V";
  return k + std::to_string(sizeof(U)); } };
template <class T> struct Sig { static std::string get() { return "S" + Code<T>::get(); } };
template <class T> struct Sig<T*> { static std::string get() { if constexpr (std::is_void_v<std::remove_cv_t<T>>) return "PV0"; else return (std::is_const_v<T> ? "C" : "P") + Code<T>::get(); } };
template <class... A> std::string sig(void (*)(A...)) { std::string s; ((s += Sig<std::remove_cv_t<A>>::get() + ";"), ...); return s; }
template <class... A, size_t... I> CS_RAW void call_(void (*f)(A...), void** a, std::index_sequence<I...>) { f(*static_cast<std::remove_reference_t<A>*>(a[I])...); }
template <class... A> CS_RAW void call(void (*f)(A...), void** a) { call_(f, a, std::index_sequence_for<A...>{}); }
}  // namespace cudasim
#define CUDASIM_EXPORT(id, ...) \
  extern "C" CS_RAW2 void cudasim_thunk_##id(void** a) { cudasim::call(&__VA_ARGS__, a); } \
  extern "C" CS_RAW2 void cudasim_sig_##id(char* o, size_t n) { snprintf(o, n, "%s", cudasim::sig(&__VA_ARGS__).c_str()); }
#define threadIdx (cudasim::cudasim_cur->tid)
#define blockIdx (cudasim::cudasim_blk->bid)
#define blockDim (cudasim::cudasim_blk->block)
#define gridDim (cudasim::cudasim_blk->grid)
#define warpSize 32
#define CS_LINE int line = __builtin_LINE()
// ---- barriers, warp collectives ------------------------------------------------------------
inline void __syncthreads(CS_LINE) { cudasim::cudasim_barrier(line, 0, 0); }
inline int __syncthreads_count(int p, CS_LINE) { return cudasim::cudasim_barrier(line, 1, p != 0); }
inline int __syncthreads_or(int p, CS_LINE) { return cudasim::cudasim_barrier(line, 1, p != 0) != 0; }
inline int __syncthreads_and(int p, CS_LINE) { return cudasim::cudasim_barrier(line, 1, p == 0) == 0; }
CS_RAW void __syncwarp(unsigned m = 0xffffffffu, CS_LINE) { cudasim::cudasim_slot_done(cudasim::cudasim_collective(m, cudasim::SYNCWARP, 0, line)); }
template <class T> inline T __shfl_sync(unsigned m, T v, int src, int w = 32, CS_LINE) { int l = cudasim::lane(); return cudasim::shfl(m, v, (l & ~(w - 1)) | (src & (w - 1)), true, line); }
template <class T> inline T __shfl_up_sync(unsigned m, T v, unsigned d, int w = 32, CS_LINE) { int l = cudasim::lane(), s = l - int(d); return cudasim::shfl(m, v, s, s >= (l & ~(w - 1)), line); }
template <class T> inline T __shfl_down_sync(unsigned m, T v, unsigned d, int w = 32, CS_LINE) { int l = cudasim::lane(), s = l + int(d); return cudasim::shfl(m, v, s, s <= (l | (w - 1)), line); }
template <class T> inline T __shfl_xor_sync(unsigned m, T v, int x, int w = 32, CS_LINE) { int l = cudasim::lane(), s = l ^ x; return cudasim::shfl(m, v, s, s <= (l | (w - 1)), line); }
CS_RAW unsigned __ballot_sync(unsigned m, int p, CS_LINE) { auto* s = cudasim::cudasim_collective(m, cudasim::BALLOT, p != 0, line); unsigned r = 0; for (int i = 0; i < 32; i++) if (s->arrived >> i & 1 && s->v[i]) r |= 1u << i; cudasim::cudasim_slot_done(s); return r; }
inline int __any_sync(unsigned m, int p, CS_LINE) { return __ballot_sync(m, p, line) != 0; }
inline int __all_sync(unsigned m, int p, CS_LINE) { return __ballot_sync(m, !p, line) == 0; }
template <class T> CS_RAW unsigned __match_any_sync(unsigned m, T v, CS_LINE) { auto* s = cudasim::cudasim_collective(m, cudasim::MATCH, cudasim::pack(v), line); unsigned r = 0; for (int i = 0; i < 32; i++) if (s->arrived >> i & 1 && s->v[i] == cudasim::pack(v)) r |= 1u << i; cudasim::cudasim_slot_done(s); return r; }
#define CS_RED(NAME, T, EXPR) CS_RAW T __reduce_##NAME##_sync(unsigned m, T v, CS_LINE) { auto* s = cudasim::cudasim_collective(m, cudasim::SHFL, cudasim::pack(v), line); T a = v; bool first = true; \
  for (int i = 0; i < 32; i++) if (s->arrived >> i & 1) { T b = cudasim::unpack<T>(s->v[i]); a = first ? b : (EXPR); first = false; } cudasim::cudasim_slot_done(s); return a; }
CS_RED(add, unsigned, a + b) CS_RED(add, int, a + b) CS_RED(max, int, a > b ? a : b) CS_RED(max, unsigned, a > b ? a : b) CS_RED(min, int, a < b ? a : b) CS_RED(min, unsigned, a < b ? a : b)
unsigned __activemask() __attribute__((error("__activemask() is not simulated: pass an explicit mask")));
inline void __threadfence() {} inline void __threadfence_block() {} inline void __threadfence_system() {}
// ---- atomics -------------------------------------------------------------------------------
template <class T> inline T atomicAdd(T* p, std::common_type_t<T> v) { return cudasim::atomic_rmw(p, [v](T o) { return T(o + v); }); }
template <class T> inline T atomicSub(T* p, std::common_type_t<T> v) { return cudasim::atomic_rmw(p, [v](T o) { return T(o - v); }); }
template <class T> inline T atomicMax(T* p, std::common_type_t<T> v) { static_assert(std::is_integral_v<T>, "CUDA has no atomicMax for floating types"); return cudasim::atomic_rmw(p, [v](T o) { return o > v ? o : v; }); }
template <class T> inline T atomicMin(T* p, std::common_type_t<T> v) { static_assert(std::is_integral_v<T>, "CUDA has no atomicMin for floating types"); return cudasim::atomic_rmw(p, [v](T o) { return o < v ? o : v; }); }
template <class T> inline T atomicExch(T* p, std::common_type_t<T> v) { return cudasim::atomic_rmw(p, [v](T) { return v; }); }
template <class T> inline T atomicOr(T* p, std::common_type_t<T> v) { return cudasim::atomic_rmw(p, [v](T o) { return T(o | v); }); }
template <class T> inline T atomicAnd(T* p, std::common_type_t<T> v) { return cudasim::atomic_rmw(p, [v](T o) { return T(o & v); }); }
template <class T> inline T atomicCAS(T* p, std::common_type_t<T> c, std::common_type_t<T> v) { return cudasim::atomic_rmw(p, [c, v](T o) { return o == c ? v : o; }); }
// ---- math and bit intrinsics ----------------------------------------------------------------
using std::isfinite; using std::isinf; using std::isnan;
template <class A, class B> inline std::common_type_t<A, B> max(A a, B b) { using C = std::common_type_t<A, B>; return C(a) > C(b) ? C(a) : C(b); }
template <class A, class B> inline std::common_type_t<A, B> min(A a, B b) { using C = std::common_type_t<A, B>; return C(a) < C(b) ? C(a) : C(b); }
inline float __expf(float x) { return expf(x); } inline float __logf(float x) { return logf(x); } inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); } inline double rsqrt(double x) { return 1. / ::sqrt(x); } inline float __frcp_rn(float x) { return 1.f / x; }
inline float __fadd_rn(float a, float b) { return a + b; } inline float __fmul_rn(float a, float b) { return a * b; } inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
template <class T> inline T __ldg(const T* p) { return *p; }
inline int __popc(unsigned x) { return __builtin_popcount(x); } inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; } inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) { unsigned r = 0; for (int i = 0; i < 32; i++) r |= (x >> i & 1) << (31 - i); return r; }
inline int __float_as_int(float f) { return cudasim::unpack<int>(cudasim::pack(f)); } inline unsigned __float_as_uint(float f) { return cudasim::unpack<unsigned>(cudasim::pack(f)); }
inline float __int_as_float(int i) { return cudasim::unpack<float>(cudasim::pack(i)); } inline float __uint_as_float(unsigned i) { return cudasim::unpack<float>(cudasim::pack(i)); }
