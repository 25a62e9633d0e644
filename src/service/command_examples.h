#pragma once

// What the help of each command ends with.

namespace nvublk::service {

inline constexpr char kAttachExamples[] =
    "Examples:\n"
    "  nvublk attach -t tcp -a 192.0.2.10 -n nqn.2014-08.org.example:disk\n"
    "  nvublk attach nvme+tcp://storage.example:4420/nqn.2014-08.org.example:disk\n"
    "  nvublk attach 'trtype:TCP adrfam:IPv4 traddr:192.0.2.10 trsvcid:4420 subnqn:nqn...'\n"
    "  nvublk attach -t tcp -a 192.0.2.10 -n nqn... --nsid 1,3 --name data -l -1\n"
    "  nvublk attach --discover -t tcp -a 192.0.2.10\n"
    "  nvublk attach -t tcp -a 192.0.2.10 -n nqn... --tls-key NVMeTLSkey-1:01:...\n"
    "  nvublk attach -t pcie -a 0000:01:00.0\n";
inline constexpr char kDiscoverExamples[] =
    "Examples:\n"
    "  nvublk discover -t tcp -a 192.0.2.10\n"
    "  nvublk discover -t tcp -a 192.0.2.10 -s 4420 -o json | jq -r '.records[].subnqn'\n"
    "  nvublk discover nvme+tcp://storage.example:8009\n";
inline constexpr char kDetachExamples[] =
    "Examples:\n"
    "  nvublk detach /dev/ublkb0\n"
    "  nvublk detach nvublk0n1\n"
    "  nvublk detach nqn.2014-08.org.example:disk\n"
    "  nvublk detach --all\n";
inline constexpr char kListExamples[] =
    "Examples:\n"
    "  nvublk list\n"
    "  nvublk list -o json | jq -r '.devices[].device'\n";
inline constexpr char kSetExamples[] =
    "Settings: ctrl-loss-tmo, fast_io_fail_tmo, reconnect-delay, keep-alive-tmo, io-timeout,\n"
    "admin-timeout (seconds) and timeout-action (reset, abort or none), as for attach.\n\n"
    "Examples:\n"
    "  nvublk set nvublk0 ctrl-loss-tmo=-1\n"
    "  nvublk set /dev/ublkb0 fast_io_fail_tmo=5 io-timeout=60 timeout-action=abort\n";
inline constexpr char kStatusExamples[] =
    "Examples:\n"
    "  nvublk status\n"
    "  nvublk status nvublk0\n"
    "  nvublk status /dev/ublkb0 -o json\n";
inline constexpr char kFeaturesExamples[] =
    "Examples:\n"
    "  nvublk features\n"
    "  nvublk features -o json | jq .ublk\n";
inline constexpr char kRecoverExamples[] =
    "Examples:\n"
    "  nvublk recover\n"
    "  nvublk recover --dry-run -o json | jq '.orphans[]'\n";
inline constexpr char kPciExamples[] =
    "Examples:\n"
    "  nvublk pci list\n"
    "  nvublk pci list -o json | jq -r '.devices[] | select(.used_by == null).address'\n"
    "  nvublk pci bind 0000:01:00.0\n"
    "  nvublk pci unbind 0000:01:00.0\n";
inline constexpr char kGenDhchapKeyExamples[] =
    "Examples:\n"
    "  nvublk gen-dhchap-key\n"
    "  nvublk gen-dhchap-key -m 1 -n nqn.2014-08.org.example:host\n";
inline constexpr char kCheckDhchapKeyExamples[] =
    "Examples:\n"
    "  nvublk check-dhchap-key -k DHHC-1:00:XnuTz9dRi5lll3DSy67IV2IJhuv2FaegUHm9v0qH8PT8AtdM:\n";
inline constexpr char kGenTlsKeyExamples[] =
    "Examples:\n"
    "  nvublk gen-tls-key\n"
    "  nvublk gen-tls-key -m 2 -c nqn.2014-08.org.example:disk\n";
inline constexpr char kCheckTlsKeyExamples[] =
    "Examples:\n"
    "  nvublk check-tls-key -d "
    "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:\n";
inline constexpr char kVersionExamples[] =
    "Examples:\n"
    "  nvublk version\n";

}  // namespace nvublk::service
