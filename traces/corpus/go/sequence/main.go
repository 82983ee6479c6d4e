// sequence allocates and drops objects in a fixed pseudo-random order and says what that
// cost inside Go: ns per allocation, share of the collector, peak memory.
//
//	sequence COUNT [TRACE]
package main

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/trace"
	"strconv"
	"syscall"
	"time"
)

type pair struct{ a, b *pair }

var pairs [1 << 12]*pair
var bytes [1 << 12][]byte

func run(count int) {
	x := uint64(88172645463325252)
	for i := 0; i < count; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		slot := x >> 52
		if x&3 == 0 {
			bytes[slot] = make([]byte, 16+x>>20&1023)
		} else {
			pairs[slot] = &pair{}
		}
	}
}

func main() {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) > 2 {
		f, err := os.Create(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		if err := trace.Start(f); err != nil {
			log.Fatal(err)
		}
		run(count)
		trace.Stop()
		f.Close()
		return
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	run(count)
	spent := time.Since(start)
	runtime.ReadMemStats(&after)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	mallocs := after.Mallocs - before.Mallocs
	fmt.Printf("  %d allocations, %.1f ns each, %d collections, %.1f %% of CPU in the collector, peak RSS %d KiB\n",
		mallocs, float64(spent.Nanoseconds())/float64(mallocs), after.NumGC-before.NumGC,
		100*after.GCCPUFraction, usage.Maxrss)
}
