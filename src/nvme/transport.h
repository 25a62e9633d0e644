#pragma once

// The transport seam: what a controller and its queue pairs need of PCIe, TCP or RDMA. The nvme
// core knows no transport; transport_factory.h, above it, names them all.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/shard.h"
#include "nvme/request_table.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/properties.h"
#include "nvme/transport_options.h"

namespace nvublk::nvme {

/// Where a control sequence stands; `name` is static text, "" if none runs.
struct StepView {
  const char* name = "";      ///< of the step, as its sequence has it
  const char* spec = "";      ///< its section, such as "Base 2.1 §3.5.1"; may be ""
  Instant since{};            ///< when it began
  Instant deadline = kNever;  ///< when it is given up
};

/// What a queue pair is told by its transport. All calls on the queue's shard.
class QueueTransportSink {
 public:
  /// connect() has succeeded: commands can be submitted (over fabrics: Connect first).
  virtual void on_connected() = 0;
  /// A completion. Its CID is as it came; requests that it names stay valid until this returns.
  /// All data of the command is in place.
  virtual void on_completion(const spec::CompletionEntry& entry) = 0;
  /// The queue is gone, or connect() failed, or disconnect() is through. The transport will not
  /// touch any request or its memory again. The last call; the transport may be destroyed, but not
  /// from within it.
  virtual void on_disconnected(Error reason) = 0;

 protected:
  ~QueueTransportSink() = default;
};

/// The transport's half of one queue pair. Shard-affine.
class QueueTransport {
 public:
  virtual ~QueueTransport() = default;
  /// Begins to connect; ends in on_connected() or on_disconnected(), never from within this call.
  virtual void connect() = 0;
  /// Sends `request` (SQE, CID, data); only while connected, and only as many at a time as the
  /// table has slots. What it wrote goes out with the next flush; the transport asks its reactor
  /// for that itself.
  virtual void submit(Request& request) = 0;
  /// Begins to close; ends in on_disconnected(reason), never from within this call. Harmless when
  /// closing already.
  virtual void disconnect(Error reason) = 0;
  /// Which step of connecting runs.
  virtual StepView step() const = 0;
  /// While connected: whether the submission queue lies in the controller's own memory.
  virtual bool in_controller_memory() const { return false; }
};

/// Memory for the two queues of a pair: whole pages, as many as the queue needs or more. Empty: the
/// transport's own.
struct QueueMemory {
  std::span<std::byte> sq;  ///< entries of 64 bytes
  std::span<std::byte> cq;  ///< entries of 16 bytes
};

/// What a queue is made with.
struct QueueTransportOptions {
  std::uint16_t qid = 0;               ///< 0: the admin queue
  std::uint8_t priority = 0;           ///< QPRIO of an I/O queue. [Base 2.1 §5.2.2]
  std::uint16_t cntlid = 0;            ///< of the controller, for I/O queues
  std::uint32_t in_capsule_bytes = 0;  ///< data that a command capsule of this queue may carry
  std::uint32_t max_descriptors = 1;   ///< SGL descriptors that a command may have
  QueueMemory memory;                  ///< the caller's, for queues in memory
};

/// What a PCI function says it is; zeroes where there is none.
struct PciIds {
  std::uint16_t vendor = 0;  ///< PCI vendor id
  std::uint16_t device = 0;  ///< PCI device id
};

/// What limits commands: of the transport itself from Transport::limits(), and with what the
/// controller said of itself from Controller::transport_limits().
struct TransportLimits {
  bool fabrics = true;                   ///< Connect, Property Get/Set, Keep Alive are needed
  std::uint32_t max_transfer_bytes = 0;  ///< 0: none but the controller's MDTS
  bool prp = false;                      ///< data pointers are PRPs: pages must line up
  /// Pieces of data that a command's list of SGL descriptors has room for; 0: any number, in any
  /// place. With PRPs it is that of the list which there would be with SGLs.
  std::uint32_t max_segments = 0;
  bool separate_metadata = false;  ///< a command may have metadata in a buffer of its own
  bool tls = false;                ///< all that goes over it is encrypted by a shared key
  PciIds pci;                      ///< of the controller's own function
};

/// One controller's way to the device. Lives on the control shard; makes queues for any shard.
class Transport {
 public:
  virtual ~Transport() = default;
  /// The same for the whole life of the transport, but for `pci`.
  virtual TransportLimits limits() const = 0;
  /// What the controller says of itself: on the control shard, after each connect and before any
  /// I/O queue connects.
  virtual void controller_identified(const spec::IdentifyController& /*identify*/) {}
  /// No connection follows those there are: what was kept for one goes. On the control shard.
  virtual void no_more_connections() {}
  /// A queue that is not connected yet. `shard` runs it; `requests` and `sink` outlive it. May be
  /// called on the queue's shard.
  virtual std::unique_ptr<QueueTransport> make_queue(Shard& shard,
                                                     const QueueTransportOptions& options,
                                                     RequestTable& requests,
                                                     QueueTransportSink& sink) = 0;
};

}  // namespace nvublk::nvme
