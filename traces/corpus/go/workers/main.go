// workers passes jobs through channels: stages of goroutines, some that live long and one
// for every tenth job. Objects are born on one P and die on another.
//
//	workers TRACE JOBS
//
// An empty TRACE: it is not traced.
package main

import (
	"hash/fnv"
	"log"
	"os"
	"runtime/trace"
	"strconv"
	"sync"
)

type job struct {
	id   int
	data []byte
	next *job
}

type result struct {
	id   int
	sum  uint64
	text string
}

func stage(in <-chan *job, out chan<- *job, wg *sync.WaitGroup) {
	defer wg.Done()
	for j := range in {
		grown := make([]byte, 0, 16)
		for i := range j.data {
			grown = append(grown, j.data[i]^byte(j.id), byte(i))
		}
		out <- &job{id: j.id, data: grown, next: j}
	}
}

func digest(j *job) *result {
	h := fnv.New64a()
	for p := j; p != nil; p = p.next {
		h.Write(p.data)
	}
	return &result{j.id, h.Sum64(), strconv.FormatUint(h.Sum64(), 36)}
}

func main() {
	jobs, err := strconv.Atoi(os.Args[2])
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
	first, second := make(chan *job, 64), make(chan *job, 64)
	results := make(chan *result, 64)
	var stages, side sync.WaitGroup
	for i := 0; i < 8; i++ {
		stages.Add(1)
		go stage(first, second, &stages)
	}
	go func() {
		for j := range second {
			if j.id%10 == 0 {
				side.Add(1)
				go func() {
					defer side.Done()
					results <- digest(j)
				}()
				continue
			}
			results <- digest(j)
		}
		side.Wait()
		close(results)
	}()
	go func() {
		for i := 0; i < jobs; i++ {
			first <- &job{id: i, data: make([]byte, 8+i%700)}
		}
		close(first)
		stages.Wait()
		close(second)
	}()
	recent := make([]*result, 4096)
	for r := range results {
		recent[r.id%len(recent)] = r
	}
	trace.Stop()
}
