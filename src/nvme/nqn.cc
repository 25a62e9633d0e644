#include "nvme/nqn.h"

#include <cstddef>
#include <utility>

#include "nvme/text.h"

namespace nvublk::nvme {
namespace {

constexpr std::string_view kUuidPrefix = "nqn.2014-08.org.nvmexpress:uuid:";
constexpr std::string_view kFormHelp =
    "; write nqn.yyyy-mm.reverse.domain:name, such as nqn.2024-01.com.example:disk1";

std::unexpected<Error> refuse(std::string_view what, std::string_view nqn, std::string_view why) {
  std::string message(what);
  message += ' ';
  message += text::quote(nqn);
  message += ' ';
  message += why;
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

// "yyyy-mm." at the start of `text`.
bool starts_with_date(std::string_view text) {
  if (text.size() < 8 || text[4] != '-' || text[7] != '.') return false;
  for (const std::size_t i : {0uz, 1uz, 2uz, 3uz, 5uz, 6uz}) {
    if (!text::is_digit(text[i])) return false;
  }
  const int month = (text[5] - '0') * 10 + (text[6] - '0');
  return month >= 1 && month <= 12;
}

// One label of a domain name. [RFC 1034 §3.5]
bool is_domain_label(std::string_view label) {
  if (label.empty() || label.size() > 63) return false;
  for (const char c : label) {
    if (!text::is_letter(c) && !text::is_digit(c) && c != '-') return false;
  }
  return label.front() != '-' && label.back() != '-';
}

bool is_domain(std::string_view domain) {
  while (true) {
    const std::size_t dot = domain.find('.');
    if (!is_domain_label(domain.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    domain.remove_prefix(dot + 1);
  }
}

}  // namespace

Status check_nqn_usable(std::string_view nqn, std::string_view what) {
  if (nqn.empty()) return fail(ErrorCode::kInvalidArgument, std::string(what) + " is empty");
  if (nqn.size() > spec::kNqnMaxLength) {
    return refuse(what, nqn, "is longer than 223 bytes, the most the specification allows");
  }
  for (const char c : nqn) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
      return refuse(what, nqn, "has a control character in it");
    }
  }
  if (!text::is_utf8(nqn)) return refuse(what, nqn, "is not UTF-8 text");
  return {};
}

Status check_nqn_format(std::string_view nqn, std::string_view what) {
  if (const Status usable = check_nqn_usable(nqn, what); !usable) return usable;
  if (is_discovery_nqn(nqn)) return {};
  if (nqn.starts_with(kUuidPrefix)) {
    if (uuid_of_nqn(nqn)) return {};
    return refuse(what, nqn, "has no UUID after 'uuid:'");
  }
  const std::string help(kFormHelp);
  if (!nqn.starts_with("nqn.")) return refuse(what, nqn, "does not start with 'nqn.'" + help);
  const std::string_view rest = nqn.substr(4);
  if (!starts_with_date(rest)) return refuse(what, nqn, "has no date after 'nqn.'" + help);
  const std::size_t colon = rest.find(':');
  if (colon == std::string_view::npos || colon + 1 == rest.size()) {
    return refuse(what, nqn, "has no name after a ':'" + help);
  }
  if (!is_domain(rest.substr(8, colon - 8))) {
    return refuse(what, nqn, "has no domain name before the ':'" + help);
  }
  return {};
}

std::string uuid_nqn(const Uuid& uuid) {
  return std::string(kUuidPrefix) + uuid.to_string();
}

Result<Uuid> uuid_of_nqn(std::string_view nqn) {
  constexpr std::size_t kUuidTextLength = 36;
  if (!nqn.starts_with(kUuidPrefix) || nqn.size() != kUuidPrefix.size() + kUuidTextLength) {
    return fail(ErrorCode::kInvalidArgument, text::quote(nqn) + " is not an NQN of the form " +
                                                 std::string(kUuidPrefix) +
                                                 "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
  }
  return Uuid::parse(nqn.substr(kUuidPrefix.size()));
}

}  // namespace nvublk::nvme
