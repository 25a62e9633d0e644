# The kernel's own NVMe target in the guest, over TCP and RDMA, through configfs, and devices behind
# it.
# shellcheck shell=bash

readonly kNvmet=/sys/kernel/config/nvmet kNullBlock=/sys/kernel/config/nullb
readonly kAddress=127.0.0.1 kPort=4420 kNqn=nqn.2026-01.io.nvublk.test

# load_modules MODULE...: says which one is missing.
load_modules() {
  local module
  for module in "$@"; do
    modprobe "$module" || { echo "module $module can't be loaded"; return 1; }
  done
}

# --- backing devices -----------------------------------------------------------------------------

# make_ram_disks COUNT MIB: /dev/ram0 and on, blocks of 512 bytes.
make_ram_disks() { modprobe brd rd_nr="$1" rd_size=$(($2 * 1024)); }

# make_null_block NAME MIB BLOCK_SIZE: /dev/NAME, which keeps data in memory and can discard.
make_null_block() {
  local item=$kNullBlock/$1 index
  modprobe null_blk nr_devices=0 && mkdir "$item" || return 1
  echo "$2" >"$item/size"
  echo "$3" >"$item/blocksize"
  echo 1 >"$item/memory_backed"
  echo 1 >"$item/discard"
  echo 1 >"$item/power"
  index=$(cat "$item/index")
  [ -b "/dev/$1" ] || ln -s "nullb$index" "/dev/$1"
}

# make_file PATH MIB: a file; as a namespace its blocks are its file system's: 4096 bytes on tmpfs.
# (On the root overlay nvmet finds a block size of 1 and offers what nobody can use.)
make_file() { truncate -s "$2M" "$1"; }

remove_backing() {
  local item
  modprobe -r brd 2>/dev/null
  for item in "$kNullBlock"/*/; do
    [ -d "$item" ] || continue
    echo 0 >"$item/power"
    rmdir "$item"
  done
}

# --- subsystems, namespaces, hosts, ports --------------------------------------------------------

# add_subsystem NQN [1|0]: 1 (default): every host may connect; 0: only those of allow_host.
add_subsystem() {
  modprobe nvmet && mkdir "$kNvmet/subsystems/$1" &&
    echo "${2:-1}" >"$kNvmet/subsystems/$1/attr_allow_any_host"
}

# allow_host NQN HOSTNQN
allow_host() {
  mkdir -p "$kNvmet/hosts/$2" &&
    ln -s "$kNvmet/hosts/$2" "$kNvmet/subsystems/$1/allowed_hosts/$2"
}

# add_namespace NQN NSID DEVICE|FILE
add_namespace() {
  local folder=$kNvmet/subsystems/$1/namespaces/$2
  mkdir "$folder" || return 1
  echo -n "$3" >"$folder/device_path"
  [ -b "$3" ] || echo 1 >"$folder/buffered_io"
  echo 1 >"$folder/enable"
}

# start_port TRANSPORT ADDRESS PORT NQN...: makes the port PORT listen and offers the subsystems there.
start_port() {
  local transport=$1 address=$2 port=$3 folder=$kNvmet/ports/$3 family=ipv4 nqn
  shift 3
  [[ $address != *:* ]] || family=ipv6
  modprobe "nvmet-$transport" && mkdir "$folder" || return 1
  echo "$family" >"$folder/addr_adrfam"
  echo "$transport" >"$folder/addr_trtype"
  echo "$address" >"$folder/addr_traddr"
  echo "$port" >"$folder/addr_trsvcid"
  for nqn in "$@"; do
    ln -s "$kNvmet/subsystems/$nqn" "$folder/subsystems/$nqn" || return 1
  done
}

# start_tcp_target PORT NQN...: on 127.0.0.1.
start_tcp_target() { start_port tcp "$kAddress" "$@"; }

# offer PORT NQN / withdraw PORT NQN: a subsystem on a port that is there. Its connections end when it
# is withdrawn.
offer() { ln -s "$kNvmet/subsystems/$2" "$kNvmet/ports/$1/subsystems/$2"; }
withdraw() { rm "$kNvmet/ports/$1/subsystems/$2"; }

# stop_tcp_target: removes every port, subsystem and host; connections end.
stop_tcp_target() {
  local folder
  [ -d "$kNvmet" ] || return 0
  find "$kNvmet/ports" "$kNvmet/subsystems" -type l -delete
  for folder in "$kNvmet"/ports/* "$kNvmet"/subsystems/*/namespaces/* "$kNvmet"/subsystems/* \
    "$kNvmet"/hosts/*; do
    [ ! -d "$folder" ] || rmdir "$folder"
  done
}

# --- the target outside of the guest, for tests with "# run: --target ..." ------------------------

# shellcheck disable=SC2034  # for tests
readonly kHostAddress=10.0.2.2 kHostNqn=nqn.2026-01.io.nvublk:target

# The target is at $kHostAddress, port $VM_TARGET_PORT.
start_network() {
  modprobe virtio_net && ip address add 10.0.2.15/24 dev eth0 && ip link set eth0 up
}

# --- RDMA ----------------------------------------------------------------------------------------

readonly kRdmaAddress=10.77.0.1 kRdmaAddress6=fd77::1

# start_rdma_device: a software device, rxe0, on a network interface of its own.
start_rdma_device() {
  modprobe -a dummy rdma_rxe ib_uverbs rdma_ucm || return 1
  [ -d /sys/class/net/rdma0 ] || {
    ip link add rdma0 type dummy && ip address add "$kRdmaAddress/24" dev rdma0 &&
      ip -6 address add "$kRdmaAddress6/64" dev rdma0 nodad && ip link set rdma0 up || return 1
  }
  rdma link add rxe0 type rxe netdev rdma0
}
stop_rdma_device() { rdma link delete rxe0; ip link delete rdma0; }

# rdma_objects KIND: how many queue pairs (qp), completion queues (cq), memory regions (mr),
# protection domains (pd) or ids of the connection manager (cm_id) programs have. (What is the kernel's
# has no pid; that of a thread of a program is the thread's own.)
rdma_objects() { rdma resource show "$1" | grep -c " pid "; }

# --- the usual targets ---------------------------------------------------------------------------

# The kinds of namespace that the tests use, and the block size of each.
readonly kBackings="brd null512 null4096 file"
block_size_of() { case $1 in brd | null512) echo 512 ;; *) echo 4096 ;; esac; }

# start_usual_target [MIB]: one subsystem, $kNqn:KIND, with one namespace for each kind.
start_usual_target() {
  local size=${1:-512} kind nqns=()
  make_ram_disks 1 "$size" && make_null_block null512 "$size" 512 &&
    make_null_block null4096 "$size" 4096 && make_file /run/namespace "$size" || return 1
  local -A paths=([brd]=/dev/ram0 [null512]=/dev/null512 [null4096]=/dev/null4096
    [file]=/run/namespace)
  for kind in $kBackings; do
    add_subsystem "$kNqn:$kind" && add_namespace "$kNqn:$kind" 1 "${paths[$kind]}" || return 1
    nqns+=("$kNqn:$kind")
  done
  start_tcp_target "$kPort" "${nqns[@]}"
}

stop_usual_target() {
  stop_tcp_target
  remove_backing
  rm -f /run/namespace
}
