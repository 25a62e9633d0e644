#include "nvme/controller_status.h"

namespace nvublk::nvme {

const char* controller_state_name(ControllerState state) {
  switch (state) {
    case ControllerState::kNew:
      return "new";
    case ControllerState::kConnecting:
      return "connecting";
    case ControllerState::kLive:
      return "live";
    case ControllerState::kReconnecting:
      return "reconnecting";
    case ControllerState::kDeleting:
      return "deleting";
    case ControllerState::kFailed:
      return "failed";
    case ControllerState::kResetting:
      return "resetting";
  }
  return "unknown";
}

const char* queue_state_name(QueueState state) {
  switch (state) {
    case QueueState::kDisconnected:
      return "disconnected";
    case QueueState::kConnecting:
      return "connecting";
    case QueueState::kLive:
      return "live";
    case QueueState::kDisconnecting:
      return "disconnecting";
  }
  return "unknown";
}

const char* queue_failure_name(QueueFailure failure) {
  switch (failure) {
    case QueueFailure::kNone:
      return "none";
    case QueueFailure::kLocal:
      return "local";
    case QueueFailure::kRemote:
      return "remote";
    case QueueFailure::kUnknown:
      return "unknown";
    case QueueFailure::kReset:
      return "reset";
  }
  return "unknown";
}

}  // namespace nvublk::nvme
