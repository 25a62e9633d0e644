#include "nvme/controller_init.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "nvme/command.h"
#include "nvme/queue_authentication.h"
#include "nvme/spec/fabrics.h"
#include "nvme/spec/features.h"

namespace nvublk::nvme {

namespace {

constexpr unsigned kSqeBytesLog2 = 6;
constexpr unsigned kCqeBytesLog2 = 4;
constexpr Duration kReadyPoll = milliseconds(10);
// Quirk::kSlowStart, Quirk::kSlowReady.
constexpr Duration kSlowStartPause = seconds(2);
constexpr Duration kSlowReadyPause = milliseconds(2300);

// The events that nvublk acts on; the controller says in OAES which it can report.
constexpr std::uint32_t kWantedNotices =
    spec::kAsyncNamespaceAttribute | spec::kAsyncFirmwareActivation | spec::kAsyncAnaChange;

ControlAction admin_command(const spec::SubmissionEntry& sqe) {
  ControlAction action;
  action.kind = ControlAction::Kind::kAdminCommand;
  action.sqe = sqe;
  return action;
}

ControlAction get_property(spec::Property property) {
  ControlAction action;
  action.kind = ControlAction::Kind::kGetProperty;
  action.property = property;
  return action;
}

ControlAction set_cc(spec::Cc cc) {
  ControlAction action;
  action.kind = ControlAction::Kind::kSetProperty;
  action.property = spec::Property::kCc;
  action.value = cc.raw;
  return action;
}

// Of SQES or CQES: the required size in bits 3:0, the largest in bits 7:4. [Base 2.1 §5.1.13.2.1]
bool takes_entries(std::uint8_t sizes, unsigned bytes_log2) {
  const unsigned required = sizes & 0xfu;
  const unsigned largest = sizes >> 4;
  return required == bytes_log2 || (required < bytes_log2 && bytes_log2 <= largest);
}

}  // namespace

ControllerInit::ControllerInit(const ControllerOptions& options, const TransportLimits& transport,
                               std::uint32_t io_queues)
    : options_(options),
      fabrics_(transport.fabrics),
      pci_(transport.pci),
      wanted_io_queues_(io_queues) {
  profile_.quirks = quirks_of(pci_);
}

ControllerInit::ControllerInit(const ControllerOptions& options, const ControllerProfile& known,
                               std::vector<std::uint32_t> only)
    : options_(options),
      fabrics_(false),
      wanted_io_queues_(0),
      profile_(known),
      rescans_(true),
      known_(std::move(profile_.namespaces)),
      only_(std::move(only)) {
  profile_.namespaces.clear();
  std::ranges::sort(only_);
}

std::span<const ControllerInit::Row> ControllerInit::rows() {
  using M = ControllerInit;
  // Steps that the rows jump back to: see keep_namespace_list, next_namespace.
  static constexpr std::array<Row, 31> kRows = {{
      {"connect admin queue", "Base 2.1 §3.3.2.2", &M::connect_limit, &M::connect_admin,
       &M::after_connect},
      {"Fabrics Connect", "Base 2.1 §6.3", &M::connect_limit, &M::fabrics_connect,
       &M::keep_connect_result},
      {"authenticate", "Base 2.3 §8.3.5", &M::authentication_limit, &M::authenticate, &M::next},
      {"read CAP", "Base 2.1 §3.1.4.1", &M::command_limit, &M::get_cap, &M::keep_cap},
      {"read VS", "Base 2.1 §3.1.4.2", &M::command_limit, &M::get_vs, &M::keep_vs},
      {"read CC", "Base 2.1 §3.1.4.5", &M::command_limit, &M::get_cc, &M::keep_cc},
      {"clear CC.EN", "Base 2.1 §3.5.1", &M::command_limit, &M::disable, &M::settle},
      {"wait CSTS.RDY=0", "Base 2.1 §3.5.1", &M::ready_limit, &M::get_csts_if_disabling,
       &M::until_not_ready},
      {"set CC.EN", "Base 2.1 §3.5.1", &M::command_limit, &M::enable, &M::settle},
      {"wait CSTS.RDY=1", "Base 2.1 §3.5.1", &M::ready_limit, &M::get_csts, &M::until_ready},
      {"identify controller", "Base 2.1 §5.1.13.2.1", &M::command_limit, &M::identify_controller,
       &M::keep_identify},
      {"read keep alive timeout", "Base 2.1 §5.1.25.1.15", &M::command_limit, &M::get_keep_alive,
       &M::keep_keep_alive, true},
      {"configure async events", "Base 2.1 §5.1.25.1.5", &M::command_limit, &M::configure_events,
       &M::next, true},
      {"set number of queues", "Base 2.1 §5.1.25.2.1", &M::command_limit, &M::set_queue_count,
       &M::keep_queue_count},
      {"configure arbitration", "Base 2.1 §5.1.25.1.1", &M::command_limit,
       &M::configure_arbitration, &M::keep_arbitration, true},
      {"set host behavior", "Base 2.1 §5.1.25.1.14", &M::command_limit, &M::set_host_behavior,
       &M::keep_retry_delays, true},
      {"set host identifier", "Base 2.1 §5.1.25.1.28", &M::command_limit, &M::set_host_identifier,
       &M::next, true},
      {"identify I/O command sets", "Base 2.1 §5.1.13", &M::command_limit,
       &M::identify_command_sets, &M::keep_command_sets, true},
      {"select I/O command sets", "Base 2.1 §5.1.25", &M::command_limit, &M::select_command_sets,
       &M::next, true},
      {"identify NVM command set limits", "NVM 1.1 §4.1.5.4", &M::command_limit,
       &M::identify_nvm_controller, &M::keep_nvm_limits, true},
      {"read supported log pages", "Base 2.1 §5.1.12.1.1", &M::command_limit, &M::read_log_pages,
       &M::keep_log_pages, true},
      {"read supported features", "Base 2.1 §5.1.12.1.18", &M::command_limit, &M::read_features,
       &M::keep_features, true},
      {"list active namespaces", "Base 2.1 §5.1.13.2.2", &M::command_limit, &M::list_namespaces,
       &M::keep_namespace_list},
      {"identify namespace", "NVM 1.1 §4.1.5.1", &M::command_limit, &M::identify_namespace,
       &M::keep_namespace, true},
      {"identify namespace descriptors", "Base 2.1 §5.1.13.2.3", &M::command_limit,
       &M::identify_descriptors, &M::keep_descriptors, true},
      {"identify namespace status", "Base 2.1 §5.1.13.2.8", &M::command_limit,
       &M::identify_independent, &M::keep_independent, true},
      {"identify protection format", "NVM 1.1 §4.1.5.3", &M::command_limit, &M::identify_protection,
       &M::keep_protection, true},
      {"identify zoned namespace", "ZNS 1.2 §4.1.5.1", &M::command_limit, &M::identify_zoned,
       &M::keep_zoned, true},
      {"identify zone append limit", "ZNS 1.2 §4.1.5.2", &M::command_limit,
       &M::identify_append_limit, &M::keep_append_limit, true},
      {"read ANA log", "Base 2.1 §5.1.12.1.13", &M::command_limit, &M::read_ana_log,
       &M::keep_ana_log, true},
      {"connect I/O queues", "Base 2.1 §6.3", &M::connect_limit, &M::connect_io_queues, &M::next},
  }};
  return kRows;
}

Error ControllerInit::protocol(std::string text) const {
  return Error::make(ErrorCode::kProtocol, std::move(text));
}

// The transport's own steps (connection, handshake) have connect_timeout each and report by name;
// this limit, for all of them, only catches what they miss.
Duration ControllerInit::connect_limit() const {
  return 4 * options_.connect_timeout;
}

// CAP.TO may be 0 on fabrics; a second more lets the answer travel.
Duration ControllerInit::ready_limit() const {
  return milliseconds(std::max(profile_.cap.timeout_ms(), 500u)) + options_.admin_timeout;
}

StepNext ControllerInit::next(const ControlOutcome&) {
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::connect_admin() {
  if (std::exchange(paused_, false)) {
    return std::nullopt;
  }
  ControlAction action;
  action.kind = ControlAction::Kind::kConnectAdminQueue;
  return action;
}

StepNext ControllerInit::after_connect(const ControlOutcome&) {
  paused_ = profile_.quirks.has(Quirk::kSlowStart);
  return paused_ ? StepNext::repeat(kSlowStartPause) : StepNext::next();
}

std::optional<ControlAction> ControllerInit::fabrics_connect() {
  if (!fabrics_) {
    return std::nullopt;
  }
  ControlAction action;
  action.kind = ControlAction::Kind::kFabricsConnect;
  return action;
}

StepNext ControllerInit::keep_connect_result(const ControlOutcome& outcome) {
  const auto result = spec::ConnectResult::decode(static_cast<std::uint32_t>(outcome.value));
  profile_.cntlid = result.cntlid;
  const Result<bool> needed = needs_authentication(result, options_);
  if (!needed) {
    return StepNext::fail(needed.error());
  }
  authenticates_ = *needed;
  return StepNext::next();
}

// Each of its messages has a limit of its own and is reported by name; this one, for all of them,
// only catches what they miss.
Duration ControllerInit::authentication_limit() const {
  return 8 * options_.admin_timeout;
}

std::optional<ControlAction> ControllerInit::authenticate() {
  if (!authenticates_) {
    return std::nullopt;
  }
  ControlAction action;
  action.kind = ControlAction::Kind::kAuthenticate;
  return action;
}

std::optional<ControlAction> ControllerInit::get_cap() {
  return get_property(spec::Property::kCap);
}

StepNext ControllerInit::keep_cap(const ControlOutcome& outcome) {
  profile_.cap = spec::Cap{outcome.value};
  if (profile_.cap.max_queue_entries() < 2) {
    return StepNext::fail(protocol("CAP says that queues have no room (MQES 0)"));
  }
  if (profile_.cap.min_page_bytes() > 4096) {
    return StepNext::fail(
        Error::make(ErrorCode::kUnsupported, "the controller's smallest memory page is " +
                                                 std::to_string(profile_.cap.min_page_bytes()) +
                                                 " bytes; nvublk uses 4096"));
  }
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::get_vs() {
  return get_property(spec::Property::kVs);
}

StepNext ControllerInit::keep_vs(const ControlOutcome& outcome) {
  profile_.vs = spec::Vs{static_cast<std::uint32_t>(outcome.value)};
  if (profile_.vs.major_version() == 0) {
    return StepNext::fail(protocol("VS says that the controller implements no NVMe version"));
  }
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::get_cc() {
  return get_property(spec::Property::kCc);
}

StepNext ControllerInit::keep_cc(const ControlOutcome& outcome) {
  cc_ = spec::Cc{static_cast<std::uint32_t>(outcome.value)};
  disabling_ = cc_.enabled();
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::disable() {
  if (!disabling_ || std::exchange(paused_, false)) {
    return std::nullopt;
  }
  cc_.set_enabled(false);
  return set_cc(cc_);
}

StepNext ControllerInit::settle(const ControlOutcome&) {
  paused_ = profile_.quirks.has(Quirk::kSlowReady);
  return paused_ ? StepNext::repeat(kSlowReadyPause) : StepNext::next();
}

std::optional<ControlAction> ControllerInit::get_csts_if_disabling() {
  return disabling_ ? get_csts() : std::nullopt;
}

StepNext ControllerInit::until_not_ready(const ControlOutcome& outcome) {
  const spec::Csts csts{static_cast<std::uint32_t>(outcome.value)};
  if (csts.all_ones()) {
    return StepNext::fail(
        Error::make(ErrorCode::kDisconnected, "the device is gone (CSTS reads all ones)"));
  }
  return csts.ready() ? StepNext::repeat(kReadyPoll) : StepNext::next();
}

std::optional<ControlAction> ControllerInit::enable() {
  if (std::exchange(paused_, false)) {
    return std::nullopt;
  }
  cc_ = spec::Cc{};
  const bool all_sets =
      profile_.cap.supports_io_command_sets() && options_.command_sets == CommandSets::kAutomatic;
  cc_.set_css(all_sets ? spec::CommandSetSelection::kAllSupported
                       : spec::CommandSetSelection::kNvm);
  profile_.arbitration = options_.arbitration;
  if (!profile_.cap.supports_weighted_round_robin()) {
    profile_.arbitration.weighted = false;
  }
  if (profile_.arbitration.weighted) {
    cc_.set_ams(spec::Arbitration::kWeightedRoundRobin);
  }
  cc_.set_page_shift(12);
  cc_.set_standard_entry_sizes();
  cc_.set_enabled(true);
  return set_cc(cc_);
}

std::optional<ControlAction> ControllerInit::get_csts() {
  return get_property(spec::Property::kCsts);
}

StepNext ControllerInit::until_ready(const ControlOutcome& outcome) {
  const spec::Csts csts{static_cast<std::uint32_t>(outcome.value)};
  if (csts.all_ones()) {
    return StepNext::fail(
        Error::make(ErrorCode::kDisconnected, "the device is gone (CSTS reads all ones)"));
  }
  if (csts.fatal()) {
    return StepNext::fail(protocol("the controller reports a fatal status (CSTS.CFS)"));
  }
  return csts.ready() ? StepNext::next() : StepNext::repeat(kReadyPoll);
}

ControlAction ControllerInit::identify(spec::IdentifyCns cns, std::uint32_t nsid,
                                       spec::CommandSetIdentifier csi) {
  page_.fill(std::byte{0});
  ControlAction action = admin_command(command::identify({.cns = cns, .nsid = nsid, .csi = csi}));
  action.data = page_;
  return action;
}

std::optional<ControlAction> ControllerInit::identify_controller() {
  return identify(spec::IdentifyCns::kController, 0);
}

StepNext ControllerInit::keep_identify(const ControlOutcome&) {
  std::memcpy(static_cast<void*>(&profile_.identify), page_.data(), sizeof(profile_.identify));
  const spec::IdentifyController& identify = profile_.identify;
  profile_.quirks = quirks_of(pci_, identify);
  profile_.log_pages = assumed_log_pages(identify);
  profile_.features = assumed_features(identify);
  profile_.discovery = fabrics_ && (identify.type() == spec::ControllerType::kDiscovery ||
                                    options_.transport.id.is_discovery());
  // Of I/O controllers the specification requires the sizes that all commands have.
  if (!profile_.discovery && !(takes_entries(identify.sqes, kSqeBytesLog2) &&
                               takes_entries(identify.cqes, kCqeBytesLog2))) {
    return StepNext::fail(protocol(
        "Identify Controller makes no sense: SQES is " + std::to_string(identify.sqes) +
        " and CQES " + std::to_string(identify.cqes) + ", not entries of 64 and 16 bytes"));
  }
  if (!fabrics_) {
    profile_.cntlid = identify.cntlid.get();
    return StepNext::next();
  }
  if (profile_.discovery && !options_.discovery_allowed) {
    return StepNext::fail(Error::make(ErrorCode::kUnsupported,
                                      "this is a discovery controller: it has no namespaces; "
                                      "attach a subsystem that it lists instead"));
  }
  if (identify.cntlid.get() != profile_.cntlid) {
    return StepNext::fail(protocol("Identify names controller " +
                                   std::to_string(identify.cntlid.get()) +
                                   ", but Connect gave us " + std::to_string(profile_.cntlid)));
  }
  // A capsule has at least room for its SQE; without it there is no way to send commands.
  if (!profile_.discovery && identify.ioccsz.get() < 4) {
    return StepNext::fail(protocol("IOCCSZ is " + std::to_string(identify.ioccsz.get()) +
                                   ", too small for a command"));
  }
  return StepNext::next();
}

milliseconds ControllerInit::keep_alive() const {
  if (!fabrics_) {
    return milliseconds(0);
  }
  return keep_alive_known_ ? milliseconds(profile_.keep_alive_ms) : options_.keep_alive;
}

std::optional<ControlAction> ControllerInit::get_keep_alive() {
  profile_.keep_alive_ms = 0;
  keep_alive_known_ = true;
  if (!fabrics_ || options_.keep_alive.count() == 0) {
    return std::nullopt;
  }
  if (profile_.identify.kas.get() == 0 && !profile_.discovery) {
    return std::nullopt;
  }
  profile_.keep_alive_ms = static_cast<std::uint32_t>(options_.keep_alive.count());
  return admin_command(command::get_features(spec::FeatureId::kKeepAliveTimer));
}

// The controller may have rounded KATO; one that cannot say keeps what Connect asked for.
StepNext ControllerInit::keep_keep_alive(const ControlOutcome& outcome) {
  const auto granted_ms = static_cast<std::uint32_t>(outcome.value);
  if (!outcome.failure && granted_ms != 0) {
    profile_.keep_alive_ms = std::min(profile_.keep_alive_ms, granted_ms);
  }
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::configure_events() {
  const std::uint32_t oaes = profile_.identify.oaes.get();
  // Critical warnings of SMART need no bit in OAES. [Base 2.1 §5.1.25.1.5]
  const std::uint32_t events = profile_.discovery ? oaes & spec::kAsyncDiscoveryLog
                                                  : (oaes & kWantedNotices) | spec::kAsyncSmartAll;
  if (events == 0) {
    return std::nullopt;
  }
  return admin_command(command::set_features(spec::FeatureId::kAsyncEventConfig, events));
}

std::optional<ControlAction> ControllerInit::set_queue_count() {
  if (profile_.discovery) {
    return std::nullopt;
  }
  return admin_command(command::set_number_of_queues(wanted_io_queues_, wanted_io_queues_));
}

StepNext ControllerInit::keep_queue_count(const ControlOutcome& outcome) {
  const auto granted = spec::NumberOfQueues::decode(static_cast<std::uint32_t>(outcome.value));
  profile_.io_queue_count = std::min(wanted_io_queues_, granted.pair_count());
  return StepNext::next();
}

}  // namespace nvublk::nvme
