// Reservations between two hosts over TCP. [Base 2.1 §8.1.22]

#include <cerrno>

#include "nvme/command.h"
#include "nvme/library/commands_fixture.h"
#include "nvme/reservation_report.h"

namespace nvublk::nvme {
namespace {

using command::AcquireAction;
using command::RegisterAction;
using command::ReleaseAction;
using command::ReservationType;
using spec::GenericStatus;

class ReservationTest : public CommandsTest {
 protected:
  void SetUp() override {
    CommandsTest::SetUp();
    serve("size=4M,bs=4096");
    first_ = &attach(0);
    second_ = &attach(1);
  }
  spec::NvmeStatus enroll(Host& host, std::uint64_t key,
                          RegisterAction action = RegisterAction::kRegister,
                          std::uint64_t current = 0, bool ignore = false) {
    return host
        .run([&](NamespaceIo& io, Ended& ended) {
          return io.reservation_register({action, current, key, ignore, {}}, &Ended::record,
                                         &ended);
        })
        .status;
  }
  spec::NvmeStatus acquire(Host& host, ReservationType type, std::uint64_t key,
                           AcquireAction action = AcquireAction::kAcquire,
                           std::uint64_t preempted = 0, bool ignore = false) {
    return host
        .run([&](NamespaceIo& io, Ended& ended) {
          return io.reservation_acquire({action, type, key, preempted, ignore}, &Ended::record,
                                        &ended);
        })
        .status;
  }
  spec::NvmeStatus release(Host& host, ReservationType type, std::uint64_t key,
                           ReleaseAction action = ReleaseAction::kRelease, bool ignore = false) {
    return host
        .run([&](NamespaceIo& io, Ended& ended) {
          return io.reservation_release({action, type, key, ignore}, &Ended::record, &ended);
        })
        .status;
  }
  bool may_read(Host& host) {
    std::vector<std::byte> data(4096);
    return host
        .run([&](NamespaceIo& io, Ended& ended) { return io.read(blocks(0, 1, data, ended)); })
        .status.ok();
  }
  bool may_write(Host& host) {
    std::vector<std::byte> data(4096);
    const spec::NvmeStatus status =
        host.run([&](NamespaceIo& io, Ended& ended) { return io.write(blocks(0, 1, data, ended)); })
            .status;
    EXPECT_TRUE(status.ok() || status.is(GenericStatus::kReservationConflict));
    return status.ok();
  }
  ReservationReport report(Host& host) {
    std::vector<std::byte> memory(4096);
    const iovec piece{memory.data(), memory.size()};
    EXPECT_EQ(host.run([&](NamespaceIo& io, Ended& ended) {
                    return io.reservation_report(piece, true, &Ended::record, &ended);
                  })
                  .status,
              good());
    const auto decoded = decode_reservation_report(memory, true);
    EXPECT_TRUE(decoded);
    return decoded.value_or(ReservationReport{});
  }
  static bool conflict(spec::NvmeStatus status) {
    return status.is(GenericStatus::kReservationConflict);
  }

  Host* first_ = nullptr;
  Host* second_ = nullptr;
};

struct Access {
  ReservationType type;
  bool registrant_reads, registrant_writes, other_reads, other_writes;
};

TEST_F(ReservationTest, EachTypeLetsThoseThroughThatItNames) {
  const Access table[] = {
      {ReservationType::kWriteExclusive, true, false, true, false},
      {ReservationType::kExclusiveAccess, false, false, false, false},
      {ReservationType::kWriteExclusiveRegistrants, true, true, true, false},
      {ReservationType::kExclusiveAccessRegistrants, true, true, false, false},
      {ReservationType::kWriteExclusiveAllRegistrants, true, true, true, false},
      {ReservationType::kExclusiveAccessAllRegistrants, true, true, false, false},
  };
  Host& third = attach(2);
  ASSERT_EQ(enroll(*first_, 0x11), good());
  ASSERT_EQ(enroll(*second_, 0x22), good());
  for (const Access& row : table) {
    SCOPED_TRACE(static_cast<int>(row.type));
    ASSERT_EQ(acquire(*first_, row.type, 0x11), good());
    EXPECT_TRUE(may_read(*first_));
    EXPECT_TRUE(may_write(*first_));
    EXPECT_EQ(may_read(*second_), row.registrant_reads);
    EXPECT_EQ(may_write(*second_), row.registrant_writes);
    EXPECT_EQ(may_read(third), row.other_reads);
    EXPECT_EQ(may_write(third), row.other_writes);
    ASSERT_EQ(release(*first_, row.type, 0x11), good());
    EXPECT_TRUE(may_write(third));
  }
}

// Since NVMe 1.3, which the target says it is of in RESCAP, such a command is an error; so it shows
// that the bit gets there.
TEST_F(ReservationTest, IgnoringTheKeyIsForTheControllerToRefuse) {
  constexpr auto kType = ReservationType::kWriteExclusive;
  ASSERT_EQ(enroll(*first_, 0x11), good());
  EXPECT_TRUE(acquire(*first_, kType, 0x99, AcquireAction::kAcquire, 0, true)
                  .is(GenericStatus::kInvalidField));
  ASSERT_EQ(acquire(*first_, kType, 0x11), good());
  EXPECT_TRUE(release(*first_, kType, 0x99, ReleaseAction::kRelease, true)
                  .is(GenericStatus::kInvalidField));
  EXPECT_EQ(report(*first_).type, kType) << "it is still held";
}

TEST_F(ReservationTest, OnlyRegistrantsWithTheirKeyReserve) {
  EXPECT_TRUE(conflict(acquire(*first_, ReservationType::kWriteExclusive, 0x11)));
  ASSERT_EQ(enroll(*first_, 0x11), good());
  EXPECT_EQ(enroll(*first_, 0x11), good()) << "the same again";
  EXPECT_TRUE(conflict(enroll(*first_, 0x12))) << "another key is a replacement";
  EXPECT_TRUE(conflict(acquire(*first_, ReservationType::kWriteExclusive, 0x12)));
  EXPECT_TRUE(acquire(*first_, ReservationType::kNone, 0x11).is(GenericStatus::kInvalidField));
  ASSERT_EQ(acquire(*first_, ReservationType::kWriteExclusive, 0x11), good());
  EXPECT_EQ(acquire(*first_, ReservationType::kWriteExclusive, 0x11), good()) << "it has it";
  EXPECT_TRUE(conflict(acquire(*first_, ReservationType::kExclusiveAccess, 0x11)));
  ASSERT_EQ(enroll(*second_, 0x22), good());
  EXPECT_TRUE(conflict(acquire(*second_, ReservationType::kWriteExclusive, 0x22)));
  EXPECT_TRUE(
      release(*first_, ReservationType::kExclusiveAccess, 0x11).is(GenericStatus::kInvalidField))
      << "not the type that it has";
  EXPECT_EQ(release(*second_, ReservationType::kWriteExclusive, 0x22), good())
      << "releasing what another holds does nothing";
  EXPECT_FALSE(may_write(*second_));
}

TEST_F(ReservationTest, KeysAreReplacedAndRegistrationsEnd) {
  ASSERT_EQ(enroll(*first_, 0x11), good());
  EXPECT_TRUE(conflict(enroll(*first_, 0x12, RegisterAction::kReplace, 0x99)));
  EXPECT_EQ(enroll(*first_, 0x12, RegisterAction::kReplace, 0x11), good());
  EXPECT_EQ(enroll(*first_, 0x13, RegisterAction::kReplace, 0x99, true), good()) << "ignored";
  ASSERT_EQ(acquire(*first_, ReservationType::kExclusiveAccess, 0x13), good());
  EXPECT_FALSE(may_read(*second_));
  EXPECT_TRUE(conflict(enroll(*second_, 0, RegisterAction::kUnregister, 0x13)));
  EXPECT_EQ(enroll(*first_, 0, RegisterAction::kUnregister, 0x13), good());
  EXPECT_TRUE(may_write(*second_)) << "the reservation went with its holder";
}

TEST_F(ReservationTest, PreemptTakesOver) {
  ASSERT_EQ(enroll(*first_, 0x11), good());
  ASSERT_EQ(enroll(*second_, 0x22), good());
  ASSERT_EQ(acquire(*first_, ReservationType::kWriteExclusive, 0x11), good());
  EXPECT_TRUE(conflict(
      acquire(*second_, ReservationType::kExclusiveAccess, 0x22, AcquireAction::kPreempt, 0x77)))
      << "nobody has that key";
  ASSERT_EQ(
      acquire(*second_, ReservationType::kExclusiveAccess, 0x22, AcquireAction::kPreempt, 0x11),
      good());
  EXPECT_TRUE(may_write(*second_));
  EXPECT_FALSE(may_read(*first_));
  const ReservationReport after = report(*second_);
  EXPECT_EQ(after.type, ReservationType::kExclusiveAccess);
  ASSERT_EQ(after.registrants.size(), 1u) << "the first host is not registered any more";
  EXPECT_EQ(after.registrants[0].key, 0x22u);
}

TEST_F(ReservationTest, PreemptOfAllRegistrants) {
  ASSERT_EQ(enroll(*first_, 0x11), good());
  ASSERT_EQ(enroll(*second_, 0x22), good());
  ASSERT_EQ(acquire(*first_, ReservationType::kExclusiveAccessAllRegistrants, 0x11), good());
  EXPECT_EQ(report(*first_).registrants[1].holds_reservation, true);
  ASSERT_EQ(
      acquire(*second_, ReservationType::kWriteExclusive, 0x22, AcquireAction::kPreemptAndAbort, 0),
      good());
  EXPECT_FALSE(may_write(*first_));
  EXPECT_TRUE(may_write(*second_));
  EXPECT_EQ(report(*second_).registrants.size(), 1u);
}

TEST_F(ReservationTest, ClearEndsEverything) {
  ASSERT_EQ(enroll(*first_, 0x11), good());
  ASSERT_EQ(enroll(*second_, 0x22), good());
  ASSERT_EQ(acquire(*first_, ReservationType::kExclusiveAccess, 0x11), good());
  const std::uint32_t before = report(*first_).generation;
  EXPECT_EQ(release(*second_, ReservationType::kExclusiveAccess, 0x22, ReleaseAction::kClear),
            good());
  const ReservationReport after = report(*first_);
  EXPECT_EQ(after.type, ReservationType::kNone);
  EXPECT_TRUE(after.registrants.empty());
  EXPECT_EQ(after.generation, before + 1);
  EXPECT_TRUE(may_write(*second_));
}

TEST_F(ReservationTest, AReportHasHostIdentifiersOf128Bits) {
  ASSERT_EQ(enroll(*first_, 0x1111), good());
  ASSERT_EQ(enroll(*second_, 0x2222), good());
  ASSERT_EQ(acquire(*second_, ReservationType::kWriteExclusive, 0x2222), good());
  const ReservationReport all = report(*first_);
  EXPECT_EQ(all.generation, 2u);
  EXPECT_EQ(all.type, ReservationType::kWriteExclusive);
  EXPECT_FALSE(all.persistent);
  ASSERT_EQ(all.registrants.size(), 2u);
  EXPECT_EQ(all.registrants[0].key, 0x1111u);
  EXPECT_FALSE(all.registrants[0].holds_reservation);
  EXPECT_EQ(all.registrants[0].hostid[0], 1);
  EXPECT_EQ(all.registrants[0].hostid[15], 0xee);
  EXPECT_EQ(all.registrants[0].cntlid, first_->controller->profile().cntlid);
  EXPECT_TRUE(all.registrants[1].holds_reservation);
  EXPECT_EQ(all.registrants[1].hostid[0], 2);

  std::vector<std::byte> memory(4096);
  const iovec piece{memory.data(), memory.size()};
  EXPECT_TRUE(first_
                  ->run([&](NamespaceIo& io, Ended& ended) {
                    return io.reservation_report(piece, false, &Ended::record, &ended);
                  })
                  .status.is(GenericStatus::kHostIdInconsistent));
  const iovec head{memory.data(), 64};
  ASSERT_EQ(first_
                ->run([&](NamespaceIo& io, Ended& ended) {
                  return io.reservation_report(head, true, &Ended::record, &ended);
                })
                .status,
            good());
  const auto decoded = decode_reservation_report(std::span(memory).first(64), true);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->registrant_count, 2u);
  EXPECT_TRUE(decoded->registrants.empty()) << "there was room for the head only";
}

TEST_F(ReservationTest, ARegistrationOutlivesTheConnection) {
  ASSERT_EQ(enroll(*second_, 0x22), good());
  ASSERT_EQ(acquire(*second_, ReservationType::kWriteExclusive, 0x22), good());
  hosts_.pop_back();
  EXPECT_FALSE(may_write(*first_));
  EXPECT_EQ(report(*first_).registrants.at(0).cntlid, 0xffff);
  Host& again = attach(1);
  EXPECT_TRUE(may_write(again));
}

TEST_F(ReservationTest, AReadOnlyLookAtOtherCommands) {
  ASSERT_EQ(enroll(*first_, 0x11), good());
  ASSERT_EQ(acquire(*first_, ReservationType::kWriteExclusive, 0x11), good());
  std::vector<std::byte> data(4096);
  std::vector<std::byte> nothing;
  using Call = int (NamespaceIo::*)(const BlockIo&);
  const std::pair<Call, bool> calls[] = {{&NamespaceIo::compare, true},
                                         {&NamespaceIo::verify, true},
                                         {&NamespaceIo::write_zeroes, false},
                                         {&NamespaceIo::write_uncorrectable, false}};
  for (const auto& [call, permitted] : calls) {
    const bool has_data = call == &NamespaceIo::compare;
    const spec::NvmeStatus status =
        second_
            ->run([&](NamespaceIo& io, Ended& ended) {
              return (io.*call)(blocks(0, 1, has_data ? data : nothing, ended));
            })
            .status;
    EXPECT_EQ(conflict(status), !permitted);
  }
}

TEST(ReservationReport, ShortAndLongReports) {
  std::vector<std::byte> data(23);
  EXPECT_FALSE(decode_reservation_report(data, false));
  data.resize(24 + 24 + 23);
  data[5] = std::byte{9};  // says nine
  const auto decoded = decode_reservation_report(data, false);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->registrant_count, 9u);
  EXPECT_EQ(decoded->registrants.size(), 1u) << "no more than are there";
}

}  // namespace
}  // namespace nvublk::nvme
