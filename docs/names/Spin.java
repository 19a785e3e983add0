public class Spin {
    static long work(long n) {
        for (int i = 0; i < 1_000_000; i++) n = (n * 31 + i) % 1000003;
        return n;
    }
    public static void main(String[] args) {
        long n = 1;
        for (;;) n = work(n);
    }
}
