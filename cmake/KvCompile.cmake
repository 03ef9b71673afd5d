# Language, warnings and hardening of every target: kv_library() and kv_program() apply them, so a
# distribution that calls plain cmake builds the same programs as our presets do.

include(CheckCCompilerFlag)
include(CheckPIESupported)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
check_pie_supported(LANGUAGES C)

option(KV_WERROR "Treat warnings as errors" OFF)
option(KV_SANDBOX "Confine the agent's programs (seccomp, Landlock, no dumps)" ON)
option(KV_FUZZ "Build the libFuzzer targets (clang)" OFF)
set(KV_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined")

# Release types define NDEBUG. A broken key daemon must stop, so assertions stay on everywhere.
foreach(type RELEASE RELWITHDEBINFO MINSIZEREL)
    string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${type} "${CMAKE_C_FLAGS_${type}}")
endforeach()

add_library(kv_compile INTERFACE)
target_include_directories(kv_compile INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(kv_compile INTERFACE _GNU_SOURCE KV_VERSION="${PROJECT_VERSION}"
    KV_RELEASE=$<IF:$<CONFIG:Release,RelWithDebInfo,MinSizeRel>,1,0>
    $<$<BOOL:${KV_SANDBOX}>:KV_SANDBOX=1> $<$<NOT:$<BOOL:${KV_SANDBOX}>>:KV_SANDBOX=0>)

set(kv_warnings -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wenum-conversion
    -Wdouble-promotion -Wshadow -Wundef -Wvla -Walloca -Wpointer-arith -Wcast-qual -Wcast-align
    -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wredundant-decls -Wnested-externs -Wbad-function-cast -Wformat=2 -Wswitch-enum
    -Wimplicit-fallthrough -Wnull-dereference -Wdate-time -Wunused-macros
    -Wframe-larger-than=8192
    -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
    -Werror=int-conversion -Werror=return-type -Werror=format-security -Werror=vla)
set(kv_probed_warnings -Warith-conversion -Wformat-signedness -Wduplicated-cond
    -Wduplicated-branches -Wlogical-op -Wjump-misses-init -Wtrampolines -Wcomma
    -Wunreachable-code-aggressive)
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    # PKCS#11's CK_* constants and our flexible tables are fine; -Wpedantic of clang is louder.
    list(APPEND kv_warnings -Wno-gnu-zero-variadic-macro-arguments)
endif()
foreach(flag IN LISTS kv_probed_warnings)
    string(MAKE_C_IDENTIFIER "KV_HAS${flag}" has)
    check_c_compiler_flag("${flag}" ${has})
    if(${has})
        list(APPEND kv_warnings ${flag})
    endif()
endforeach()
target_compile_options(kv_compile INTERFACE ${kv_warnings} $<$<BOOL:${KV_WERROR}>:-Werror>)

# Never probed: a probe that fails for another reason would lose the flag in silence.
target_compile_options(kv_compile INTERFACE -fno-strict-aliasing -fno-strict-overflow
    -fno-delete-null-pointer-checks -fno-common -fstack-protector-strong -fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(kv_compile INTERFACE -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    target_compile_options(kv_compile INTERFACE -mbranch-protection=standard)
endif()
target_link_options(kv_compile INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
    -Wl,-z,separate-code -Wl,--as-needed)

if(KV_SANITIZE)
    target_compile_options(kv_compile INTERFACE -fsanitize=${KV_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    target_link_options(kv_compile INTERFACE -fsanitize=${KV_SANITIZE})
else()
    # Fortify needs optimisation; in sanitizer builds these would hide uninitialised reads.
    target_compile_options(kv_compile INTERFACE
        $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
    foreach(flag -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr
            -fstrict-flex-arrays=3)
        string(MAKE_C_IDENTIFIER "KV_HAS${flag}" has)
        check_c_compiler_flag("${flag}" ${has})
        if(${has})
            target_compile_options(kv_compile INTERFACE ${flag})
        endif()
    endforeach()
endif()
if(KV_FUZZ)
    target_compile_options(kv_compile INTERFACE -fsanitize=fuzzer-no-link)
endif()

# kv_library(NAME SOURCES… ): a layer. kv_program(NAME SOURCES…): an executable under build/bin.
function(kv_library name)
    add_library(${name} STATIC ${ARGN})
    target_link_libraries(${name} PRIVATE kv_compile)
endfunction()

function(kv_program name)
    add_executable(${name} ${ARGN})
    target_link_libraries(${name} PRIVATE kv_compile)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()
