def work(n):
    for i in range(100000):
        n = (n * 31 + i) % 1000003
    return n

def main():
    n = 1
    while True:
        n = work(n)

main()
