package main

import "strconv"

type feed struct{ m map[string]int }

//go:noinline
func (f *feed) publish(i int) { f.m[strconv.Itoa(i%1000)] = i }

func main() {
	f := &feed{m: map[string]int{}}
	for i := 0; ; i++ {
		f.publish(i)
	}
}
