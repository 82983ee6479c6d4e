// stacks.go - what the Go runtime takes for what ci/own/bench/stacks.sh measures of the stack
// backends: spawn and exit, growth, memory of goroutines that wait. One figure a line:
// name and value. Go's spawn has its scheduler and the WaitGroup in it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

// A frame of 128 bytes and a little: about what the generated calls have.
//
//go:noinline
func descend(depth int) int {
	var frame [80]byte
	frame[depth&63] = byte(depth)
	if depth == 0 {
		return int(frame[3])
	}
	return descend(depth-1) + int(frame[depth&31])
}

func median(repeat int, measure func() float64) float64 {
	values := make([]float64, repeat)
	for i := range values {
		values[i] = measure()
	}
	sort.Float64s(values)
	return values[repeat/2]
}

// ns for each goroutine, in batches of 1000.
func spawn(run func()) float64 {
	const batches, size = 100, 1000
	var group sync.WaitGroup
	start := time.Now()
	for b := 0; b < batches; b++ {
		group.Add(size)
		for i := 0; i < size; i++ {
			go func() {
				run()
				group.Done()
			}()
		}
		group.Wait()
	}
	return float64(time.Since(start).Nanoseconds()) / (batches * size)
}

// The same calls on a stack that has grown already.
func grown(depth int) float64 {
	const rounds = 10000
	done := make(chan float64)
	go func() {
		descend(depth)
		start := time.Now()
		for i := 0; i < rounds; i++ {
			descend(depth)
		}
		done <- float64(time.Since(start).Nanoseconds()) / rounds
	}()
	return <-done
}

func resident() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kib float64
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "RssAnon:") {
			fmt.Sscanf(line, "RssAnon: %f kB", &kib)
		}
	}
	return kib * 1024
}

func parked(count int) float64 {
	stop := make(chan struct{})
	before := resident()
	for i := 0; i < count; i++ {
		go func() { <-stop }()
	}
	runtime.Gosched()
	time.Sleep(2 * time.Second)
	bytes := (resident() - before) / float64(count)
	close(stop)
	return bytes
}

func main() {
	base := median(5, func() float64 { return spawn(func() {}) })
	fmt.Printf("version %s\nspawn %.0f\n", runtime.Version(), base)
	for _, d := range []struct {
		name  string
		depth int
	}{{"grow8", 50}, {"grow64", 460}} {
		whole := median(5, func() float64 { return spawn(func() { descend(d.depth) }) })
		fmt.Printf("%s %.0f\n", d.name, whole-base-grown(d.depth))
	}
	fmt.Printf("parked %.0f\n", parked(1000000))
}
