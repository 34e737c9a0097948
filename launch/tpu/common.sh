# shellcheck shell=bash
# What the scripts beside it share: their settings, and how they call gcloud. Sourced, never run.
#
#   PROJECT_ID, ZONE      where the TPU is
#   QUEUED_RESOURCE_ID    its name, chosen by you
#   ACCELERATOR_TYPE      v5p-128, v6e-256, v5litepod-8, ... (for v5p the number counts cores, two a chip)
#   RUNTIME_VERSION       the image of its machines; follows from ACCELERATOR_TYPE where that is v5p, v5e or v6e
#   SPOT=1                cheaper, and taken away when somebody pays more
#   SLICES=2              several slices of that type, joined by the data centre's network
#   POLL=60               seconds between two looks at a state
#   SOON=600              seconds from its start within which a training that fails is not begun again
#   DRY_RUN=1             print the commands; call nothing

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

SPOT=${SPOT:-0} SLICES=${SLICES:-1} POLL=${POLL:-60} SOON=${SOON:-600} DRY_RUN=${DRY_RUN:-0}
SETTINGS=launch/tpu/common.sh

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# need NAME EXAMPLE: the environment has NAME, or the script ends.
need() {
    [[ -n ${!1:-} ]] || die "$1 is not set; for example: export $1=$2 (all settings: $SETTINGS)"
}

check_settings() {
    need PROJECT_ID my-project
    need ZONE us-east5-a
    need QUEUED_RESOURCE_ID stage2
    [[ $QUEUED_RESOURCE_ID =~ ^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$ ]] ||
        die "QUEUED_RESOURCE_ID is '$QUEUED_RESOURCE_ID'; give at most 63 lower-case letters, digits and hyphens, the first a letter"
    [[ $SPOT == [01] ]] || die "SPOT is '$SPOT'; give 1 for a spot TPU, or 0"
    [[ $SLICES =~ ^[1-9][0-9]*$ ]] || die "SLICES is '$SLICES'; give the number of slices, 1 or more"
    [[ $POLL =~ ^[0-9]+$ ]] || die "POLL is '$POLL'; give whole seconds"
    [[ $SOON =~ ^[0-9]+$ ]] || die "SOON is '$SOON'; give whole seconds"
    [[ $DRY_RUN == [01] ]] || die "DRY_RUN is '$DRY_RUN'; give 1 to print the commands, or 0"
    if [[ $DRY_RUN == 0 ]] && ! command -v gcloud >/dev/null; then
        die "gcloud is not on PATH; install it: https://cloud.google.com/sdk/docs/install"
    fi
}

# quoted WORD...: the words as one line that a shell reads back as the same words.
quoted() {
    local word words=() plain='^[A-Za-z0-9_./:=,@%+~-]+$' flag='^(--[a-z.-]+=)(.*)$'
    for word in "$@"; do
        if [[ ! $word =~ $plain ]]; then
            if [[ $word =~ $flag ]]; then word=${BASH_REMATCH[1]}${BASH_REMATCH[2]@Q}; else word=${word@Q}; fi
        fi
        words+=("$word")
    done
    printf '%s' "${words[*]}"
}

# call WORD...: runs a command, or prints it where DRY_RUN=1.
call() {
    if [[ $DRY_RUN == 1 ]]; then
        printf '%s\n' "$(quoted "$@")"
    else
        "$@"
    fi
}

# queued VERB ARGUMENT...: gcloud's command on queued resources, in our project and zone.
queued() {
    call gcloud compute tpus queued-resources "$@" --project="$PROJECT_ID" --zone="$ZONE" --quiet
}

# on_workers COMMAND: runs it on every machine of every slice; its status is the first that is not 0.
on_workers() {
    queued ssh "$QUEUED_RESOURCE_ID" --node=all --worker=all --command="$1"
}

# state: that of the queued resource; NONE where there is none, UNKNOWN where Google does not answer.
state() {
    local found
    if [[ $DRY_RUN == 1 ]]; then
        queued list --filter="name~/$QUEUED_RESOURCE_ID\$" --format='value(state.state)' >&2
        found=ACTIVE
    elif ! found=$(queued list --filter="name~/$QUEUED_RESOURCE_ID\$" --format='value(state.state)'); then
        found=UNKNOWN
    fi
    printf '%s\n' "${found:-NONE}"
}

note() {
    [[ $DRY_RUN == 1 ]] || printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2
}
