// sequence allocates and drops objects in a fixed pseudo-random order and says what that
// cost inside Go.
//
//	sequence COUNT		runs it with and without the allocations; one figure a line
//	sequence COUNT TRACE	runs it once under runtime/trace
//	sequence COUNT -	writes the same sequence as a text trace: an object dies where
//				its last pointer is overwritten
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/trace"
	"strconv"
	"strings"
	"syscall"
)

type pair struct{ a, b *pair }

var pairs [1 << 12]*pair
var bytes [1 << 12][]byte
var kept pair
var buffer [1 << 11]byte

func next(x uint64) uint64 {
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	return x
}

func size(x uint64) uint64 { return 16 + x>>20&1023 }

const seed = 88172645463325252

func run(count int) {
	x := uint64(seed)
	for i := 0; i < count; i++ {
		x = next(x)
		if slot := x >> 52; x&3 == 0 {
			bytes[slot] = make([]byte, size(x))
		} else {
			pairs[slot] = &pair{}
		}
	}
}

// The same without an allocation: what the loop and its stores cost.
func empty(count int) {
	x := uint64(seed)
	for i := 0; i < count; i++ {
		x = next(x)
		if slot := x >> 52; x&3 == 0 {
			bytes[slot] = buffer[:size(x)]
		} else {
			pairs[slot] = &kept
		}
	}
}

func text(count int) {
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	var pairIDs, byteIDs [1 << 12]int
	x := uint64(seed)
	fmt.Fprintln(out, "reheap-trace 1\nnote program=sequence\nlane_start lane=0")
	for i := 0; i < count; i++ {
		x = next(x)
		slot, ids, what := x>>52, &pairIDs, "size=16 align=8 flags=scan_known"
		if x&3 == 0 {
			ids, what = &byteIDs, fmt.Sprintf("size=%d flags=noscan,scan_known", size(x))
		}
		fmt.Fprintf(out, "alloc lane=0 id=%d %s\n", i, what)
		if ids[slot] > 0 {
			fmt.Fprintf(out, "free lane=0 id=%d\n", ids[slot]-1)
		}
		ids[slot] = i + 1
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func traced(count int, path string) {
	f, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	if err := trace.Start(f); err != nil {
		log.Fatal(err)
	}
	run(count)
	trace.Stop()
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
}

// CPU time of all threads in ns.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

// Resident memory in KiB: now (VmRSS) or at most so far (VmHWM).
func resident(key string) (kib int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		log.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), key+":")
	fmt.Sscan(rest, &kib)
	return kib
}

// Time of marking and all but idle time, as the runtime estimates them by the wall clock: good
// for a share, not for a sum. Brought up to date by each cycle.
func classes() (marking, busy float64, cycles uint64) {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"},
		{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Float64(), s[1].Value.Float64() - s[2].Value.Float64(),
		s[3].Value.Uint64()
}

func measure(count int) {
	var before, after runtime.MemStats
	start := cpu()
	empty(count)
	floor := cpu() - start
	pairs, bytes = [1 << 12]*pair{}, [1 << 12][]byte{}

	runtime.GC()
	rss := resident("VmRSS")
	runtime.ReadMemStats(&before)
	markingBefore, busyBefore, cyclesBefore := classes()
	start = cpu()
	run(count)
	spent := cpu() - start
	_, _, cycles := classes()
	rss = resident("VmHWM") - rss
	runtime.ReadMemStats(&after)
	runtime.GC()
	marking, busy, _ := classes()

	fmt.Println("allocations", after.Mallocs-before.Mallocs)
	fmt.Printf("ns %.1f\n", spent/float64(count))
	fmt.Printf("floor_ns %.1f\n", floor/float64(count))
	fmt.Printf("marking_share %.4f\n", (marking-markingBefore)/(busy-busyBefore))
	fmt.Println("cycles", cycles-cyclesBefore)
	fmt.Println("rss_kib", rss)
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: sequence COUNT [TRACE | -]")
	}
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	switch {
	case len(os.Args) == 2:
		measure(count)
	case os.Args[2] == "-":
		text(count)
	default:
		traced(count, os.Args[2])
	}
}
