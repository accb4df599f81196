// Undefined behaviour of C++: g++ -fsanitize=undefined puts checks into the kernel that call these functions when one
// fails. Each is given where in the source; ours report it as any other fault, where the usual ones end the process.
#include "run.h"

#include <cstring>

namespace cudasim {

struct Location {                                     // GCC's own layout
    const char* file;
    uint32_t line, column;
};

[[noreturn]] static void undefined(const Location* location, void* pc, const char* text)
{
    if (!cudasim_thread) __builtin_trap();
    bool in_kernel = location->file && strcmp(location->file, "kernel.cu") == 0;     // else in our headers
    report(current_run(), current_fiber(), in_kernel ? nullptr : pc, in_kernel ? location->line : 0, "%s", text);
    stop();
}

#define HANDLER(NAME, TEXT)                                                         \
    extern "C" [[noreturn]] void __ubsan_handle_##NAME(const Location* location)    \
    {                                                                               \
        undefined(location, __builtin_return_address(0), TEXT);                     \
    }
HANDLER(out_of_bounds_abort, "out-of-bounds index of a fixed-size array")
HANDLER(type_mismatch_v1_abort, "null or misaligned pointer")
HANDLER(pointer_overflow_abort, "pointer arithmetic overflows")
HANDLER(add_overflow_abort, "signed integer overflow in +")
HANDLER(sub_overflow_abort, "signed integer overflow in -")
HANDLER(mul_overflow_abort, "signed integer overflow in *")
HANDLER(negate_overflow_abort, "signed integer overflow in negation")
HANDLER(divrem_overflow_abort, "integer division by zero, or its result overflows")
HANDLER(shift_out_of_bounds_abort, "shift by more bits than the type has, or by less than 0")
HANDLER(load_invalid_value_abort, "a bool that is neither 0 nor 1, or an enum out of range")
HANDLER(vla_bound_not_positive_abort, "array of less than one element")
HANDLER(nonnull_arg_abort, "null pointer passed where none may be")
HANDLER(invalid_builtin_abort, "count of leading or trailing zeros of 0")
HANDLER(builtin_unreachable, "unreachable code is reached")
HANDLER(missing_return, "a function ends without returning a value")

}  // namespace cudasim
