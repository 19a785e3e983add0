#include <map>
#include <string>
struct Feed { std::map<int, std::string> m; void publish(int i); };
__attribute__((noinline)) void Feed::publish(int i) { m[i % 1000] = std::to_string(i); }
int main() { Feed f; for (int i = 0;; i++) f.publish(i & 0xffff); }
