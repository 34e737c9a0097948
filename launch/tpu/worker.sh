#!/usr/bin/env bash
# What setup.sh and run.sh start on each machine of a TPU; in the tree that setup.sh has copied there.
#
#   worker.sh setup            Python, m2jax with libtpu, gcsfuse
#   worker.sh train FLAG...    launch/train.py in the background unless it runs; follows it, ends with its status: 0; 3
#                              where it would end so again; 4 for any other where it has left no newer checkpoint
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

main() {
    case ${1:-} in
        setup) setup ;;
        train) shift && train "$@" ;;
        *) fail "give worker.sh setup, or worker.sh train FLAG..." ;;
    esac
}

setup() {
    local python apt=https://packages.cloud.google.com/apt key=/usr/share/keyrings/cloud.google.asc
    if ! command -v gcsfuse >/dev/null; then
        curl -fsSL $apt/doc/apt-key.gpg | sudo tee $key >/dev/null
        echo "deb [signed-by=$key] $apt gcsfuse-$(lsb_release -cs) main" | sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
        # a new machine updates itself for some minutes
        sudo apt-get -qq -o DPkg::Lock::Timeout=600 update
        sudo apt-get -qq -o DPkg::Lock::Timeout=600 install -y gcsfuse
    fi
    python3 -m pip install --quiet --user uv # the image's own Python is 3.10
    python3 -m uv python install 3.12
    python=.venv/bin/python
    [[ -x $python ]] || python=$(python3 -m uv python find --no-project --managed-python 3.12)
    make setup PYTHON="$python" EXTRA=tpu
}

train() {
    local code follower flag flags=() workdir=
    for flag in "$@"; do
        if [[ $flag == --workdir=gs://* ]]; then
            flag=--workdir=$(mounted "${flag#--workdir=gs://}") || exit
        fi
        [[ $flag != --workdir=* ]] || workdir=${flag#--workdir=}
        flags+=("$flag")
    done
    # Whoever trains holds the lock, and its children inherit it: it is free once all of them are gone.
    exec 9>train.lock
    if flock --nonblock 9; then
        rm -f train.status
        newest "$workdir" >train.from
        # shellcheck disable=SC2016
        setsid nohup bash -c '"$@"; echo $? >train.status' train .venv/bin/python launch/train.py "${flags[@]}" \
            >>train.log 2>&1 </dev/null &
    else
        echo "$(hostname): the training runs already" >&2
    fi
    exec 9>&-
    touch train.log
    tail --pid=$$ -n 20 -F train.log &
    follower=$!
    flock train.lock true
    sleep 1 # its last words
    kill $follower
    code=$(cat train.status 2>/dev/null || echo 1)
    if ((code != 0 && code != 3)) && [[ $(newest "$workdir") == "$(cat train.from)" ]]; then code=4; fi
    exit "$code"
}

# newest FOLDER: the step of a run's newest checkpoint; nothing where there is none.
newest() {
    local folder
    for folder in "$1"/checkpoints/*; do
        folder=${folder##*/}
        [[ ! $folder =~ ^[0-9]+$ ]] || echo "$folder"
    done | sort -n | tail -n 1
}

# mounted BUCKET/FOLDER: the path at which gcsfuse shows that folder. What one machine has written the others must see
# at once (no cached metadata), and what is synced must be in the bucket (no streaming writes).
mounted() {
    local bucket=${1%%/*} point=$HOME/buckets/${1%%/*} probe
    mkdir -p "$point"
    mountpoint -q "$point" || gcsfuse --implicit-dirs --metadata-cache-ttl-secs=0 --metadata-cache-negative-ttl-secs=0 \
        --enable-streaming-writes=false "$bucket" "$point" >&2 ||
        fail "gcsfuse does not mount gs://$bucket; does it exist, and may the service account of the TPU write to it?"
    # A checkpoint is whole once its folder is renamed. Better told now than after the first step.
    probe=$point/.m2jax-probe-$(hostname)
    { rm -rf "$probe" && mkdir -p "$probe/old" && : >"$probe/old/file" && mv "$probe/old" "$probe/new" && rm -r "$probe"; } ||
        fail "gs://$bucket cannot be written to, or cannot rename folders; make one with" \
            "gcloud storage buckets create --enable-hierarchical-namespace --uniform-bucket-level-access --location=REGION"
    echo "$point/${1#*/}"
}

fail() {
    echo "error: $*" >&2
    exit 2
}

main "$@"
