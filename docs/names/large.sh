#!/bin/sh
# large.sh PROGRAM [COPIES]: makes a program of more than a gigabyte, most of it debug information. One generated file of
# 9000 functions is linked 250 times, each time with other names. Takes gcc and binutils, and four times the room of the program.
set -e
program=$1
copies=${2:-250}
work=$(mktemp -d "$program.XXXXXX")
trap 'rm -r "$work"' EXIT
awk 'BEGIN {
    for (i = 0; i < 9000; i++) {
        printf "struct s%d { int a, b; long c; };\n", i
        printf "static inline int leaf%d(struct s%d *s, int x) { int t = s->a * x; return t + s->b; }\n", i, i
        printf "int work%d(struct s%d *s, int n)\n{\n    int sum = 0;\n", i, i
        printf "    for (int k = 0; k < n; k++)\n        sum += leaf%d(s, k);\n    return sum;\n}\n", i
    }
}' >"$work/unit.c"
gcc -O1 -g -c -o "$work/unit.o" "$work/unit.c"
echo 'int main(void) { for (;;); }' >"$work/main.c"
gcc -g -c -o "$work/main.o" "$work/main.c"
for copy in $(seq "$copies"); do
    objcopy --prefix-symbols="copy${copy}_" "$work/unit.o" "$work/copy$copy.o"
done
gcc -o "$program" "$work/main.o" "$work"/copy*.o
