#include "target/cached_storage.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace nvublk::target {

namespace {

/// Calls `visit(page, begin, end, done)` for each page that the range touches: the bytes of the
/// page from `begin` to `end`, after `done` bytes of the range. Ends with the first error.
template <typename Visit>
int for_pages(std::uint64_t offset, std::uint64_t length, std::size_t page_bytes, Visit visit) {
  std::uint64_t done = 0;
  while (done < length) {
    const std::uint64_t at = offset + done;
    const std::uint64_t begin = at % page_bytes;
    const std::uint64_t end = std::min<std::uint64_t>(page_bytes, begin + length - done);
    if (const int error = visit(at / page_bytes, begin, end, done); error != 0) return error;
    done += end - begin;
  }
  return 0;
}

}  // namespace

CachedStorage::~CachedStorage() {
  const std::lock_guard lock(mutex_);
  write_back();
}

int CachedStorage::read(std::uint64_t offset, void* data, std::size_t length) {
  const std::lock_guard lock(mutex_);
  if (const int error = durable_->read(offset, data, length); error != 0) return error;
  auto* bytes = static_cast<std::uint8_t*>(data);
  return for_pages(
      offset, length, kPageBytes,
      [&](std::uint64_t number, std::uint64_t begin, std::uint64_t end, std::uint64_t done) {
        if (const auto page = dirty_.find(number); page != dirty_.end()) {
          std::memcpy(bytes + done, page->second->data() + begin, end - begin);
        }
        return 0;
      });
}

template <typename Change>
int CachedStorage::change(std::uint64_t offset, std::uint64_t length, Change change_part) {
  return for_pages(
      offset, length, kPageBytes,
      [&](std::uint64_t number, std::uint64_t begin, std::uint64_t end, std::uint64_t done) {
        std::unique_ptr<Page>& page = dirty_[number];
        if (page == nullptr) {
          page = std::make_unique<Page>();
          const int error = durable_->read(number * kPageBytes, page->data(), kPageBytes);
          if (error != 0) {
            dirty_.erase(number);
            return error;
          }
        }
        change_part(page->data() + begin, end - begin, done);
        return dirty_.size() > kMostPages ? write_back() : 0;
      });
}

int CachedStorage::write(std::uint64_t offset, const void* data, std::size_t length) {
  const std::lock_guard lock(mutex_);
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  return change(offset, length, [bytes](std::uint8_t* at, std::uint64_t count, std::uint64_t done) {
    std::memcpy(at, bytes + done, count);
  });
}

int CachedStorage::zero(std::uint64_t offset, std::uint64_t length, bool) {
  const std::lock_guard lock(mutex_);
  return change(offset, length, [](std::uint8_t* at, std::uint64_t count, std::uint64_t) {
    std::memset(at, 0, count);
  });
}

int CachedStorage::write_back(std::map<std::uint64_t, std::unique_ptr<Page>>::iterator page) {
  const int error = durable_->write(page->first * kPageBytes, page->second->data(), kPageBytes);
  if (error == 0) dirty_.erase(page);
  return error;
}

int CachedStorage::write_back() {
  while (!dirty_.empty()) {
    if (const int error = write_back(dirty_.begin()); error != 0) return error;
  }
  return 0;
}

int CachedStorage::flush() {
  const std::lock_guard lock(mutex_);
  if (const int error = write_back(); error != 0) return error;
  return durable_->flush();
}

int CachedStorage::persist(std::uint64_t offset, std::uint64_t length) {
  const std::lock_guard lock(mutex_);
  const int error =
      for_pages(offset, length, kPageBytes,
                [this](std::uint64_t number, std::uint64_t, std::uint64_t, std::uint64_t) {
                  const auto page = dirty_.find(number);
                  return page == dirty_.end() ? 0 : write_back(page);
                });
  return error == 0 ? durable_->persist(offset, length) : error;
}

Status CachedStorage::resize(std::uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  if (const int error = write_back(); error != 0) {
    return fail_errno(error, "cannot write the cache of the namespace back");
  }
  return durable_->resize(size_bytes);
}

}  // namespace nvublk::target
