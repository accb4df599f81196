// How Python calls a kernel. CUDASIM_EXPORT(3, kernel) makes two C functions:
//   cudasim_call_3(arguments)      calls kernel(*arguments[0], *arguments[1], ...) in the running CUDA thread;
//   cudasim_signature_3(text, n)   writes what each parameter is, as the compiler sees it: nothing is parsed twice.
// A parameter is three parts and a semicolon: P (pointer), C (pointer to const) or S (scalar); b, i, u, f or V (bool,
// signed, unsigned, floating, anything else); size in bytes. `const float* x, int n` is "Cf4;Si4;".
#pragma once

namespace cudasim {

template <class T> std::string type_code()
{
    using U = std::remove_cv_t<T>;
    if constexpr (std::is_void_v<U>) return "V0";
    else {
        const char* kind = std::is_same_v<U, bool>         ? "b"
                         : std::is_floating_point_v<U>     ? "f"
                         : !std::is_integral_v<U>          ? "V"
                         : std::is_signed_v<U>             ? "i" : "u";
        return kind + std::to_string(sizeof(U));
    }
}

template <class T> std::string parameter_code()
{
    using Pointee = std::remove_pointer_t<T>;
    if constexpr (!std::is_pointer_v<T>) return "S" + type_code<T>() + ";";
    else return (std::is_const_v<Pointee> ? "C" : "P") + type_code<Pointee>() + ";";
}

template <class... A> std::string signature(void (*)(A...))
{
    return (std::string() + ... + parameter_code<std::remove_cv_t<A>>());
}

template <class... A, size_t... I>
UNWATCHED void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>)
{
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
}

template <class... A> UNWATCHED void call(void (*kernel)(A...), void** arguments)
{
    call(kernel, arguments, std::index_sequence_for<A...>{});
}

}  // namespace cudasim

#define CUDASIM_EXPORT(number, ...)                                                                          \
    extern "C" UNWATCHED void cudasim_call_##number(void** arguments) { cudasim::call(&__VA_ARGS__, arguments); } \
    extern "C" UNWATCHED void cudasim_signature_##number(char* text, size_t size)                            \
    {                                                                                                        \
        snprintf(text, size, "%s", cudasim::signature(&__VA_ARGS__).c_str());                                \
    }
