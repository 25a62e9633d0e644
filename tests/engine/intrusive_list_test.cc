#include "engine/intrusive_list.h"

#include <vector>

#include <gtest/gtest.h>

namespace nvublk {
namespace {

struct RedTag;
struct BlueTag;
struct Item : ListHook<RedTag>, ListHook<BlueTag> {
  explicit Item(int v) : value(v) {}
  int value;
};
using RedList = IntrusiveList<Item, RedTag>;
using BlueList = IntrusiveList<Item, BlueTag>;

std::vector<int> values(RedList& list) {
  std::vector<int> result;
  for (Item& item : list) {
    result.push_back(item.value);
  }
  return result;
}

void clear(RedList& list) {
  while (!list.empty()) {
    list.pop_front();
  }
}

TEST(IntrusiveList, KeepsTheOrderOfInsertion) {
  Item a(1), b(2), c(3), d(4);
  RedList list;
  EXPECT_TRUE(list.empty());
  list.push_back(b);
  list.push_back(d);
  list.push_front(a);
  list.insert_before(d, c);
  EXPECT_EQ(values(list), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(list.front().value, 1);
  EXPECT_EQ(list.back().value, 4);
  clear(list);
}

TEST(IntrusiveList, RemovesFromTheMiddleAndKnowsWhoIsLinked) {
  Item a(1), b(2), c(3);
  RedList list;
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  RedList::remove(b);
  EXPECT_FALSE(RedList::contains_anywhere(b));
  EXPECT_TRUE(RedList::contains_anywhere(a));
  EXPECT_EQ(values(list), (std::vector<int>{1, 3}));
  clear(list);
}

TEST(IntrusiveList, AnItemIsOnOneListPerTag) {
  Item a(1);
  RedList red;
  BlueList blue;
  red.push_back(a);
  blue.push_back(a);
  RedList::remove(a);
  EXPECT_TRUE(red.empty());
  EXPECT_EQ(&blue.front(), &a);
  BlueList::remove(a);
}

TEST(IntrusiveList, SplicesToTheFrontInOrder) {
  Item a(1), b(2), c(3), d(4);
  RedList list;
  RedList other;
  list.splice_front(other);
  EXPECT_TRUE(list.empty());
  list.push_back(c);
  list.push_back(d);
  other.push_back(a);
  other.push_back(b);
  list.splice_front(other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(values(list), (std::vector<int>{1, 2, 3, 4}));
  list.splice_front(other);
  EXPECT_EQ(values(list), (std::vector<int>{1, 2, 3, 4}));
  other.splice_front(list);
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(other.back().value, 4);
  clear(other);
}

TEST(IntrusiveListDeathTest, MisuseIsABugOfOurs) {
  EXPECT_DEATH(
      {
        Item a(1);
        RedList one;
        RedList two;
        one.push_back(a);
        two.push_back(a);
      },
      "CHECK");
  EXPECT_DEATH(
      {
        Item a(1);
        RedList::remove(a);
      },
      "CHECK");
  EXPECT_DEATH(
      {
        RedList list;
        Item gone(1);
        list.push_back(gone);
      },
      "CHECK");
  EXPECT_DEATH(
      {
        RedList list;
        list.pop_front();
      },
      "CHECK");
}

}  // namespace
}  // namespace nvublk
