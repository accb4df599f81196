// Fibers: many threads of control inside one thread of the operating system.
//
// A thread of control is a stack and a place in the code. The CPU keeps both in registers: rsp points to the stack, and
// the place lies on that stack as a return address whenever a function has been called. So to stop one fiber and go on
// with another, it is enough to push the registers that a function must preserve, remember rsp, load the rsp that the
// other one remembered, pop its registers, and return: into the other one, right after its own call of switch_stack.
// Nobody is interrupted: a fiber runs until it calls a barrier, a warp function or an atomic, or returns.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cudasim {

constexpr size_t STACK_SIZE = 64 << 10;
constexpr uint64_t STACK_MARK = 0x5afe57acc0ffee00;   // lies at the far end of each stack; overwritten: too deep

extern "C" void cudasim_switch_stack(void** save_own, void* load_other);

// A stack that looks as if its fiber had called switch_stack at the very start of `entry`: six registers to pop, then
// an address to return to. `entry` then finds rsp 8 below a multiple of 16, as after a call.
inline void* new_stack(char* stack, void (*entry)())
{
    void** top = reinterpret_cast<void**>(stack + STACK_SIZE) - 1;
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    *reinterpret_cast<uint64_t*>(stack) = STACK_MARK;
    return top;
}

inline bool stack_overflowed(const char* stack) { return *reinterpret_cast<const uint64_t*>(stack) != STACK_MARK; }

}  // namespace cudasim
