#!/usr/bin/env bash
# Waits for the TPU, copies this working tree to all its machines and installs it there: launch/tpu/setup.sh.
# May be repeated: it then brings what has changed. Settings: common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
check_settings

until [[ $(state) == ACTIVE ]]; do
    now=$(state)
    case $now in
        NONE) die "there is no queued resource $QUEUED_RESOURCE_ID in $ZONE: launch/tpu/create.sh makes one" ;;
        FAILED | SUSPENDED | SUSPENDING | DELETING)
            die "$QUEUED_RESOURCE_ID is $now: launch/tpu/delete.sh, then launch/tpu/create.sh" ;;
        *) note "$QUEUED_RESOURCE_ID is $now" ;;
    esac
    sleep "$POLL"
done

archive=.cache/m2jax.tgz
call mkdir -p .cache
if [[ $DRY_RUN == 1 ]]; then
    printf '%s\n' "git ls-files -z --cached --others --exclude-standard | tar -czf $archive --null -T -"
else
    git ls-files -z --cached --others --exclude-standard | tar -czf "$archive" --null -T -
fi
queued scp "$archive" "$QUEUED_RESOURCE_ID:m2jax.tgz" --node=all --worker=all
on_workers 'mkdir -p m2jax && tar -xzf m2jax.tgz -C m2jax && bash m2jax/launch/tpu/worker.sh setup'
