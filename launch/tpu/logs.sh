#!/usr/bin/env bash
# Follows the training's output on one machine: launch/tpu/logs.sh [--worker=3] [--node=1]. Settings: common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
check_settings
queued ssh "$QUEUED_RESOURCE_ID" --node=0 --worker=0 --command='tail -n 100 -F m2jax/train.log' "$@"
