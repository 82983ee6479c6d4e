// go_spans.go - what the Go runtime does with sizes: run by ci/own/e2e/tiered-go.sh, which has
// the tiered heap do the same and compares.
//
// For every size, scan and noscan: allocates until a new span has just been taken, then
// count more, and prints by how much HeapInuse and Mallocs grew. Reading MemStats gives
// all cached spans back, so that the state it starts from is one span with one object.
//
//	KIND SIZE COUNT HEAPINUSE_BYTES MALLOCS
package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"unsafe"
)

var sinkNoscan = make([][]byte, 0, 1<<20)
var sinkScan = make([][]*byte, 0, 1<<20)

func read() (inuse, mallocs uint64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse, m.Mallocs
}

func one(kind string, size int) {
	if kind == "scan" {
		sinkScan = append(sinkScan, make([]*byte, size/int(unsafe.Sizeof(uintptr(0)))))
	} else {
		sinkNoscan = append(sinkNoscan, make([]byte, size))
	}
}

func fresh(kind string, size int) {
	before, _ := read()
	for {
		one(kind, size)
		if now, _ := read(); now != before {
			return
		}
	}
}

func measure(kind string, size, count int) {
	if size <= 32760 {
		fresh(kind, size)
	}
	inuse, mallocs := read()
	for i := 0; i < count; i++ {
		one(kind, size)
	}
	inuse2, mallocs2 := read()
	fmt.Println(kind, size, count, inuse2-inuse, mallocs2-mallocs)
}

func main() {
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(1)
	sizes := []int{8, 16, 24, 32, 48, 64, 80, 112, 144, 208, 256, 288, 416, 512, 576, 640, 1024,
		1152, 1408, 1536, 1792, 2048, 2688, 3072, 3200, 4096, 4864, 6528, 6784, 6912, 8192,
		9472, 10240, 13568, 16384, 18432, 20480, 27264, 28672, 32760}
	for _, size := range sizes {
		for _, kind := range []string{"noscan", "scan"} {
			measure(kind, size, 100+40000/size)
		}
	}
	for _, size := range []int{32768, 100 << 10, 1 << 20} {
		measure("noscan", size, 10)
		measure("scan", size, 10)
	}
	// tiny: sizes 1 to 15 in turn, from a fresh span of 16-byte slots
	fresh("noscan", 16)
	inuse, mallocs := read()
	for i := 0; i < 20000; i++ {
		one("noscan", 1+i*7%15)
	}
	inuse2, mallocs2 := read()
	fmt.Println("tiny", 0, 20000, inuse2-inuse, mallocs2-mallocs)
}
