#pragma once

// An NVMe controller behind PCIe that is all memory: registers, doorbells, queues, one namespace's
// data. It looks at them when step() is called, as the device would at any moment; with one thread
// every run of a seed is the same. It keeps account of what a host must not do, and misbehaves when
// asked to.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/fd.h"
#include "nvme/controller/perfect_controller.h"
#include "nvme/pcie/pcie_device.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/sqe.h"

namespace nvublk::sim {

/// What goes wrong, at the I/O completion that arm_fault() names.
enum class DeviceFault {
  kNone,
  kStalePhase,   ///< the completion has the phase tag of the last round
  kWrongCid,     ///< it names a command that is not outstanding
  kWrongQueue,   ///< it names another submission queue
  kTwice,        ///< it comes twice
  kFatal,        ///< instead of it, CSTS.CFS
  kGone,         ///< instead of it, all registers read ones until revive()
  kPulled,       ///< the same, and looking at registers raises SIGBUS, as a slot without power does
  kErrorStatus,  ///< it says that the command may be tried again
};

class SimulatedController final : public nvme::pcie::PcieDevice {
 public:
  struct Options {
    std::uint64_t seed = 1;
    unsigned interrupts = 4;
    std::uint32_t io_queues = 4;
    std::uint32_t max_queue_entries = 1024;
    std::uint64_t size_blocks = 65536;  ///< of 4096 bytes
    bool out_of_order = false;          ///< completions of I/O in any order
    bool shadow_doorbells = false;
    bool awake = false;  ///< it looks at shadow doorbells by itself, and wants no register written
    unsigned doorbell_stride = 0;  ///< CAP.DSTRD: 4 << this bytes from doorbell to doorbell
    bool sgl = false;
    /// Of each block, in a buffer of its own, with protection of type 1 in its last 8 bytes. The
    /// controller only keeps it: it makes and checks none.
    std::uint16_t metadata_bytes = 0;
    std::uint64_t own_memory_bytes = 0;  ///< CMB, in whole pages
    bool old_memory = false;             ///< it has the address of its BAR, as before NVMe 1.4
    bool weighted = false;               ///< weighted round robin arbitration
    bool enabled_at_start = true;        ///< as a driver that crashed leaves it
  };

  explicit SimulatedController(const Options& options);
  ~SimulatedController() override;

  // PcieDevice
  nvme::pcie::Registers registers() override { return nvme::pcie::Registers(bar_); }
  Result<std::uint64_t> map(std::span<std::byte> memory) override;
  void unmap(std::span<std::byte> memory, std::uint64_t address) override;
  Result<std::span<std::byte>> map_bar(unsigned bar, std::uint64_t offset,
                                       std::uint64_t length_bytes) override;
  Result<std::uint64_t> reserve_addresses(std::uint64_t length_bytes) override;
  Result<std::uint64_t> reserve_bar_addresses(unsigned bar, std::uint64_t offset,
                                              std::uint64_t length_bytes) override;
  void release_addresses(std::uint64_t address) override;
  unsigned interrupt_count() const override { return options_.interrupts; }
  int interrupt_fd(unsigned vector) const override { return interrupts_[vector].get(); }
  int removal_fd() const override { return removal_.get(); }
  void stop_dma() override;

  /// Looks at registers and doorbells, does what they ask; returns how many commands it took.
  unsigned step();

  /// Has `fault` strike at the `at`-th I/O completion from now on.
  void arm_fault(DeviceFault fault, std::int64_t at) {
    fault_ = fault;
    strike_at_ = at;
    struck_ = false;
  }
  bool never_ready = false;    ///< CSTS.RDY stays as it is
  bool mute_admin = false;     ///< admin commands get no answer
  bool refuse_queues = false;  ///< creating an I/O queue fails
  bool keep_queues = false;    ///< deleting one fails
  bool hold_io = false;        ///< I/O commands get no answer but by Abort, until it ends
  /// As if the kernel wanted the device back.
  void ask_for_removal();
  /// The device is back after kGone, or another one is, with its own serial number.
  void revive(const std::string& serial = "SIMULATED");

  /// What the host did that it must not do.
  const std::vector<std::string>& violations() const { return violations_; }
  /// Namespaces that there are, attached to it or not.
  std::size_t namespace_count() const { return sizes_.size(); }
  std::uint64_t io_commands() const { return io_commands_; }
  /// What it keeps of all blocks' metadata.
  std::span<std::byte> metadata() { return metadata_; }
  std::uint64_t sgl_commands() const { return sgl_commands_; }
  std::size_t io_queue_count() const { return queues_.size(); }
  /// QPRIO of submission queue `qid`, which exists.
  std::uint8_t priority_of(std::uint16_t qid) const { return queues_.at(qid).priority; }
  std::size_t mapping_count() const { return mappings_.size(); }
  std::size_t reservation_count() const { return reserved_; }
  /// Commands that it fetched from its own memory.
  std::uint64_t own_fetches() const { return own_fetches_; }
  bool struck() const { return struck_; }
  bool has_shadows() const { return shadows_ != 0; }
  bool gone() const { return gone_; }

 private:
  struct Queue {
    std::uint16_t qid = 0;
    std::uint64_t sq = 0;
    std::uint64_t cq = 0;
    std::uint32_t sq_entries = 0;
    std::uint32_t cq_entries = 0;
    std::uint32_t sq_head = 0;
    std::uint32_t cq_tail = 0;
    std::uint32_t rung = 0;  // the submission doorbell when it was last looked at
    bool phase = true;
    bool has_sq = false;
    std::uint8_t priority = 0;
    bool interrupts = false;
    std::uint16_t vector = 0;
    std::vector<nvme::spec::CompletionEntry> done;  // I/O, not posted yet
  };

  void map_registers();
  void enable();
  void disable();
  unsigned run_queue(Queue& queue);
  void admin(Queue& queue, const nvme::spec::SubmissionEntry& sqe);
  nvme::spec::NvmeStatus manage_queue(const nvme::spec::SubmissionEntry& sqe, bool& known);
  nvme::spec::NvmeStatus create_cq(const nvme::spec::SubmissionEntry& sqe);
  nvme::spec::NvmeStatus create_sq(const nvme::spec::SubmissionEntry& sqe);
  nvme::spec::NvmeStatus manage(const nvme::spec::SubmissionEntry& sqe, bool& known,
                                std::uint64_t& result);
  nvme::spec::NvmeStatus manage_namespace(const nvme::spec::SubmissionEntry& sqe,
                                          std::uint64_t& result);
  nvme::spec::NvmeStatus attach_namespace(const nvme::spec::SubmissionEntry& sqe);
  bool abort_held(std::uint16_t qid, std::uint16_t cid);
  void io(Queue& queue, const nvme::spec::SubmissionEntry& sqe);
  nvme::spec::NvmeStatus move_sgl(const nvme::spec::SubmissionEntry& sqe, std::byte* media,
                                  std::uint64_t length, bool write);
  nvme::spec::NvmeStatus move(const nvme::spec::SubmissionEntry& sqe, std::byte* media,
                              std::uint64_t length, bool write);
  nvme::spec::NvmeStatus move_metadata(const nvme::spec::SubmissionEntry& sqe, std::uint64_t lba,
                                       std::uint64_t blocks, bool write);
  bool post_done(Queue& queue);
  bool strike(Queue& queue, nvme::spec::CompletionEntry& entry);
  void post(Queue& queue, nvme::spec::CompletionEntry entry, bool stale = false);
  std::uint32_t& word(std::uint32_t offset) {
    return *reinterpret_cast<std::uint32_t*>(bar_.data() + offset);
  }
  std::uint32_t& word(nvme::spec::Property property) {
    return word(static_cast<std::uint32_t>(property));
  }
  std::uint32_t place_of(std::uint16_t qid, bool completion) const {
    return (2u * qid + (completion ? 1 : 0)) * (4u << options_.doorbell_stride);
  }
  std::uint32_t& doorbell(std::uint16_t qid, bool completion) {
    return word(nvme::spec::kDoorbellOffset + place_of(qid, completion));
  }
  std::byte* host(std::uint64_t address, std::uint64_t length);
  std::byte* own(std::uint64_t address, std::uint64_t length);
  std::uint32_t tail_of(Queue& queue);
  std::uint32_t head_of(const Queue& queue);
  std::uint32_t shadow(std::uint16_t qid, bool completion);
  void violate(std::string what) { violations_.push_back(std::move(what)); }

  const Options options_;
  std::mt19937_64 random_;
  UniqueFd bar_file_;  // mapped, as a BAR is: what is cut off raises SIGBUS
  std::span<std::byte> bar_;
  std::vector<std::byte> media_;
  std::vector<std::byte> metadata_;
  std::vector<UniqueFd> interrupts_;
  UniqueFd removal_;
  nvme::PerfectController perfect_;
  struct Mapping {
    std::byte* memory = nullptr;
    std::uint64_t length = 0;
  };
  std::map<std::uint64_t, Mapping> mappings_;
  std::uint64_t next_address_ = 0x100000;
  bool enabled_ = false;
  bool gone_ = false;
  DeviceFault fault_ = DeviceFault::kNone;
  std::int64_t strike_at_ = -1;
  bool struck_ = false;
  std::map<std::uint32_t, std::uint64_t> sizes_;  // of all namespaces, in blocks
  std::optional<Queue> admin_;
  std::map<std::uint16_t, Queue> queues_;
  std::deque<std::uint16_t> event_requests_;
  std::uint64_t shadows_ = 0;
  std::uint64_t events_ = 0;
  std::vector<std::byte> own_memory_;
  std::size_t reserved_ = 0;
  std::uint64_t own_fetches_ = 0;
  std::uint64_t io_commands_ = 0;
  std::uint64_t sgl_commands_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace nvublk::sim
