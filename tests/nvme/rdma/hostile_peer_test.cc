// What comes from the other side of an RDMA connection is input: whatever it is, connecting fails
// with a sentence that says so, and everything is given back.

#include "nvme/rdma/hostile_peer.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/shard.h"
#include "nvme/initiator.h"
#include "nvme/spec/rdma_cm.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme::rdma {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

template <typename T>
std::vector<std::byte> bytes_of(const T& value, std::size_t size = sizeof(T)) {
  std::vector<std::byte> bytes(size);
  std::memcpy(bytes.data(), &value, size);
  return bytes;
}

std::vector<std::byte> good_accept() {
  spec::RdmaAcceptData data;
  data.crqsize = 32;
  return bytes_of(data);
}

class HostilePeerTest : public testing::Test {
 protected:
  // How connecting to such a peer fails.
  Error connect_to(HostileScript script) {
    const char* address = std::getenv("RDMA_ADDRESS");
    if (address == nullptr) {
      ADD_FAILURE() << "RDMA_ADDRESS is not set";
      return {};
    }
    HostilePeer peer(address, std::move(script));
    Shard::Options options;
    options.reactor.mode = IdleMode::kInterrupt;
    const std::unique_ptr<Shard> shard = Shard::adopt_current_thread(options).value();
    ControllerOptions defaults;
    defaults.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    defaults.host.id.bytes[0] = 1;
    defaults.ctrl_loss_timeout = seconds(0);
    Initiator initiator(*shard, make_transport, defaults);
    TransportId id;
    id.trtype = Trtype::kRdma;
    id.traddr = address;
    id.trsvcid = peer.port();
    id.subnqn = "nqn.2026-01.io.nvublk:hostile";
    const Result<Controller*> controller = initiator.connect(id);
    EXPECT_FALSE(controller) << "there is no such controller";
    return controller ? Error{} : controller.error();
  }
};

TEST_F(HostilePeerTest, AnAcceptWithoutPrivateData) {
  const Error error = connect_to({});
  EXPECT_EQ(error.code, ErrorCode::kProtocol) << error.text;
  // On InfiniBand and RoCE there is always some: all zeroes.
  EXPECT_THAT(error.text, AnyOf(HasSubstr("private data"), HasSubstr("CRQSIZE 0")));
}

TEST_F(HostilePeerTest, AnAcceptOfAnUnknownFormat) {
  spec::RdmaAcceptData data;
  data.recfmt = 7;
  data.crqsize = 32;
  const Error error = connect_to({.private_data = bytes_of(data)});
  EXPECT_EQ(error.code, ErrorCode::kProtocol) << error.text;
  EXPECT_THAT(error.text, HasSubstr("format 7"));
}

TEST_F(HostilePeerTest, AnAcceptWithoutReceiveBuffers) {
  const Error error = connect_to({.private_data = bytes_of(spec::RdmaAcceptData{})});
  EXPECT_EQ(error.code, ErrorCode::kProtocol) << error.text;
  EXPECT_THAT(error.text, HasSubstr("CRQSIZE 0"));
}

TEST_F(HostilePeerTest, ARejectIsExplained) {
  spec::RdmaRejectData data;
  data.sts = static_cast<std::uint16_t>(spec::RdmaRejectStatus::kNoResources);
  const Error error = connect_to({.reject = true, .private_data = bytes_of(data)});
  EXPECT_EQ(error.code, ErrorCode::kNoResources) << error.text;
  EXPECT_THAT(error.text, HasSubstr("rejected the connection"));
}

TEST_F(HostilePeerTest, ARejectWithHalfAStatus) {
  const Error error =
      connect_to({.reject = true, .private_data = bytes_of(spec::RdmaRejectData{}, 3)});
  EXPECT_THAT(error.text, HasSubstr("rejected the connection"));
}

TEST_F(HostilePeerTest, ADisconnectRightAfterTheAccept) {
  const Error error =
      connect_to({.private_data = good_accept(), .disconnect_when_connected = true});
  EXPECT_EQ(error.code, ErrorCode::kDisconnected) << error.text;
}

TEST_F(HostilePeerTest, AResponseThatIsTooShort) {
  const Error error = connect_to({.private_data = good_accept(), .response_bytes = {8}});
  EXPECT_THAT(error.text, HasSubstr("a response of 8 bytes"));
}

TEST_F(HostilePeerTest, AnEmptyResponse) {
  const Error error = connect_to({.private_data = good_accept(), .response_bytes = {0}});
  EXPECT_THAT(error.text, HasSubstr("a response of 0 bytes"));
}

TEST_F(HostilePeerTest, AResponseThatIsTooLong) {
  const Error error = connect_to({.private_data = good_accept(), .response_bytes = {64}});
  EXPECT_EQ(error.code, ErrorCode::kDisconnected) << error.text;
}

TEST_F(HostilePeerTest, AResponseToACommandThatIsNotOutstanding) {
  const Error error =
      connect_to({.private_data = good_accept(), .response_bytes = {16}, .cid_change = 1});
  EXPECT_THAT(error.text, HasSubstr("is not outstanding"));
}

TEST_F(HostilePeerTest, TwoResponsesToOneCommand) {
  const Error error = connect_to({.private_data = good_accept(), .response_bytes = {16, 16}});
  EXPECT_THAT(error.text, HasSubstr("is not outstanding"));
}

}  // namespace
}  // namespace nvublk::nvme::rdma
