# Which headers are installed, and which of them the reference describes. As a script (cmake -P) it
# prints the latter.
cmake_minimum_required(VERSION 3.25)

# What an application includes. What these include is installed with them, nothing else is.
set(NVUBLK_PUBLIC_HEADERS
  engine/dma_memory.h
  engine/log.h
  engine/shard.h
  nvme/command.h
  nvme/controller.h
  nvme/discovery_log.h
  nvme/firmware_update.h
  nvme/initiator.h
  nvme/io_queue_pair.h
  nvme/management_command.h
  nvme/namespace_io.h
  nvme/poll_group.h
  nvme/reservation_report.h
  nvme/status_text.h
  nvme/transport_factory.h
  nvme/transport_id.h
  nvme/zone_report.h)

# NVUBLK_INSTALLED_HEADERS: all of them. NVUBLK_REFERENCE_HEADERS: without those whose comment at the
# top begins with "Internal:", which are there for what includes them and have nothing to call.
get_filename_component(source "${CMAKE_CURRENT_LIST_DIR}/../../src" ABSOLUTE)
set(NVUBLK_INSTALLED_HEADERS)
set(NVUBLK_REFERENCE_HEADERS)
set(queue ${NVUBLK_PUBLIC_HEADERS})
while(queue)
  list(POP_FRONT queue each)
  if(each IN_LIST NVUBLK_INSTALLED_HEADERS)
    continue()
  endif()
  list(APPEND NVUBLK_INSTALLED_HEADERS ${each})
  file(STRINGS "${source}/${each}" lines REGEX "^(#include \"|// Internal:)")
  if(NOT lines MATCHES "// Internal:")
    list(APPEND NVUBLK_REFERENCE_HEADERS ${each})
  endif()
  foreach(line IN LISTS lines)
    if(line MATCHES "^#include \"(.*)\"")
      list(APPEND queue ${CMAKE_MATCH_1})
    endif()
  endforeach()
endwhile()
list(SORT NVUBLK_INSTALLED_HEADERS)
list(SORT NVUBLK_REFERENCE_HEADERS)

if(CMAKE_SCRIPT_MODE_FILE)
  list(TRANSFORM NVUBLK_REFERENCE_HEADERS PREPEND "src/")
  list(JOIN NVUBLK_REFERENCE_HEADERS "\n" lines)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "${lines}")
endif()
