# Makes the build of llama-cpp-python short: Nightschool uses libllama and libggml alone.
#
# Read through CMAKE_PROJECT_llama_cpp_INCLUDE, right after the top-level project() call.
#
# * The package forces LLAMA_BUILD_COMMON on in the cache; a plain variable of the same name wins
#   over it. Without `common` (chat templates, HTTP, JSON, argument parsing) and what hangs on it
#   the build has 57 steps instead of 140.
# * libllama builds graphs and reads files; the arithmetic is in ggml, which keeps its -O3.
#   -O1 for libllama compiles in about half the time and answers at the same speed.
set(LLAMA_BUILD_COMMON OFF)
if(NOT MSVC)
  cmake_language(DEFER CALL target_compile_options llama PRIVATE -O1 -w)
  cmake_language(DEFER CALL target_compile_options ggml-cpu PRIVATE -w)
endif()
