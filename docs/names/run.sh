#!/bin/sh
# Runs a program on CPU 1, records the entries of that CPU for five seconds, and counts what is named.
# run.sh SECONDS PROGRAM…: the seconds that the program has to warm up. With PERFMAP=1 a JVM is asked for its
# names before. Asks for root, and for isol-trace in the PATH.
warm_up=$1
shift
taskset -c 1 "$@" &
program=$!
sleep "$warm_up"
[ -z "$PERFMAP" ] || jcmd $program Compiler.perfmap >&2
isol-trace record --cpus 1 --pid $program --duration 5s -o - | python3 "$(dirname "$0")/count.py"
kill $program
