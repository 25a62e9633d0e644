#pragma once

// What is known of a controller and its namespaces once they have been identified. Plain values.

#include <cstdint>
#include <optional>
#include <vector>

#include "nvme/ana_log.h"
#include "nvme/controller_capabilities.h"
#include "nvme/controller_options.h"
#include "nvme/identify_decode.h"
#include "nvme/namespace_format.h"
#include "nvme/quirks.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme {

/// One namespace as it was identified.
struct NamespaceProfile {
  std::uint32_t nsid = 0;          ///< 1 and up
  spec::IdentifyNamespace data{};  ///< Identify Namespace, CNS 00h
  NamespaceIds ids;                ///< what tells it from others
  CommandSetFormat format;         ///< what its command set says of it
  std::uint32_t ana_group = 0;     ///< 0: in none
  bool ready = true;               ///< for commands that touch the media
  bool gone = false;  ///< vanished while it was identified; never in a profile that is done
};

/// What is known of a controller once the sequence is through.
struct ControllerProfile {
  std::uint16_t cntlid = 0;             ///< CNTLID, of this association
  spec::Cap cap;                        ///< CAP
  spec::Vs vs;                          ///< VS
  spec::IdentifyController identify{};  ///< CNS 01h
  spec::IdentifyControllerNvm nvm{};    ///< CNS 06h of the NVM command set; zeroes if it has none
  Quirks quirks;                        ///< its departures from the specification
  bool discovery = false;               ///< a discovery controller
  ArbitrationOptions arbitration;       ///< as it is in force
  std::uint32_t keep_alive_ms = 0;      ///< as granted
  std::uint32_t io_queue_count = 0;     ///< I/O queue pairs that it grants
  bool retry_delays = false;            ///< a status may name one of CRDT1 to CRDT3
  std::optional<std::uint64_t> append_limit_bytes;  ///< of Zone Append; once a namespace is zoned
  SupportedSet log_pages;                           ///< by LogPage
  SupportedSet features;                            ///< by FeatureId
  std::vector<NamespaceProfile> namespaces;         ///< the active ones, by NSID
  std::vector<AnaGroup> ana_groups;                 ///< empty: the controller has none
};

}  // namespace nvublk::nvme
