#!/bin/sh
# One night's run, for any scheduler: daguerre-nightly SRC DST [options of daguerre restore]
#
# The ledger knows what is done, so the same command every night does only what is new. Exit codes become what a
# scheduler should do (docs/operations.md, "Schedulers"):
#
#     0            done. Photos that failed are in the manifest, not in the exit code; DAGUERRE_STRICT=1: 3 for them
#     75           not now, after all tries: the store, the sink or the cluster was not to be had. Try again later
#     130          told to stop: the same command goes on
#     any other    look at it: trying again would end the same way
#
# DAGUERRE_TRIES (3) and DAGUERRE_PAUSE (300 seconds) say how often it tries, and how long it waits in between.
set -u

tries=${DAGUERRE_TRIES:-3}
pause=${DAGUERRE_PAUSE:-300}
child=''
stopped=''

stop() {
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
trap stop TERM INT

# Wait for the child to its end: a signal ends "wait", not the child, which publishes what is done.
finish() {
    code=0
    wait "$child" || code=$?
    while kill -0 "$child" 2>/dev/null; do
        code=0
        wait "$child" || code=$?
    done
    child=''
}

while :; do
    daguerre --json-logs restore "$@" &
    child=$!
    finish
    [ -z "$stopped" ] || exit 130
    case $code in
    0) exit 0 ;;
    3)
        echo 'daguerre-nightly: done, and some photos failed: daguerre status counts them' >&2
        [ "${DAGUERRE_STRICT:-}" = 1 ] && exit 3
        exit 0
        ;;
    75 | 130 | 137 | 143) # the store, or a machine that was taken away
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || exit 75
        echo "daguerre-nightly: ended with $code, again in $pause s, $tries tries left" >&2
        sleep "$pause" &
        child=$!
        finish
        [ -z "$stopped" ] || exit 130
        ;;
    *)
        echo "daguerre-nightly: ended with $code: look at it" >&2
        exit "$code"
        ;;
    esac
done
