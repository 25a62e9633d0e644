#include "nvme/discovery_reader.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nvublk::nvme {

std::span<const DiscoveryReader::Row> DiscoveryReader::rows() {
  using M = DiscoveryReader;
  static constexpr std::array<Row, 3> kRows = {{
      {"read discovery log header", "Base 2.1 §5.1.12", &M::command_limit, &M::read_header,
       &M::keep_header},
      {"read discovery log records", "Base 2.1 §5.1.12", &M::records_limit, &M::read_piece,
       &M::next_piece},
      {"check discovery generation", "Base 2.1 §5.1.12", &M::command_limit, &M::read_header,
       &M::check_generation},
  }};
  return kRows;
}

std::optional<DiscoveryRead> DiscoveryReader::read_header() {
  return DiscoveryRead{0, header_};
}

StepNext DiscoveryReader::keep_header(const DiscoveryOutcome&) {
  const Result<DiscoveryHeader> header = decode_discovery_header(header_);
  if (!header) {
    return StepNext::fail(header.error());
  }
  genctr_ = header->genctr;
  data_.assign(header->log_bytes(), std::byte{0});
  std::ranges::copy(header_, data_.begin());
  filled_ = header_.size();
  return StepNext::next();
}

std::optional<DiscoveryRead> DiscoveryReader::read_piece() {
  if (filled_ == data_.size()) {
    return std::nullopt;
  }
  const std::size_t length = std::min(kPieceBytes, data_.size() - filled_);
  return DiscoveryRead{filled_, std::span(data_).subspan(filled_, length)};
}

StepNext DiscoveryReader::next_piece(const DiscoveryOutcome&) {
  filled_ += std::min(kPieceBytes, data_.size() - filled_);
  return StepNext::repeat(Duration::zero());
}

StepNext DiscoveryReader::check_generation(const DiscoveryOutcome&) {
  const Result<DiscoveryHeader> header = decode_discovery_header(header_);
  if (!header) {
    return StepNext::fail(header.error());
  }
  if (header->genctr != genctr_) {
    if (++restarts_ > kMaxRestarts) {
      return StepNext::fail(Error::make(
          ErrorCode::kBusy, "the discovery log changes faster than it can be read; try again"));
    }
    return StepNext::jump(0);
  }
  Result<DiscoveryLog> log = decode_discovery_log(data_);
  if (!log) {
    return StepNext::fail(std::move(log.error()));
  }
  log_ = std::move(*log);
  return StepNext::done();
}

}  // namespace nvublk::nvme
