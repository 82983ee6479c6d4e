// recursion makes stacks grow and shrink: goroutines that descend to very different depths,
// build a tree on the way up, wait, and do it again.
//
//	recursion TRACE ROUNDS
//
// An empty TRACE: it is not traced.
package main

import (
	"log"
	"os"
	"runtime"
	"runtime/trace"
	"strconv"
	"sync"
)

type node struct {
	left, right *node
	value       [4]int
}

//go:noinline
func descend(depth int, pad [64]byte) *node {
	pad[depth&63]++
	if depth == 0 {
		return &node{value: [4]int{int(pad[0])}}
	}
	n := &node{left: descend(depth-1, pad)}
	if depth%64 == 0 {
		n.right = descend(depth/64, pad)
	}
	return n
}

func main() {
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if os.Args[1] != "" {
		f, err := os.Create(os.Args[1])
		if err != nil {
			log.Fatal(err)
		}
		if err := trace.Start(f); err != nil {
			log.Fatal(err)
		}
		defer f.Close()
	}
	waiting := make([]chan int, 200)
	var wg, alive sync.WaitGroup
	for i := range waiting {
		waiting[i] = make(chan int)
		alive.Add(1)
		go func() {
			defer alive.Done()
			var kept *node
			for depth := range waiting[i] {
				kept = descend(depth, [64]byte{})
				wg.Done()
			}
			runtime.KeepAlive(kept)
		}()
	}
	for r := 0; r < rounds; r++ {
		for i, c := range waiting {
			wg.Add(1)
			c <- (i*i*7 + r*31) % 1500 / (1 + i%7)
		}
		wg.Wait()
		if r%4 == 3 {
			runtime.GC()
		}
	}
	for _, c := range waiting {
		close(c)
	}
	alive.Wait()
	trace.Stop()
}
