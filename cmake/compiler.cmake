# Warnings, sanitizers, and the one way to declare a library or a test.

find_program(NVUBLK_CCACHE ccache)
if(NVUBLK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${NVUBLK_CCACHE}")
endif()

add_library(nvublk_options INTERFACE)
target_compile_options(nvublk_options INTERFACE
  -Wall -Wextra -Wno-missing-field-initializers -Wconversion -Wshadow -Wnon-virtual-dtor
  -Woverloaded-virtual
  -Wimplicit-fallthrough -Wcast-align -Wformat=2 -fno-strict-aliasing
  -fstack-protector-strong -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(NVUBLK_WERROR)
  target_compile_options(nvublk_options INTERFACE -Werror)
endif()
if(NVUBLK_SANITIZE)
  target_compile_options(nvublk_options INTERFACE
    -fsanitize=${NVUBLK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(nvublk_options INTERFACE -fsanitize=${NVUBLK_SANITIZE})
endif()
if(NVUBLK_FUZZ)
  # Coverage of our own code is what steers libFuzzer.
  target_compile_options(nvublk_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# nvublk_library(NAME SOURCES a.cc ... HEADERS a.h ... LINKS x ... [PRIVATE_LINKS y ...]
#                [EXCEPTIONS])
# One static library per folder. Its headers can be included only by those that link it: each
# library has an include directory of its own that holds links to its HEADERS and nothing else, so
# an include against the arrows of ARCHITECTURE.md fails to build.
function(nvublk_library name)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "SOURCES;HEADERS;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  file(RELATIVE_PATH folder "${CMAKE_SOURCE_DIR}/src" "${CMAKE_CURRENT_SOURCE_DIR}")
  set(view "${CMAKE_BINARY_DIR}/include-view/${name}")
  file(REMOVE_RECURSE "${view}")
  file(MAKE_DIRECTORY "${view}/${folder}")
  foreach(header IN LISTS ARG_HEADERS)
    file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}/${header}" "${view}/${folder}/${header}" SYMBOLIC)
  endforeach()
  target_include_directories(${name} PUBLIC "${view}")
  target_link_libraries(${name} PUBLIC ${ARG_LINKS} PRIVATE nvublk_options ${ARG_PRIVATE_LINKS})
  if(NOT ARG_EXCEPTIONS)
    target_compile_options(${name} PRIVATE -fno-exceptions)
  endif()
endfunction()

# nvublk_precompile(TARGET HEADER...): reads headers that cost more than most of our files once.
# Not under ccache, which gives up on precompiled headers and saves more without them.
function(nvublk_precompile target)
  if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# What is particular to a file of a test program. Tests are built to be built soon, not to be fast:
# the time is in the libraries.
function(nvublk_test_options target)
  target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
  target_link_libraries(${target} PRIVATE nvublk_options GTest::gtest GTest::gtest_main
                        GTest::gmock)
  if(NOT NVUBLK_SANITIZE)
    target_compile_options(${target} PRIVATE -O0 -g1)
  endif()
endfunction()

# nvublk_test(NAME SOURCES a_test.cc ... LINKS x ...): a GoogleTest program; ctest knows each test.
function(nvublk_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS})
  nvublk_test_options(${name})
  if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    target_precompile_headers(${name} REUSE_FROM nvublk_test_headers)
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 120)
endfunction()
