// A library needs a source; this one makes the compiler check every static_assert of the headers.
#include "nvme/spec/cqe.h"
#include "nvme/spec/fabrics.h"
#include "nvme/spec/opcodes.h"
#include "nvme/spec/properties.h"
#include "nvme/spec/sgl.h"
#include "nvme/spec/sqe.h"
#include "nvme/spec/status.h"
#include "nvme/spec/tcp_pdu.h"
