#!/bin/sh
# Runs a program on CPU 1, records the entries of that CPU for five seconds, and counts what is named.
# run.sh SECONDS PROGRAM…: the seconds that the program has to warm up. With PERFMAP=1 a JVM is asked for its
# names before, and with BUSY=2 so many loops keep each CPU busy meanwhile. Asks for root, and for isol-trace in the PATH.
warm_up=$1
shift
loops=
for cpu in $(seq 0 $(($(nproc --all) - 1))); do
    for loop in $(seq "${BUSY:-0}"); do
        taskset -c "$cpu" sh -c 'while :; do :; done' &
        loops="$loops $!"
    done
done
taskset -c 1 "$@" &
program=$!
sleep "$warm_up"
[ -z "$PERFMAP" ] || jcmd $program Compiler.perfmap >&2
isol-trace record --cpus 1 --pid $program --duration 5s -o - | python3 "$(dirname "$0")/count.py"
kill $program $loops
