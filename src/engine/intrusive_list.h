#pragma once

// Internal: a doubly linked list whose links live in its elements: no allocation, O(1) removal. An
// element is on at most one list per Tag, and must leave it before it is destroyed.

#include "engine/check.h"

namespace nvublk {

template <typename T, typename Tag>
class IntrusiveList;

/// Base of what can be on an IntrusiveList<T, Tag>.
template <typename Tag = void>
class ListHook {
 public:
  // Its parameter is a tag, and no class that derives from it.
  // NOLINTBEGIN(bugprone-crtp-constructor-accessibility)
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  // NOLINTEND(bugprone-crtp-constructor-accessibility)
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { CHECK(!linked()); }

  bool linked() const { return next_ != nullptr; }

 private:
  template <typename T, typename U>
  friend class IntrusiveList;
  ListHook* prev_ = nullptr;
  ListHook* next_ = nullptr;
};

template <typename T, typename Tag = void>
class IntrusiveList {
  using Hook = ListHook<Tag>;

 public:
  IntrusiveList() { root_.prev_ = root_.next_ = &root_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    CHECK(empty());
    root_.prev_ = root_.next_ = nullptr;
  }

  bool empty() const { return root_.next_ == &root_; }
  T& front() { return element(root_.next_); }
  T& back() { return element(root_.prev_); }

  void push_back(T& item) { link(item, root_.prev_, &root_); }
  void push_front(T& item) { link(item, &root_, root_.next_); }
  /// Inserts `item` before `position`, which is on this list.
  void insert_before(T& position, T& item) {
    Hook* hook = &static_cast<Hook&>(position);
    link(item, hook->prev_, hook);
  }
  T& pop_front() {
    CHECK(!empty());
    T& item = front();
    remove(item);
    return item;
  }
  static void remove(T& item) {
    Hook& hook = item;
    CHECK(hook.linked());
    hook.prev_->next_ = hook.next_;
    hook.next_->prev_ = hook.prev_;
    hook.prev_ = hook.next_ = nullptr;
  }
  static bool contains_anywhere(const T& item) { return static_cast<const Hook&>(item).linked(); }

  /// Moves all of `other` to the front of this list, in order.
  void splice_front(IntrusiveList& other) {
    if (other.empty()) {
      return;
    }
    Hook* first = other.root_.next_;
    Hook* last = other.root_.prev_;
    other.root_.prev_ = other.root_.next_ = &other.root_;
    first->prev_ = &root_;
    last->next_ = root_.next_;
    root_.next_->prev_ = last;
    root_.next_ = first;
  }

  class Iterator {
   public:
    explicit Iterator(Hook* at) : at_(at) {}
    T& operator*() const { return static_cast<T&>(*at_); }
    Iterator& operator++() {
      at_ = at_->next_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    Hook* at_;
  };
  Iterator begin() { return Iterator(root_.next_); }
  Iterator end() { return Iterator(&root_); }

 private:
  T& element(Hook* hook) {
    CHECK(hook != &root_);
    return static_cast<T&>(*hook);
  }
  void link(T& item, Hook* prev, Hook* next) {
    Hook& hook = item;
    CHECK(!hook.linked());
    hook.prev_ = prev;
    hook.next_ = next;
    prev->next_ = &hook;
    next->prev_ = &hook;
  }

  Hook root_;
};

}  // namespace nvublk
