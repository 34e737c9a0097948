#!/usr/bin/env bash
# Trains on the TPU until the run is through, whatever is taken away meanwhile:
#
#   launch/tpu/run.sh --config=configs/rl_stage2.py:32b --workdir=gs://bucket/run [--config.key=value ...]
#
# The training goes on by itself on the TPU's machines: Ctrl-C ends only this watch, and the same command takes it up
# again. A TPU that was taken away (SUSPENDED, FAILED) is deleted and queued for anew, set up again, and the same
# training command goes on from the last checkpoint in --workdir. Settings: common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
check_settings
[[ " $*" == *" --config="* ]] || die "--config is missing: launch/tpu/run.sh --config=configs/rl_stage2.py:32b --workdir=gs://bucket/run"
[[ " $*" =~ \ --workdir=(gs://[^/ ]+/|/)[^\ ]+ ]] ||
    die "--workdir must be a folder that all machines share: --workdir=gs://BUCKET/RUN, or the path of a disk that all have mounted"

# give_up WORDS: the script ends, the TPU does not.
give_up() { die "$*. The TPU is billed until you give it back: launch/tpu/delete.sh"; }

tries=0 # of queueing, without a TPU in between
again() {
    tries=$((tries + 1))
    if ((tries > 3)); then
        queued describe "$QUEUED_RESOURCE_ID" || true
        give_up "$QUEUED_RESOURCE_ID was queued for three times and never became active; see what Google says above"
    fi
    if [[ $1 == NONE ]] || launch/tpu/delete.sh; then
        launch/tpu/create.sh || sleep "$POLL"
    else
        sleep "$POLL"
    fi
}

stuck=0 # failures in a row without a newer checkpoint
began= # of the training that is followed; a lost connection does not end it
while true; do
    now=$(state)
    case $now in
        ACTIVE)
            tries=0 code=0 began=${began:-$SECONDS}
            on_workers "bash m2jax/launch/tpu/worker.sh train $(quoted "$@")" || code=$?
            case $code in
                0) exit 0 ;;
                127) # new machines: nothing is there yet
                    began=
                    if ! launch/tpu/setup.sh; then
                        sleep "$POLL"
                        [[ $(state) != ACTIVE ]] || give_up "launch/tpu/setup.sh failed, see above"
                    fi ;;
                255)
                    note "the connection to $QUEUED_RESOURCE_ID is lost"
                    sleep "$POLL" ;;
                *)
                    note "the training ended with status $code"
                    lasted=$((SECONDS - began)) began=
                    sleep "$POLL" # until a TPU that was taken away says so
                    # what fails soon after its start fails again; later it may be a machine that was
                    if [[ $(state) == ACTIVE ]]; then
                        stuck=$((code == 4 ? stuck + 1 : 0))
                        why="launch/tpu/logs.sh shows why"
                        ((code != 3)) || give_up "the training ended as it would again: $why"
                        ((lasted >= SOON)) || give_up "the training ended with status $code soon after its start: $why"
                        ((stuck < 3)) || give_up "the training failed three times without a newer checkpoint: $why"
                    fi ;;
            esac ;;
        SUSPENDED | FAILED | NONE)
            note "$QUEUED_RESOURCE_ID is $now: queueing for a TPU"
            began=
            again "$now" ;;
        *)
            note "$QUEUED_RESOURCE_ID is $now"
            sleep "$POLL" ;;
    esac
done
