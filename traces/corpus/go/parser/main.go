// parser reads Go packages from source, prints every file again as gofmt would, and traces
// itself: a compiler's heap (many small nodes that die together, long slices of bytes).
//
//	parser TRACE ROUNDS DIR...
//
// An empty TRACE: it is not traced.
package main

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"runtime/trace"
	"strconv"
	"sync"
)

func one(path string, kept map[string]*ast.File, mu *sync.Mutex) {
	src, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		return
	}
	var out bytes.Buffer
	if err := format.Node(&out, fset, file); err != nil {
		log.Fatal(err)
	}
	mu.Lock()
	kept[path] = file
	mu.Unlock()
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
	for r := 0; r < rounds; r++ {
		var mu sync.Mutex
		var wg sync.WaitGroup
		paths := make(chan string)
		kept := map[string]*ast.File{}
		for w := 0; w < 4; w++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for p := range paths {
					one(p, kept, &mu)
				}
			}()
		}
		for _, dir := range os.Args[3:] {
			names, _ := filepath.Glob(filepath.Join(dir, "*.go"))
			for _, n := range names {
				paths <- n
			}
		}
		close(paths)
		wg.Wait()
	}
	trace.Stop()
}
