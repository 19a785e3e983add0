static volatile unsigned long n;
static unsigned long leaf(unsigned long x) { return x * 2654435761u + 1; }
__attribute__((noinline)) static void work(void) { for (long i = 0; i < 1000000; i++) n += leaf(n); }
int main(void) { for (;;) work(); }
