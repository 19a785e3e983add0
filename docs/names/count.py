"""Of a log: how many places have a function's name, and how many a source line."""
import collections, json, sys

ip = [b for b in map(json.loads, sys.stdin) if b["type"] == "breach" and b.get("ip")]
at = [b for b in ip if "at" in b]
named = [b for b in at if not b["at"].startswith("[")]
line = sum("source" in b for b in ip)
late = (named[0]["mono_ns"] - ip[0]["mono_ns"]) / 1e6 if named else float("nan")
print(f"{len(ip)} places: {len(named)} named, {line} with a line; first name {late:.1f} ms after the first place")
print(*collections.Counter(b["at"].rsplit("+0x")[0] for b in at).most_common(5), sep="\n")
