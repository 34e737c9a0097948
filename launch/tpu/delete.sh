#!/usr/bin/env bash
# Gives the TPU back, or leaves the queue: launch/tpu/delete.sh. The run folder stays. Settings: common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
check_settings
queued delete "$QUEUED_RESOURCE_ID" --force
