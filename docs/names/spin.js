function work(n) {
  for (let i = 0; i < 1000000; i++) n = (n * 31 + i) % 1000003;
  return n;
}
let n = 1;
function main() { for (;;) n = work(n); }
main();
