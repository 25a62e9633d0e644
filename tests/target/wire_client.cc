#include "target/wire_client.h"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "nvme/spec/text.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr int kHangSeconds = 30;

template <typename T>
void append(ByteVector& bytes, const T& value) {
  const auto* start = reinterpret_cast<const std::uint8_t*>(&value);
  bytes.insert(bytes.end(), start, start + sizeof(T));
}

}  // namespace

std::uint32_t plain_crc32c(std::span<const std::uint8_t> data) {
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

WireClient::WireClient(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{kHangSeconds, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect to the target");
  }
}

WireClient::~WireClient() {
  close(fd_);
}

void WireClient::send_raw(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) throw std::runtime_error("cannot send");
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

bool WireClient::read_exactly(std::uint8_t* at, std::size_t length) {
  while (length != 0) {
    const ssize_t got = recv(fd_, at, length, 0);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return false;
    if (got < 0) throw std::runtime_error("the target does not answer");
    at += got;
    length -= static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<Pdu> WireClient::receive() {
  Pdu pdu;
  pdu.bytes.resize(sizeof(CommonHeader));
  if (!read_exactly(pdu.bytes.data(), pdu.bytes.size())) return std::nullopt;
  const CommonHeader ch = pdu.ch();
  if (ch.plen.get() < ch.hlen || ch.plen.get() > (64u << 20)) {
    throw std::runtime_error("the target sent a PDU of a strange length");
  }
  pdu.bytes.resize(ch.plen.get());
  if (!read_exactly(pdu.bytes.data() + sizeof(CommonHeader),
                    pdu.bytes.size() - sizeof(CommonHeader))) {
    return std::nullopt;
  }
  const auto digest_at = [&pdu](std::size_t offset) {
    Le32 digest;
    std::memcpy(&digest, pdu.bytes.data() + offset, sizeof(digest));
    return digest.get();
  };
  const std::span<const std::uint8_t> all = pdu.bytes;
  if (ch.has_header_digest() && digest_at(ch.hlen) != plain_crc32c(all.first(ch.hlen))) {
    throw std::runtime_error("header digest error");
  }
  if (ch.pdo != 0) {
    const std::size_t tail = ch.has_data_digest() ? kDigestBytes : 0;
    const auto data = all.subspan(ch.pdo, all.size() - ch.pdo - tail);
    pdu.data.assign(data.begin(), data.end());
    if (tail != 0 && digest_at(all.size() - tail) != plain_crc32c(data)) {
      throw std::runtime_error("data digest error");
    }
  }
  return pdu;
}

CompletionEntry WireClient::receive_response() {
  const auto pdu = receive();
  if (!pdu) throw std::runtime_error("closed instead of a response");
  if (pdu->type() != PduType::kCapsuleResp) throw std::runtime_error("not a response");
  return pdu->as<CapsuleResp>().cqe;
}

TermReq WireClient::receive_termination() {
  const auto pdu = receive();
  if (!pdu) throw std::runtime_error("closed instead of a termination request");
  if (pdu->type() != PduType::kC2hTermReq) throw std::runtime_error("not a termination request");
  if (!closed_by_target()) throw std::runtime_error("not closed after a termination request");
  return pdu->as<TermReq>();
}

bool WireClient::closed_by_target() {
  std::uint8_t byte = 0;
  return !read_exactly(&byte, 1);
}

IcResp WireClient::initialize(Digests digests, std::uint8_t hpda) {
  IcReq request;
  request.hpda = hpda;
  request.dgst = static_cast<std::uint8_t>((digests.header ? kHeaderDigestEnable : 0) |
                                           (digests.data ? kDataDigestEnable : 0));
  send_struct(request);
  const auto pdu = receive();
  if (!pdu || pdu->type() != PduType::kIcResp) throw std::runtime_error("no ICResp");
  const auto response = pdu->as<IcResp>();
  digests_ = {(response.dgst & kHeaderDigestEnable) != 0, (response.dgst & kDataDigestEnable) != 0};
  cpda_ = response.cpda;
  max_h2c_ = response.maxh2cdata.get();
  return response;
}

namespace {

/// A header, its digest, padding to the alignment, data and its digest.
template <typename Header>
ByteVector assemble(Header header, std::span<const std::uint8_t> data, bool header_digest,
                    bool data_digest, std::uint32_t alignment) {
  const std::size_t header_end = sizeof(Header) + (header_digest ? kDigestBytes : 0);
  const std::size_t pdo = (header_end + alignment - 1) / alignment * alignment;
  std::size_t total = header_end;
  if (header_digest) header.ch.flags |= kPduHdgstf;
  if (!data.empty()) {
    total = pdo + data.size();
    header.ch.pdo = static_cast<std::uint8_t>(pdo);
    if (data_digest) {
      header.ch.flags |= kPduDdgstf;
      total += kDigestBytes;
    }
  }
  header.ch.plen = static_cast<std::uint32_t>(total);
  ByteVector bytes;
  append(bytes, header);
  if (header_digest) append(bytes, Le32{plain_crc32c(bytes)});
  if (data.empty()) return bytes;
  bytes.resize(pdo);
  bytes.insert(bytes.end(), data.begin(), data.end());
  if (data_digest) append(bytes, Le32{plain_crc32c(data)});
  return bytes;
}

}  // namespace

void WireClient::send_command(const SubmissionEntry& sqe,
                              std::span<const std::uint8_t> in_capsule) {
  CapsuleCmd pdu;
  pdu.sqe = sqe;
  send_raw(
      assemble(pdu, in_capsule, digests_.header, digests_.data, pdu_data_alignment_bytes(cpda_)));
}

void WireClient::send_h2c_data(const R2t& r2t, std::uint32_t offset,
                               std::span<const std::uint8_t> data, bool last) {
  H2cData pdu;
  pdu.cccid = r2t.cccid.get();
  pdu.ttag = r2t.ttag.get();
  pdu.datao = offset;
  pdu.datal = static_cast<std::uint32_t>(data.size());
  pdu.ch.flags = last ? kPduLastPdu : 0;
  send_raw(assemble(pdu, data, digests_.header, digests_.data, pdu_data_alignment_bytes(cpda_)));
}

Outcome WireClient::finish(std::span<const std::uint8_t> data) {
  Outcome outcome;
  while (true) {
    const auto pdu = receive();
    if (!pdu) throw std::runtime_error("closed in the middle of a command");
    if (pdu->type() == PduType::kCapsuleResp) {
      outcome.cqe = pdu->as<CapsuleResp>().cqe;
      return outcome;
    }
    if (pdu->type() == PduType::kC2hData) {
      const auto header = pdu->as<C2hData>();
      if (header.datao.get() != outcome.data.size() || header.datal.get() != pdu->data.size()) {
        throw std::runtime_error("data is not where it belongs");
      }
      outcome.data.insert(outcome.data.end(), pdu->data.begin(), pdu->data.end());
      outcome.data_pdus++;
      if (header.ch.is_success()) {
        outcome.success_flag = true;
        return outcome;
      }
      continue;
    }
    if (pdu->type() != PduType::kR2t) throw std::runtime_error("an unexpected PDU");
    const auto r2t = pdu->as<R2t>();
    outcome.r2ts++;
    std::uint32_t offset = r2t.r2to.get();
    const std::uint32_t end = offset + r2t.r2tl.get();
    if (end > data.size()) throw std::runtime_error("the R2T asks for too much");
    while (offset < end) {
      const std::uint32_t length = std::min(max_h2c_, end - offset);
      send_h2c_data(r2t, offset, data.subspan(offset, length), offset + length == end);
      offset += length;
    }
  }
}

Outcome WireClient::run(SubmissionEntry sqe, std::span<const std::uint8_t> data, bool in_capsule) {
  if (!data.empty()) {
    const auto length = static_cast<std::uint32_t>(data.size());
    sqe.set_sgl(in_capsule ? SglDescriptor::in_capsule(0, length)
                           : SglDescriptor::transport(length));
  }
  send_command(sqe, in_capsule ? data : std::span<const std::uint8_t>{});
  return finish(data);
}

Outcome WireClient::connect(std::uint16_t qid, std::uint16_t cntlid) {
  ConnectCommand sqe;
  sqe.cid = next_cid();
  sqe.qid = qid;
  sqe.set_queue_entries(entries);
  sqe.cattr = disable_flow_control ? ConnectCommand::kDisableSqFlowControl : 0;
  sqe.kato = kato_ms;
  ConnectData data;
  data.hostid = hostid;
  data.cntlid = cntlid;
  fill_text(data.subnqn, subnqn, '\0');
  fill_text(data.hostnqn, hostnqn, '\0');
  ByteVector bytes;
  append(bytes, data);
  return run(as_submission_entry(sqe), bytes, true);
}

SubmissionEntry WireClient::property_get(Property property, bool eight_bytes) {
  PropertyGetCommand sqe;
  sqe.cid = next_cid();
  sqe.attrib = eight_bytes ? 1 : 0;
  sqe.ofst = static_cast<std::uint32_t>(property);
  return as_submission_entry(sqe);
}

SubmissionEntry WireClient::property_set(Property property, std::uint32_t value) {
  PropertySetCommand sqe;
  sqe.cid = next_cid();
  sqe.ofst = static_cast<std::uint32_t>(property);
  sqe.value = value;
  return as_submission_entry(sqe);
}

std::uint16_t WireClient::start_controller(Digests digests) {
  initialize(digests);
  const Outcome connected = connect(0);
  if (!connected.status().ok()) throw std::runtime_error("Connect failed");
  Cc cc;
  cc.set_standard_entry_sizes();
  cc.set_enabled(true);
  if (!run(property_set(Property::kCc, cc.raw)).status().ok()) {
    throw std::runtime_error("cannot enable the controller");
  }
  return ConnectResult::decode(connected.cqe).cntlid;
}

void WireClient::start_queue(std::uint16_t qid, std::uint16_t cntlid, Digests digests) {
  initialize(digests);
  if (!connect(qid, cntlid).status().ok()) throw std::runtime_error("Connect failed");
}

SubmissionEntry WireClient::command(std::uint8_t opcode, std::uint32_t nsid) {
  SubmissionEntry sqe;
  sqe.opcode = opcode;
  sqe.cid = next_cid();
  sqe.nsid = nsid;
  sqe.set_sgl(SglDescriptor::transport(0));
  return sqe;
}

SubmissionEntry WireClient::admin(AdminOpcode opcode, std::uint32_t nsid) {
  return command(static_cast<std::uint8_t>(opcode), nsid);
}

SubmissionEntry WireClient::io(NvmOpcode opcode, std::uint32_t nsid, std::uint64_t lba,
                               std::uint32_t blocks, std::uint32_t length) {
  SubmissionEntry sqe = command(static_cast<std::uint8_t>(opcode), nsid);
  sqe.set_sgl(SglDescriptor::transport(length));
  sqe.cdw10 = static_cast<std::uint32_t>(lba);
  sqe.cdw11 = static_cast<std::uint32_t>(lba >> 32);
  sqe.cdw12 = blocks - 1;
  return sqe;
}

Outcome WireClient::identify(std::uint8_t cns, std::uint32_t nsid) {
  SubmissionEntry sqe = admin(AdminOpcode::kIdentify, nsid);
  sqe.set_sgl(SglDescriptor::transport(4096));
  sqe.cdw10 = cns;
  return run(sqe);
}

Outcome WireClient::get_log(std::uint8_t lid, std::uint32_t length, std::uint64_t offset,
                            bool retain) {
  SubmissionEntry sqe = admin(AdminOpcode::kGetLogPage);
  sqe.set_sgl(SglDescriptor::transport(length));
  const std::uint32_t dwords = length / 4 - 1;
  sqe.cdw10 = lid | (retain ? 1u << 15 : 0u) | (dwords << 16);
  sqe.cdw11 = dwords >> 16;
  sqe.cdw12 = static_cast<std::uint32_t>(offset);
  sqe.cdw13 = static_cast<std::uint32_t>(offset >> 32);
  return run(sqe);
}

Outcome WireClient::set_feature(std::uint8_t feature, std::uint32_t value) {
  SubmissionEntry sqe = admin(AdminOpcode::kSetFeatures);
  sqe.cdw10 = feature;
  sqe.cdw11 = value;
  return run(sqe);
}

Outcome WireClient::get_feature(std::uint8_t feature) {
  SubmissionEntry sqe = admin(AdminOpcode::kGetFeatures);
  sqe.cdw10 = feature;
  return run(sqe);
}

}  // namespace nvublk::target
