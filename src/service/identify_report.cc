#include "service/identify_report.h"

#include <string>

#include "nvme/spec/text.h"
#include "service/wide_number.h"

namespace nvublk::service {

namespace {

using nvme::spec::IdentifyController;
using nvme::spec::IdentifyNamespace;

std::string hex_digits(const std::uint8_t* bytes, std::size_t count) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < count; i++) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 0xf];
  }
  return text;
}

/// The whole field, padding included, up to its first NUL.
template <std::size_t N>
std::string padded_text(const std::array<char, N>& field) {
  std::string text(nvme::spec::raw_text(field));
  for (char& c : text) {
    if (c < ' ' || c > '~') {
      c = '_';
    }
  }
  return text;
}

std::string uuid_text(const std::array<std::uint8_t, 16>& bytes) {
  std::string text = hex_digits(bytes.data(), bytes.size());
  for (const std::size_t position : {20u, 16u, 12u, 8u}) {
    text.insert(position, 1, '-');
  }
  return text;
}

void add_identity(Json& json, const IdentifyController& c) {
  json["vid"] = c.vid.get();
  json["ssvid"] = c.ssvid.get();
  json["sn"] = padded_text(c.sn);
  json["mn"] = padded_text(c.mn);
  json["fr"] = padded_text(c.fr);
  json["rab"] = c.rab;
  json["ieee"] = c.ieee[0] | c.ieee[1] << 8 | c.ieee[2] << 16;
  json["cmic"] = c.cmic;
  json["mdts"] = c.mdts;
  json["cntlid"] = c.cntlid.get();
  json["ver"] = c.ver.get();
  json["rtd3r"] = c.rtd3r.get();
  json["rtd3e"] = c.rtd3e.get();
  json["oaes"] = c.oaes.get();
  json["ctratt"] = c.ctratt.get();
  json["rrls"] = c.rrls.get();
  json["cntrltype"] = c.cntrltype;
  json["fguid"] = uuid_text(c.fguid);
  json["crdt1"] = c.crdt1.get();
  json["crdt2"] = c.crdt2.get();
  json["crdt3"] = c.crdt3.get();
  json["nvmsr"] = c.nvmsr;
  json["vwci"] = c.vwci;
  json["mec"] = c.mec;
}

void add_admin_fields(Json& json, const IdentifyController& c) {
  json["oacs"] = c.oacs.get();
  json["acl"] = c.acl;
  json["aerl"] = c.aerl;
  json["frmw"] = c.frmw;
  json["lpa"] = c.lpa;
  json["elpe"] = c.elpe;
  json["npss"] = c.npss;
  json["avscc"] = c.avscc;
  json["apsta"] = c.apsta;
  json["wctemp"] = c.wctemp.get();
  json["cctemp"] = c.cctemp.get();
  json["mtfa"] = c.mtfa.get();
  json["hmpre"] = c.hmpre.get();
  json["hmmin"] = c.hmmin.get();
  json["tnvmcap"] = wide_number(c.tnvmcap);
  json["unvmcap"] = wide_number(c.unvmcap);
  json["rpmbs"] = c.rpmbs.get();
  json["edstt"] = c.edstt.get();
  json["dsto"] = c.dsto;
  json["fwug"] = c.fwug;
  json["kas"] = c.kas.get();
  json["hctma"] = c.hctma.get();
  json["mntmt"] = c.mntmt.get();
  json["mxtmt"] = c.mxtmt.get();
  json["sanicap"] = c.sanicap.get();
  json["hmminds"] = c.hmminds.get();
  json["hmmaxd"] = c.hmmaxd.get();
  json["nsetidmax"] = c.nsetidmax.get();
  json["endgidmax"] = c.endgidmax.get();
  json["anatt"] = c.anatt;
  json["anacap"] = c.anacap;
  json["anagrpmax"] = c.anagrpmax.get();
  json["nanagrpid"] = c.nanagrpid.get();
  json["pels"] = c.pels.get();
  json["domainid"] = c.domainid.get();
  json["megcap"] = wide_number(c.megcap);
}

void add_io_fields(Json& json, const IdentifyController& c) {
  json["sqes"] = c.sqes;
  json["cqes"] = c.cqes;
  json["maxcmd"] = c.maxcmd.get();
  json["nn"] = c.nn.get();
  json["oncs"] = c.oncs.get();
  json["fuses"] = c.fuses.get();
  json["fna"] = c.fna;
  json["vwc"] = c.vwc;
  json["awun"] = c.awun.get();
  json["awupf"] = c.awupf.get();
  json["icsvscc"] = c.icsvscc;
  json["nwpc"] = c.nwpc;
  json["acwu"] = c.acwu.get();
  json["ocfs"] = c.cdfs.get();
  json["sgls"] = c.sgls.get();
  json["mnan"] = c.mnan.get();
  json["maxdna"] = wide_number(c.maxdna);
  json["maxcna"] = c.maxcna.get();
  if (const std::string subnqn = padded_text(c.subnqn); !subnqn.empty()) {
    json["subnqn"] = subnqn;
  }
  json["ioccsz"] = c.ioccsz.get();
  json["iorcsz"] = c.iorcsz.get();
  json["icdoff"] = c.icdoff.get();
  json["fcatt"] = c.fcatt;
  json["msdbd"] = c.msdbd;
  json["ofcs"] = c.ofcs.get();
}

Json power_state(const nvme::spec::PowerStateDescriptor& state) {
  Json json;
  json["max_power"] = state.mp.get();
  json["flags"] = state.flags;
  json["max_power_scale"] = state.fine_scale() ? 1 : 0;
  json["non-operational_state"] = state.non_operational() ? 1 : 0;
  json["entry_lat"] = state.enlat.get();
  json["exit_lat"] = state.exlat.get();
  json["read_tput"] = state.rrt;
  json["read_lat"] = state.rrl;
  json["write_tput"] = state.rwt;
  json["write_lat"] = state.rwl;
  json["idle_power"] = state.idlp.get();
  json["idle_scale"] = state.idle_scale();
  json["active_power"] = state.actp.get();
  json["active_power_work"] = state.workload();
  json["active_scale"] = state.active_scale();
  return json;
}

void add_atomicity(Json& json, const IdentifyNamespace& n) {
  json["nawun"] = n.nawun.get();
  json["nawupf"] = n.nawupf.get();
  json["nacwu"] = n.nacwu.get();
  json["nabsn"] = n.nabsn.get();
  json["nabo"] = n.nabo.get();
  json["nabspf"] = n.nabspf.get();
  json["noiob"] = n.noiob.get();
  json["nvmcap"] = wide_number(n.nvmcap);
  if (n.has_optimal_fields()) {
    json["npwg"] = n.npwg.get();
    json["npwa"] = n.npwa.get();
    json["npdg"] = n.npdg.get();
    json["npda"] = n.npda.get();
    json["nows"] = n.nows.get();
  }
}

}  // namespace

Json id_ctrl_report(const IdentifyController& controller) {
  Json json;
  add_identity(json, controller);
  add_admin_fields(json, controller);
  add_io_fields(json, controller);
  json["psds"] = Json::array();
  for (std::uint32_t i = 0; i < controller.power_state_count(); i++) {
    json["psds"].push_back(power_state(controller.psd[i]));
  }
  return json;
}

Json id_ns_report(const IdentifyNamespace& block) {
  Json json;
  json["nsze"] = block.nsze.get();
  json["ncap"] = block.ncap.get();
  json["nuse"] = block.nuse.get();
  json["nsfeat"] = block.nsfeat;
  json["nlbaf"] = block.nlbaf;
  json["flbas"] = block.flbas;
  json["mc"] = block.mc;
  json["dpc"] = block.dpc;
  json["dps"] = block.dps;
  json["nmic"] = block.nmic;
  json["rescap"] = block.rescap;
  json["fpi"] = block.fpi;
  json["dlfeat"] = block.dlfeat;
  add_atomicity(json, block);
  json["mssrl"] = block.mssrl.get();
  json["mcl"] = block.mcl.get();
  json["msrc"] = block.msrc;
  json["nulbaf"] = block.nulbaf;
  json["anagrpid"] = block.anagrpid.get();
  json["nsattr"] = block.nsattr;
  json["nvmsetid"] = block.nvmsetid.get();
  json["endgid"] = block.endgid.get();
  json["eui64"] = hex_digits(block.eui64.data(), block.eui64.size());
  json["nguid"] = hex_digits(block.nguid.data(), block.nguid.size());
  json["lbafs"] = Json::array();
  for (std::uint32_t i = 0; i < block.lba_format_count(); i++) {
    const nvme::spec::LbaFormat& format = block.lbaf[i];
    json["lbafs"].push_back(
        Json{{"ms", format.ms.get()}, {"ds", format.lbads}, {"rp", format.rp & 0x3}});
  }
  return json;
}

Json ns_list_report(const nvme::spec::NamespaceList& list) {
  Json json;
  json["nsid_list"] = Json::array();
  for (const Le32& nsid : list.nsid) {
    if (nsid.get() != 0) {
      json["nsid_list"].push_back(Json{{"nsid", nsid.get()}});
    }
  }
  return json;
}

}  // namespace nvublk::service
