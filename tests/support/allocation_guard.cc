#include "support/allocation_guard.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::uint64_t> allocations{0};
std::atomic<bool> aborts{false};

void note_allocation() {
  if (!nvublk::Shard::current_thread_sealed()) {
    return;
  }
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (aborts.load(std::memory_order_relaxed)) {
    std::fputs("nvublk: a sealed shard allocates memory\n", stderr);
    std::abort();
  }
}

}  // namespace

namespace nvublk::test {

std::uint64_t sealed_allocations() {
  return allocations.load(std::memory_order_relaxed);
}

bool allocation_guard_counts_malloc() {
#ifdef NVUBLK_SANITIZER_HOOKS
  return true;
#else
  return false;
#endif
}

void abort_on_sealed_allocation(bool abort) {
  aborts.store(abort, std::memory_order_relaxed);
}

}  // namespace nvublk::test

// The sanitizers have an operator new of their own, and a hook for others.
#ifdef NVUBLK_SANITIZER_HOOKS

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                             std::size_t),
                                                         void (*free_hook)(const volatile void*));

namespace {

const int kInstalled = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { note_allocation(); }, [](const volatile void*) {});

}  // namespace

#else

namespace {

void* allocate(std::size_t size, std::size_t alignment) {
  note_allocation();
  if (alignment <= alignof(std::max_align_t)) {
    return std::malloc(size == 0 ? 1 : size);
  }
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  void* memory = allocate(size, alignment);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

// The array forms, and nothrow new, call these.
void* operator new(std::size_t size) {
  return allocate_or_throw(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

#endif
