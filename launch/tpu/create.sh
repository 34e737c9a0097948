#!/usr/bin/env bash
# Queues for a TPU: launch/tpu/create.sh. Returns at once; setup.sh waits until it is there. Settings: common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
check_settings
need ACCELERATOR_TYPE v5p-128

if [[ -z ${RUNTIME_VERSION:-} ]]; then
    case $ACCELERATOR_TYPE in
        v5p-*) RUNTIME_VERSION=v2-alpha-tpuv5 ;;
        v5litepod-*) RUNTIME_VERSION=v2-alpha-tpuv5-lite ;;
        v6e-*) RUNTIME_VERSION=v2-alpha-tpuv6e ;;
        *) die "RUNTIME_VERSION is not set and does not follow from ACCELERATOR_TYPE '$ACCELERATOR_TYPE' (v5p-N, v5litepod-N or v6e-N);" \
            "set it: https://cloud.google.com/tpu/docs/runtimes" ;;
    esac
fi
nodes=(--node-id="$QUEUED_RESOURCE_ID")
if [[ $SLICES != 1 ]]; then
    nodes=(--node-count="$SLICES" --node-prefix="$QUEUED_RESOURCE_ID")
fi
if [[ $SPOT == 1 ]]; then
    nodes+=(--spot)
fi
queued create "$QUEUED_RESOURCE_ID" --accelerator-type="$ACCELERATOR_TYPE" --runtime-version="$RUNTIME_VERSION" "${nodes[@]}"
